//! How far a job is: a bar on a terminal, plain lines elsewhere, both on stderr.

use crate::engine::Progress;
use crate::error::printable;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Shows a job's stages and iterations.
pub struct Display {
    bar: Option<ProgressBar>,
    descent: Option<Instant>,
    objective: Option<f64>,
}

impl Display {
    /// A bar if stderr is a terminal.
    pub fn new() -> Display {
        Display { bar: std::io::stderr().is_terminal().then(ProgressBar::new_spinner), descent: None, objective: None }
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
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
            bar.tick();
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
                    bar.set_style(style());
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
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line to stderr; nobody can be told if it is closed.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "nearfield: {}", printable(text));
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
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
