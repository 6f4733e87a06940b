//! `nearfield samples`: what is shipped, where it comes from, and on what terms.

use super::{End, adapters};
use crate::{Result, input};

/// Runs the command.
pub fn run() -> Result<End> {
    let listed: Vec<String> = input::SAMPLES
        .iter()
        .map(|sample| format!("sample:{}\n    {}\n    {}", sample.name, sample.description, sample.licence))
        .collect();
    adapters::print(&listed.join("\n"))?;
    Ok(End::Done)
}
