//! How far a job is: a bar on a terminal, plain lines elsewhere, both on stderr; and how much of that is said, in which colours.

use super::args::{ColorChoice, Talk};
use crate::Error;
use crate::engine::Progress;
use crate::error::printable;
use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// How much is said: one of the next three.
static SAID: AtomicU8 = AtomicU8::new(USUAL);
const LITTLE: u8 = 0;
const USUAL: u8 = 1;
const MUCH: u8 = 2;

/// From here on as little, as much and as colourful as was asked for.
pub fn talk(asked: &Talk) {
    let said = match (asked.quiet, asked.verbose) {
        (true, _) => LITTLE,
        (_, true) => MUCH,
        _ => USUAL,
    };
    SAID.store(said, Ordering::Relaxed);
    match asked.color {
        // The terminal, NO_COLOR and their like decide.
        ColorChoice::Auto => {}
        ColorChoice::Always => console::set_colors_enabled_stderr(true),
        ColorChoice::Never => console::set_colors_enabled_stderr(false),
    }
}

/// Whether everything is told.
pub fn is_verbose() -> bool {
    SAID.load(Ordering::Relaxed) == MUCH
}

/// Shows a job's stages and iterations.
pub struct Display {
    bar: Option<ProgressBar>,
    /// The one that runs, and since when.
    stage: RefCell<Option<(String, Instant)>>,
    descent: Option<Instant>,
    objective: Option<f64>,
}

impl Display {
    /// A bar if stderr is a terminal.
    pub fn new() -> Display {
        let has_bar = std::io::stderr().is_terminal() && SAID.load(Ordering::Relaxed) != LITTLE;
        Display {
            bar: has_bar.then(ProgressBar::new_spinner),
            stage: RefCell::new(None),
            descent: None,
            objective: None,
        }
    }

    /// A line for the user, above the bar if there is one.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }

    /// A stage begins.
    pub fn stage(&self, name: &str) {
        self.end_stage();
        self.stage.replace(Some((name.to_owned(), Instant::now())));
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
            bar.tick();
        }
    }

    /// Says how long the stage took, where everything is told.
    fn end_stage(&self) {
        // A stage that only looks whether there is something to do says nothing.
        let ended = self.stage.take().map(|(name, begun)| (name, begun.elapsed().as_secs_f64()));
        if let Some((name, seconds)) = ended.filter(|&(_, seconds)| is_verbose() && seconds >= 1e-4) {
            self.note(&format!("{name}: {}", human(seconds)));
        }
    }

    /// A batch of iterations is done.
    pub fn iterate(&mut self, progress: &Progress) {
        let started = *self.descent.get_or_insert_with(Instant::now);
        self.objective = progress.reading.map(|reading| reading.objective).or(self.objective);
        let left = if progress.iteration == 0 {
            0.0
        } else {
            let spent = progress.reading.map_or_else(|| started.elapsed().as_secs_f64(), |reading| reading.seconds);
            spent / progress.iteration as f64 * (progress.iterations - progress.iteration) as f64
        };
        match (&self.bar, progress.reading) {
            (Some(bar), _) => {
                if bar.length().is_none() {
                    bar.set_style(style_of_bar());
                    bar.set_length(progress.iterations as u64);
                }
                bar.set_position(progress.iteration as u64);
                let objective =
                    self.objective.map_or_else(String::new, |objective| format!("objective {objective:.4}, "));
                bar.set_message(format!("{objective}{} left", human(left)));
            }
            (None, Some(reading)) => line(&format!(
                "iteration {} of {}: objective {:.4}, {} left",
                progress.iteration,
                progress.iterations,
                reading.objective,
                human(left)
            )),
            (None, None) => {}
        }
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.end_stage();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line to stderr, unless little is to be said; nobody can be told if it is closed.
pub fn line(text: &str) {
    if SAID.load(Ordering::Relaxed) != LITTLE {
        let _ = writeln!(std::io::stderr(), "{} {}", style("nearfield:").for_stderr().green(), printable(text));
    }
}

/// The one line of an error, which is always said.
pub fn complain(error: &Error) {
    let _ = writeln!(std::io::stderr(), "{} {error}", style("nearfield:").for_stderr().red().bold());
}

fn style_of_bar() -> ProgressStyle {
    ProgressStyle::with_template("{bar:32.green} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A time for people.
fn human(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
