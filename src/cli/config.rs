//! A run in a file: the options of `nearfield embed` as TOML, as `--plan` prints them and `--config` takes them.

use super::args::Embed;
use super::given::{self, Given};
use crate::{Error, Result};
use std::path::Path;
use toml::{Table, Value};

/// The table of options in what `--plan` prints.
const OPTIONS: &str = "options";

/// Who wrote a file.
const WRITER: &str = "nearfield";

/// Where the input stands among the options.
const INPUT: &str = "input";

/// Options that a file cannot hold: they say what is done with it.
const NOT_IN_A_FILE: &[&str] = &["config", "plan", "quiet", "verbose", "color"];

/// The plan and the options that it follows from, for `--config`.
///
/// # Errors
/// None that a user can cause.
pub fn text(plan: &impl serde::Serialize, arguments: &Embed) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::job("--plan", error, "report this");
    let plan = toml::to_string(plan).map_err(|error| failed(&error))?;
    let mut options = Table::new();
    if let Some(input) = &arguments.input {
        options.insert(INPUT.into(), Value::String(input.clone()));
    }
    for Given { token, .. } in &arguments.given {
        let (name, value) = token.split_once('=').map_or((token.as_str(), None), |(name, value)| (name, Some(value)));
        let name = name.trim_start_matches('-');
        if NOT_IN_A_FILE.contains(&name) {
            continue;
        }
        let value = value.map_or(Value::Boolean(true), typed);
        match options.get_mut(name) {
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.clone(), value]),
            None => drop(options.insert(name.into(), value)),
        }
    }
    let mut asked = Table::new();
    asked.insert(OPTIONS.into(), Value::Table(options));
    let asked = toml::to_string(&asked).map_err(|error| failed(&error))?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "{WRITER} = \"{version}\"\n{plan}\n# What was asked for: nearfield embed --config FILE does the same again, and reads no other part of this.\n{asked}"
    ))
}

/// A number where it is one and is shown as it was written.
fn typed(value: &str) -> Value {
    let whole = value.parse::<i64>().ok().filter(|number| number.to_string() == value).map(Value::Integer);
    let number = || value.parse::<f64>().ok().filter(|number| number.to_string() == value).map(Value::Float);
    whole.or_else(number).unwrap_or_else(|| Value::String(value.to_owned()))
}

/// Joins a file's options with those given beside it, which go before.
///
/// # Errors
/// [`Error::Request`] for a file that cannot be read or is no TOML, for keys that are no options and values that they cannot have, and where
/// there is neither input nor output then.
pub fn joined(now: &Embed, path: &Path) -> Result<Box<Embed>> {
    let file = read(path)?;
    let options = match file.get(OPTIONS) {
        Some(Value::Table(options)) => options,
        Some(_) => return Err(refuse(path, format!("{OPTIONS} is no table"), "write it [options]")),
        // Written by hand.
        None => &file,
    };
    let mut tokens = Vec::new();
    let mut input = now.input.clone();
    for (key, value) in options {
        if key == INPUT {
            let named = value.as_str().ok_or_else(|| refuse(path, "input is no text", "name a file in quotes"))?;
            input.get_or_insert_with(|| named.to_owned());
            continue;
        }
        if key == WRITER {
            continue;
        }
        if NOT_IN_A_FILE.contains(&key.as_str()) {
            return Err(refuse(path, format!("{key} does not go into a file"), "give it beside --config"));
        }
        let option = format!("--{key}");
        let is_given = |given: &Given| given.token == option || given.token.starts_with(&format!("{option}="));
        if now.given.iter().any(is_given) {
            continue;
        }
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Boolean(true) => tokens.push(option.clone()),
                Value::Boolean(false) => {}
                Value::String(text) => tokens.push(format!("{option}={text}")),
                Value::Integer(_) | Value::Float(_) => tokens.push(format!("{option}={value}")),
                Value::Datetime(_) | Value::Table(_) | Value::Array(_) => {
                    let cause = format!("{key} is no text, number or truth value, nor a list of them");
                    return Err(refuse(path, cause, "see `nearfield embed --help`"));
                }
            }
        }
    }
    tokens.extend(now.given.iter().map(|given| given.token.clone()));
    if input.is_none() && now.resume.is_none() && !tokens.iter().any(|token| token.starts_with("--resume=")) {
        return Err(refuse(path, "it names no input, and none is given", "write input = \"FILE\", or give one"));
    }
    if !now.plan && !tokens.iter().any(|token| token.starts_with("--output=")) {
        return Err(refuse(path, "it names no output, and none is given", "write output = \"FILE\", or give -o"));
    }
    tokens.extend(input);
    given::embed_of(&tokens).map_err(|refusal| refuse(path, refusal, ""))
}

/// What of a plan is not as it stands in the file that the run repeats, one sentence; memory and threads are the machine's.
pub fn other_plan(path: &Path, plan: &impl serde::Serialize) -> Option<String> {
    let file = read(path).ok()?;
    file.get(OPTIONS)?;
    let now = Table::try_from(plan).ok()?;
    let is_compared = |key: &str| !["memory", "threads", "input", "init"].contains(&key);
    let keys = now.keys().chain(file.keys().filter(|key| ![OPTIONS, WRITER].contains(&key.as_str())));
    let mut other: Vec<&str> =
        keys.filter(|key| is_compared(key) && now.get(*key) != file.get(*key)).map(|key| &**key).collect();
    other.sort_unstable();
    other.dedup();
    let version = file.get(WRITER).and_then(Value::as_str).filter(|&version| version != env!("CARGO_PKG_VERSION"));
    let path = path.display();
    match (&other[..], version) {
        ([], None) => None,
        ([], Some(version)) => Some(format!("{path} was written by nearfield {version}, whose maps may differ")),
        (other, _) => Some(format!("this run is not quite that of {path}: {} came out otherwise", other.join(", "))),
    }
}

fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(path, format!("cannot be read: {error}"), "check the path"))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        refuse(path, format!("line {line} is no TOML: {}", error.message()), "see what `nearfield embed --plan` prints")
    })
}

fn refuse(path: &Path, cause: impl std::fmt::Display, remedy: &str) -> Error {
    Error::request(path.display(), cause, remedy)
}
