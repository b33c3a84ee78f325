//! Files with values in them, for programs that read no store: rendered from templates, owner-only, in memory, declared.
//!
//! The language is Jinja's, which deployers know, by a crate that is kept up; the placeholders of views have no condition and no
//! loop, and their braces are what configuration files are full of. A template can ask for secrets and for nothing else: it
//! reads no file, includes nothing and reaches no network. What is not defined is an error, and nothing is escaped by itself.

pub mod sink;
pub mod template;

pub use sink::{Declared, Place};
pub use template::{Rendered, TemplateError, render};
