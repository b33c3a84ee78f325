//! Progress of long work: a bar on a terminal, plain lines elsewhere, nothing beside JSON.

use super::context::Output;
use crate::socket::message::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// Shows events on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Shown,
    Hidden,
}

impl Progress {
    /// Progress in the way that fits where the output goes.
    pub fn new(output: Output) -> Self {
        if output == Output::Json {
            return Self { bar: None, lines: Lines::Hidden };
        }
        if !stderr().is_terminal() {
            return Self { bar: None, lines: Lines::Shown };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::default_spinner());
        Self { bar: Some(bar), lines: Lines::Hidden }
    }

    /// One step. A line is printed for a step without a count, and for the last of a count.
    pub fn tell(&mut self, event: &Event) {
        if let Some(bar) = &self.bar {
            if let (Some(done), Some(total)) = (event.done, event.total) {
                if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
                    bar.set_style(style);
                }
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(event.text.clone());
            } else if event.done.is_some() {
                // Nobody knows of how much.
                bar.set_message(event.text.clone());
                bar.tick();
            } else {
                bar.println(&event.text);
            }
        } else if self.lines == Lines::Shown && event.done == event.total {
            anstream::eprintln!("{}", event.text);
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
