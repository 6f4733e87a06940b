//! The command line: arguments become a request, a request becomes a job, and every error becomes one line.
//!
//! Exit codes: 0 done; 1 the job failed; 2 the request was wrong or cannot be met; 130 interrupted, after writing what
//! there is.

mod adapters;
mod args;
mod embed;
mod host;
mod progress;
mod report;

use crate::Error;
use args::{Cli, Command};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// How a command ended.
enum End {
    Done,
    Interrupted,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return arguments_refused(&error),
    };
    let ended = match cli.command {
        Command::Embed(arguments) => embed::run(&arguments),
        Command::Adapters => adapters::run(),
    };
    match ended {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Interrupted) => ExitCode::from(130),
        Err(error) => {
            complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The one line of an error.
fn complain(error: &Error) {
    // Nobody can be told if stderr is closed.
    let _ = writeln!(std::io::stderr(), "nearfield: {error}");
}

/// Help and version go to stdout; anything else that clap says becomes one line.
fn arguments_refused(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        complain(&Error::request("arguments", "a command is needed", "see `nearfield --help`"));
        return ExitCode::from(2);
    }
    // clap writes paragraphs: the cause (with a list below it), tips, then usage, which `--help` shows better.
    let paragraphs = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty() && !part.starts_with("Usage:"));
    let (tips, causes): (Vec<&str>, Vec<&str>) =
        paragraphs.filter(|part| !part.starts_with("For more information")).partition(|part| part.starts_with("tip:"));
    let tip = tips.first().map_or("see `nearfield --help`", |tip| tip.trim_start_matches("tip:").trim());
    complain(&Error::request("arguments", causes.join(", "), tip));
    ExitCode::from(2)
}
