//! `nearfield completions`: for shells, and the manual, from the same list as `--help`.

use super::args::{Cli, Completions, CompletionsOf};
use super::{End, adapters};
use crate::{Error, Result};
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// Runs the command.
pub fn run(arguments: &Completions) -> Result<End> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    let shell = match arguments.of {
        CompletionsOf::Bash => Some(Shell::Bash),
        CompletionsOf::Elvish => Some(Shell::Elvish),
        CompletionsOf::Fish => Some(Shell::Fish),
        CompletionsOf::Powershell => Some(Shell::PowerShell),
        CompletionsOf::Zsh => Some(Shell::Zsh),
        CompletionsOf::Man => None,
    };
    match shell {
        Some(shell) => generate(shell, &mut command, "nearfield", &mut text),
        None => manual(command, &mut text).map_err(|error| Error::job("the manual", error, "report this"))?,
    }
    adapters::print(String::from_utf8_lossy(&text).trim_end())?;
    Ok(End::Done)
}

/// The page of the program, and after it what each command takes.
fn manual(mut command: clap::Command, out: &mut Vec<u8>) -> std::io::Result<()> {
    command.build();
    Man::new(command.clone()).render(out)?;
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        let page = Man::new(part.clone());
        out.extend_from_slice(format!(".SH \"NEARFIELD {}\"\n", part.get_name().to_uppercase()).as_bytes());
        page.render_synopsis_section(out)?;
        page.render_description_section(out)?;
        page.render_options_section(out)?;
        page.render_extra_section(out)?;
    }
    Ok(())
}
