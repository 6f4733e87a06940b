//! Which options were given, so that a kept map knows what made it and a run that goes on can tell what changes.

use super::args::{Cli, Command, Embed};
use crate::container::{self, Kept};
use crate::plan::{Plan, Settings, Shape};
use crate::{Error, Result};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory};
use std::ffi::OsString;
use std::path::Path;

/// Options that settle the data, the affinities or the shape of a map: one that goes on has them from the file that it was kept in.
const SETTLED: &[&str] = &[
    "labels",
    "id",
    "carry",
    "header",
    "columns",
    "subsample",
    "missing",
    "normalize",
    "log1p",
    "standardize",
    "image_size",
    "rgb",
    "strict",
    "method",
    "kernel",
    "dof",
    "normalization",
    "lambda",
    "p_floor",
    "stress_exponent",
    "affinity",
    "perplexity",
    "sigma",
    "affinities",
    "neighbors",
    "neighbors_file",
    "knn",
    "recall",
    "pca",
    "metric",
    "dims",
    "init",
    "seed",
];

/// Options that are a run's own and not a map's: what it writes, and what it may take for that.
const OWN: &[&str] = &[
    "outputs",
    "report",
    "shepard",
    "score",
    "atlas",
    "grid",
    "frames",
    "plan",
    "max_time",
    "checkpoint",
    "resume",
    "config",
    "host_memory",
    "device_memory",
    "threads",
];

/// An option that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What it is called inside.
    id: String,
    /// As an argument: `--perplexity=30`, `--log1p`.
    pub token: String,
}

/// Notes what was given of `nearfield embed`.
pub fn note(cli: &mut Cli, matches: &ArgMatches) {
    if let (Command::Embed(embed), Some((_, given))) = (&mut cli.command, matches.subcommand()) {
        embed.given = options(given);
    }
}

/// The options of `nearfield embed` that were given, in the order of its help.
fn options(matches: &ArgMatches) -> Vec<Given> {
    let command = Cli::command();
    let mut given = Vec::new();
    for argument in command.find_subcommand("embed").into_iter().flat_map(clap::Command::get_arguments) {
        let id = argument.get_id().as_str();
        let Some(long) = argument.get_long() else { continue };
        if !matches.try_contains_id(id).unwrap_or(false) || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let mut add = |token: String| given.push(Given { id: id.to_owned(), token });
        match argument.get_action() {
            ArgAction::SetTrue => add(format!("--{long}")),
            _ => {
                for value in matches.get_raw(id).into_iter().flatten() {
                    add(format!("--{long}={}", value.to_string_lossy()));
                }
            }
        }
    }
    given
}

impl Embed {
    /// What is kept with the map of what was given.
    pub fn kept_options(&self) -> Vec<String> {
        let kept = self.given.iter().filter(|option| !OWN.contains(&option.id.as_str()));
        kept.map(|option| option.token.clone()).collect()
    }
}

/// A run that goes on: what was asked for of it, with the options that made the map beneath, and what was kept.
pub struct Resumed {
    /// Iterations are those in all.
    pub arguments: Box<Embed>,
    /// What was read.
    pub kept: Kept,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Reads a kept map and joins its options with those given now.
///
/// # Errors
/// [`Error::Request`] for an option that the map has settled, for nothing left to do, and for what [`container::read`] refuses.
pub fn resume(now: &Embed, path: &Path) -> Result<Resumed> {
    if let Some(option) = now.given.iter().find(|option| SETTLED.contains(&option.id.as_str())) {
        let name = option.token.split('=').next().unwrap_or_default();
        let cause = "the map that goes on was made with its own, and keeps it";
        return Err(Error::request(name, cause, "leave it out, or make another map"));
    }
    let kept = container::read(path)?;
    kept.about.options.iter().try_for_each(|token| check_kept(path, token))?;
    let done = kept.course.iterations;
    let total = match now.iterations {
        Some(more) => done.saturating_add(more).min(u32::MAX as usize),
        None => kept.about.planned,
    };
    if total <= done {
        let cause = format!("all of its {done} iterations are done");
        return Err(Error::request(path.display(), cause, "give --iterations N for N more"));
    }
    let name = |token: &str| token.split('=').next().unwrap_or_default().to_owned();
    let anew: Vec<String> = now.given.iter().map(|option| name(&option.token)).collect();
    let mut tokens: Vec<String> = Vec::new();
    tokens.extend(kept.about.options.iter().filter(|&token| !anew.contains(&name(token))).cloned());
    tokens.extend(now.given.iter().map(|option| match now.iterations {
        Some(_) if option.id == "iterations" => format!("--iterations={total}"),
        _ => option.token.clone(),
    }));
    tokens.extend(now.input.clone());
    let arguments = again(path, &tokens)?;
    let notes = other_phases(path, &kept, total)?.into_iter().collect();
    Ok(Resumed { arguments, kept, notes })
}

/// Refuses what no map keeps: a file from elsewhere must not say where something is written.
fn check_kept(path: &Path, token: &str) -> Result<()> {
    let id = token.strip_prefix("--").and_then(|option| option.split('=').next()).unwrap_or_default().replace('-', "_");
    if id.is_empty() || id == "output" || OWN.contains(&id.as_str()) {
        let cause = format!("it says {token:?}, which no map keeps");
        return Err(Error::request(path.display(), cause, "make the map again"));
    }
    Ok(())
}

/// Parses arguments of `nearfield embed` that did not come from the command line.
pub fn embed_of(tokens: &[String]) -> Result<Box<Embed>> {
    let line = ["nearfield", "embed"].into_iter().chain(tokens.iter().map(String::as_str));
    match super::parse(line.map(OsString::from)).map(|cli| cli.command) {
        Ok(Command::Embed(arguments)) => Ok(arguments),
        Ok(_) => Err(Error::request("arguments", "they are of another command", "see `nearfield embed --help`")),
        Err(error) => Err(super::refusal(&error)),
    }
}

/// Parses options that were kept.
fn again(path: &Path, tokens: &[String]) -> Result<Box<Embed>> {
    embed_of(tokens).map_err(|refusal| {
        let cause = format!("the options that made it do not go with those given: {refusal}");
        Error::request(path.display(), cause, "leave those out, or make the map again")
    })
}

/// Says so if a run of `total` iterations would have had other phases where this one already was.
fn other_phases(path: &Path, kept: &Kept, total: usize) -> Result<Option<String>> {
    let mut tokens = kept.about.options.clone();
    tokens.extend(["--plan".to_owned(), "-".to_owned()]);
    let settings = settings(again(path, &tokens)?.as_ref(), kept);
    let shape = Shape { name: &kept.about.name, n: kept.about.n, input_dims: kept.about.input_dims };
    let done = kept.snapshot.iterations;
    let phases = |iterations: usize| -> Result<Vec<_>> {
        let plan = Plan::resolve(&Settings { iterations: Some(iterations), ..settings.clone() }, shape, None)?;
        let mut each = plan.phases.iter().flat_map(|phase| {
            std::iter::repeat_n((phase.exaggeration, phase.lambda, phase.learning_rate), phase.iterations)
        });
        Ok(each.by_ref().take(done).collect())
    };
    let note = format!(
        "the {done} iterations behind it were planned for {} in all: one run of {total} would have had other phases there",
        kept.about.planned
    );
    Ok((phases(kept.about.planned)? != phases(total)?).then_some(note))
}

/// The settings of a run that goes on.
pub fn settings(arguments: &Embed, kept: &Kept) -> Settings {
    Settings {
        given_neighbors: arguments.neighbors_file.as_ref().map(|_| kept.prepared.neighbors),
        ..arguments.settings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_options_that_there_are() {
        let command = Cli::command();
        let embed = command.find_subcommand("embed").expect("a command");
        let known: Vec<&str> = embed.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        for id in SETTLED.iter().chain(OWN) {
            assert!(known.contains(id), "there is no option {id}");
        }
        assert!(SETTLED.iter().all(|id| !OWN.contains(id)));
    }

    #[test]
    fn what_was_given_is_told_and_parses_again() {
        let line = "nearfield embed sample:digits -o a.npy --perplexity 10,20 --log1p --device=cpu --carry a --carry b,c --seed 3";
        let parsed = |line: &str| match crate::cli::parse(line.split(' ').map(OsString::from)).expect("sound").command {
            Command::Embed(embed) => embed,
            _ => unreachable!("it is embed"),
        };
        let embed = parsed(line);
        let options = embed.kept_options();
        let mut sorted = options.clone();
        sorted.sort();
        let want = [
            "--carry=a",
            "--carry=b",
            "--carry=c",
            "--device=cpu",
            "--log1p",
            "--perplexity=10",
            "--perplexity=20",
            "--seed=3",
        ];
        assert_eq!(sorted, want);
        let again = parsed(&format!("nearfield embed sample:digits -o a.npy {}", options.join(" ")));
        assert_eq!((again.settings(), again.carry.clone()), (embed.settings(), embed.carry.clone()));
    }
}
