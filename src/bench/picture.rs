//! A report as a picture.

use super::report::Report;
use crate::Result;
use std::path::Path;

/// Writes it.
///
/// # Errors
/// None.
pub fn write(path: &Path, report: &Report) -> Result<()> {
    crate::render::replace(path, |out| report.json(out))
}
