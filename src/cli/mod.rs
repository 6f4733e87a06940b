//! The command line: arguments become a request, a request becomes a job, and every error becomes one line.
//!
//! Exit codes: 0 done; 1 the job failed; 2 the request was wrong or cannot be met; 130 interrupted, after writing what
//! there is.

mod adapters;
mod args;
mod bench;
mod cluster;
mod completions;
mod config;
mod embed;
mod given;
mod host;
mod info;
mod interrupt;
mod outputs;
mod plot;
mod portrait;
mod progress;
mod report;
mod samples;
mod score;
mod transform;

use crate::Error;
use args::{Cli, ColorChoice, Command};
use clap::{CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// How a command ended.
enum End {
    Done,
    Interrupted,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    host::quiet_drivers();
    match parse(std::env::args_os()) {
        Ok(cli) => {
            progress::talk(&cli.talk);
            ExitCode::from(exit_code(run(cli.command)))
        }
        Err(error) => arguments_refused(&error),
    }
}

/// Parses a command line; help and complaints are in the colours that it asks for.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let color = match args::color_asked(&arguments) {
        ColorChoice::Auto => clap::ColorChoice::Auto,
        ColorChoice::Always => clap::ColorChoice::Always,
        ColorChoice::Never => clap::ColorChoice::Never,
    };
    let matches = Cli::command().color(color).try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    given::note(&mut cli, &matches);
    Ok(cli)
}

/// Runs `nearfield bench` with these arguments, the table going to `out` and what its stages make through `spoil`, and returns the exit
/// code: for tests of what happens where an answer is wrong.
#[doc(hidden)]
pub fn bench_spoilt(arguments: &[&str], out: &mut dyn Write, spoil: crate::bench::Spoil) -> u8 {
    match Cli::try_parse_from(["nearfield", "bench"].iter().chain(arguments)) {
        Ok(Cli { command: Command::Bench(arguments), .. }) => exit_code(bench::run(&arguments, out, Some(spoil))),
        _ => 2,
    }
}

fn run(command: Command) -> crate::Result<End> {
    match command {
        Command::Embed(arguments) => embed::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments, &mut std::io::stdout().lock(), None),
        Command::Transform(arguments) => transform::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
        Command::Plot(arguments) => plot::run(&arguments),
        Command::Adapters => adapters::run(),
        Command::Samples => samples::run(),
        Command::Info(arguments) => info::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

/// Computes on as many threads as were asked for.
fn use_threads(asked: Option<usize>) -> crate::Result<()> {
    let Some(threads) = asked else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| Error::job("--threads", error, "give fewer"))
}

fn exit_code(ended: crate::Result<End>) -> u8 {
    match ended {
        Ok(End::Done) => 0,
        Ok(End::Interrupted) => 130,
        Err(error) => {
            progress::complain(&error);
            error.exit_code()
        }
    }
}

/// Help and version go to stdout; anything else that clap says becomes one line.
fn arguments_refused(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that has seen enough closes the pipe.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    progress::complain(&refusal(error));
    ExitCode::from(2)
}

/// What clap says in paragraphs, said as we say it. Our own parsers of values say what to give.
fn refusal(error: &clap::Error) -> Error {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let said = |kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    };
    let option = said(ContextKind::InvalidArg).unwrap_or_default();
    // `--iterations <N>`: the option without its value's name.
    let option = option.split(' ').next().unwrap_or_default();
    let value = said(ContextKind::InvalidValue).unwrap_or_default();
    let first = std::env::args_os().nth(1).unwrap_or_default();
    let command = ["cluster", "bench", "score", "transform"].into_iter().find(|&name| first == name).unwrap_or("embed");
    let see = &format!("see `nearfield {command} --help`");
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Error::request("arguments", "a command is needed", "see `nearfield --help`")
        }
        ErrorKind::InvalidSubcommand => {
            let name = said(ContextKind::InvalidSubcommand).unwrap_or_default();
            Error::request(name, "no such command", "see `nearfield --help`")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if value.is_empty() => {
            Error::request(option, "it has no value", see)
        }
        ErrorKind::InvalidValue => {
            let known = said(ContextKind::ValidValue).unwrap_or_default();
            Error::request(format!("{option} {value}"), "no such value", format!("give one of {known}"))
        }
        ErrorKind::ValueValidation => {
            let remedy = std::error::Error::source(error).map_or_else(|| see.clone(), ToString::to_string);
            Error::request(format!("{option} {value}"), "this value cannot be taken", remedy)
        }
        ErrorKind::UnknownArgument => {
            let near = said(ContextKind::SuggestedArg).map(|near| format!("did you mean {near}?"));
            Error::request(option, "no such argument is known here", near.unwrap_or_else(|| see.clone()))
        }
        ErrorKind::MissingRequiredArgument => {
            let cause = format!("missing {}", said(ContextKind::InvalidArg).unwrap_or_default());
            Error::request("arguments", cause, see)
        }
        ErrorKind::InvalidUtf8 => {
            Error::request("arguments", "one of them is not UTF-8", "give the file that it names another name")
        }
        ErrorKind::ArgumentConflict => {
            let prior = said(ContextKind::PriorArg).unwrap_or_default();
            match prior.split(' ').next() {
                Some(other) if !other.is_empty() && other != option => {
                    Error::request(option, format!("it does not go with {other}"), "give one of the two")
                }
                _ => Error::request(option, "it is given more than once", "give it once"),
            }
        }
        _ => {
            let text = error.render().to_string();
            let text = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
            Error::request("arguments", text, see)
        }
    }
}
