//! Replacing a file in one step: write beside it, then rename.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writes a file by `bytes_writer` beside `path` and renames it to `path` when it is complete and on the disk.
///
/// On any failure the hidden file is removed and what was at `path` stays. A symbolic link stays one: the file that it
/// names is replaced. What is there but is no plain file (a pipe, a terminal, the null device) is written to directly.
///
/// # Errors
///
/// [`Error::Job`] for whatever `bytes_writer` or the file system reports.
pub fn replace(path: &Path, bytes_writer: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = |error: io::Error| job_error(path, &error);
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let mut out = BufWriter::new(OpenOptions::new().write(true).open(path).map_err(failed)?);
        return bytes_writer(&mut out).and_then(|()| out.flush()).map_err(failed);
    }
    // Where nothing is there yet the path cannot be resolved, and need not be.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let (file, hidden) = Hidden::create(folder_of(&target)).map_err(failed)?;
    let mut out = BufWriter::new(file);
    bytes_writer(&mut out).and_then(|()| out.flush()).map_err(failed)?;
    let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    // Without this a crash of the machine soon after could leave an empty file under the final name.
    file.sync_all().map_err(failed)?;
    if let Ok(replaced) = fs::metadata(&target) {
        file.set_permissions(replaced.permissions()).map_err(failed)?;
    }
    // Some systems do not rename a file that is open.
    drop(file);
    hidden.rename(&target).map_err(failed)
}

/// See [`super::check_place`].
pub fn check_place(path: &Path) -> Result<()> {
    let wrong = |cause: &str, remedy: &str| Err(Error::request(path.display(), cause, remedy));
    // The parts of a path do not tell `map.png/` from `map.png`.
    if path.as_os_str().as_encoded_bytes().last().is_some_and(|&last| std::path::is_separator(last.into())) {
        return wrong("it names a folder", "name a file in it");
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return wrong("it is a folder", "name a file in it"),
        Ok(found) if !found.is_file() => return Ok(()),
        Ok(found) if found.permissions().readonly() => return wrong("it is write-protected", "name another file"),
        _ => {}
    }
    if path.file_name().is_none() {
        return wrong("it is not the name of a file", "name a file to write");
    }
    let folder = folder_of(path);
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return wrong(&format!("the folder {} does not exist", folder.display()), "create it, or name another");
        }
        Ok(found) if !found.is_dir() => {
            return wrong(&format!("{} is not a folder", folder.display()), "name a file in a folder");
        }
        _ => {}
    }
    // Permission bits tell too little (owners, access lists, read-only disks): only creating a file shows that it goes.
    match Hidden::create(folder) {
        Ok(_removed_again) => Ok(()),
        Err(error) => wrong(&format!("no file can be created in its folder ({error})"), "name another folder"),
    }
}

/// Checks that pictures can be put in the folder `path`, which may not be there yet.
///
/// # Errors
///
/// [`Error::Request`] if it is something else than a folder, or if it or the folder above it takes no files.
pub fn check_folder(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        return Err(Error::request(path.display(), "is no folder", "name one for --frames"));
    }
    // A folder that is not there yet goes where a file would.
    check_place(&if path.is_dir() { path.join("0.png") } else { path.to_path_buf() })
}

/// Makes the folder `path` unless it is there.
///
/// # Errors
///
/// [`Error::Job`] if it cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |error| Error::job(path.display(), format!("cannot be made: {error}"), "name another folder");
    fs::create_dir(path).map_err(failed)
}

/// Removes every file that is being written under a hidden name, for a process that is about to end in the middle.
///
/// No other is begun afterwards: whoever tries waits for the end.
pub fn discard() {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        let _ = fs::remove_file(path);
    }
    std::mem::forget(unfinished);
}

/// The hidden files that now exist.
fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file under a hidden name, removed unless it is renamed.
struct Hidden {
    path: PathBuf,
}

impl Hidden {
    /// Creates one that did not exist, in `folder`.
    fn create(folder: &Path) -> io::Result<(File, Hidden)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            // The process id keeps running processes apart, the count threads and what a killed process of the same id
            // has left behind. The target's own name is not part of it, since names may be as long as names can be.
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".nearfield-{}-{count}.tmp", process::id()));
            // Held over the creation, so that nothing exists that is not listed.
            let mut unfinished = unfinished();
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    unfinished.push(path.clone());
                    return Ok((file, Hidden { path }));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(self, target: &Path) -> io::Result<()> {
        // On success the old name is gone, and what `drop` does then is nothing.
        fs::rename(&self.path, target)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A file that cannot be removed cannot be helped; the error that brought us here is the one to report.
        let _ = fs::remove_file(&self.path);
        unfinished().retain(|path| *path != self.path);
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn job_error(path: &Path, error: &io::Error) -> Error {
    let (cause, remedy) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("the disk is full".into(), "free some space"),
        ErrorKind::PermissionDenied => (format!("it could not be written ({error})"), "name another folder"),
        _ => (format!("it could not be written ({error})"), "name another file"),
    };
    Error::job(path.display(), cause, remedy)
}
