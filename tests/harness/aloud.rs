//! What a test tells whoever reads the run, also where it passes: what is printed is kept back then.

use std::io::Write;

/// Tells a line.
pub fn tell(line: &str) {
    // In one write, so that it stays whole among the lines of other tests; a reader that has left is told nothing.
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}
