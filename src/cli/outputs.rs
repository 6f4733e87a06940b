//! Where a command writes: every output under a name of its own that is not one of the data's.

use crate::render::{self, Map};
use crate::{Error, Result};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Stdout, as a name of an output: the table that `.csv` is.
const STDOUT: &str = "-";

/// Whether a map can be written there: see [`render::check`].
pub fn check(path: &Path) -> Result<()> {
    match path {
        _ if path == Path::new(STDOUT) => Ok(()),
        _ if render::is_container(path) => render::check_place(path),
        _ => render::check(path),
    }
}

/// Writes a map, to stdout as a table; a closed pipe is not an error.
pub fn write(path: &Path, map: &Map) -> Result<()> {
    if path != Path::new(STDOUT) {
        return render::write(path, map);
    }
    let mut out = std::io::stdout().lock();
    match render::write_table(&mut out, map)?.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::job("stdout", format!("cannot be written: {error}"), ""))
        }
        _ => Ok(()),
    }
}

/// Refuses outputs that are read as well, or that are named twice.
pub fn check_distinct<'a>(outputs: impl Iterator<Item = &'a PathBuf>, data: &[Option<&str>]) -> Result<()> {
    let data: Vec<PathBuf> = data.iter().flatten().filter_map(|path| Path::new(path).canonicalize().ok()).collect();
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in outputs {
        let place = if path == Path::new(STDOUT) { Some(path.clone()) } else { place(path) };
        let Some(place) = place else { continue };
        if data.contains(&place) {
            return Err(Error::request(path.display(), "is read by this command", "name another file to write"));
        }
        if seen.contains(&place) {
            let cause = "is named twice as an output";
            return Err(Error::request(path.display(), cause, "give each output a name of its own"));
        }
        seen.push(place);
    }
    Ok(())
}

/// The one file that a path leads to, whether it is there yet or not; `None` for what is no plain file (a device may
/// take several outputs) or lies in no folder.
fn place(path: &Path) -> Option<PathBuf> {
    if let Ok(file) = path.canonicalize() {
        return file.is_file().then_some(file);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}

/// What a picture of this input is called: a file's name without its folder, a sample's without its prefix.
pub fn title(input: &str) -> String {
    match input.strip_prefix("sample:") {
        Some(name) => name.to_owned(),
        None => PathBuf::from(input)
            .file_name()
            .map_or_else(|| input.to_owned(), |name| name.to_string_lossy().into_owned()),
    }
}
