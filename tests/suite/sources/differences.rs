//! The differences that are allowed, each with its reason and its own test, and the cases that found something.
