//! A line that moves on a terminal, and a line now and then in a log file.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use autodidact::train::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// Seconds between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(15);

/// Shows how a run gets on.
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    last: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            terminal,
            last: None,
        }
    }

    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Begun { lines, step } => {
                for line in lines {
                    self.say(line);
                }
                if *step > 0 {
                    self.say(&format!("goes on after step {step}"));
                }
            }
            Event::Stepped {
                step,
                total,
                epochs,
                loss,
                speed,
                waiting,
                seconds_left,
            } => {
                let left =
                    seconds_left.map_or_else(String::new, |left| format!(", {} left", clock(left)));
                let line = format!(
                    "step {step} of {total}, epoch {epochs:.1}, loss {loss:.4}, {speed:.0} items/s, waiting for data {:.0} %{left}",
                    100.0 * waiting
                );
                self.bar.set_length(*total);
                self.bar.set_position(*step);
                self.bar.set_message(line.clone());
                if !self.terminal && self.last.is_none_or(|last| last.elapsed() >= QUIET) {
                    self.last = Some(Instant::now());
                    eprintln!("{line}");
                }
            }
            Event::Looked {
                step,
                validation,
                checkup,
            } => {
                let mut line = format!(
                    "look at step {step}: rank {:.0} of {}",
                    checkup.rankme, checkup.dimensions
                );
                line.push_str(&format!(", spread {:.2}", checkup.deviation));
                if let Some(alignment) = checkup.alignment {
                    line.push_str(&format!(", alignment {alignment:.3}"));
                }
                line.push_str(&format!(", uniformity {:.2}", checkup.uniformity));
                if let Some(validation) = validation {
                    line.push_str(&format!(", validation loss {validation:.4}"));
                }
                if let Some(knn) = checkup.knn {
                    line.push_str(&format!(", kNN {:.1} %", 100.0 * knn));
                }
                self.say(&line);
            }
            Event::Warned(text) => self.say(&format!("warning: {text}")),
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        if self.terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }
}

/// Shows how far something without steps is.
pub(crate) struct Bar {
    bar: ProgressBar,
    last: Cell<Option<Instant>>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos} of {len} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            last: Cell::new(None),
        }
    }

    pub(crate) fn show(&self, what: &str, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(what.to_owned());
        if self.bar.is_hidden() && self.last.get().is_none_or(|last| last.elapsed() >= QUIET) {
            if self.last.get().is_some() {
                eprintln!("{what}: {done} of {all}");
            }
            self.last.set(Some(Instant::now()));
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02} min"),
        (hours, minutes, _) => format!("{hours}:{minutes:02} h"),
    }
}
