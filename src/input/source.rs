//! Where bytes come from: a file on disk or one inside the binary.

use super::SNIFFED;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of known number that can be read from any place.
pub(super) struct Source {
    /// For messages: the path as it was given, or `sample:NAME`.
    pub name: String,
    /// The name whose extension counts.
    file_name: String,
    /// Bytes in all.
    pub len: u64,
    /// The first bytes, at most [`SNIFFED`].
    pub head: Vec<u8>,
    bytes: Box<dyn Bytes>,
}

/// What a source is read through.
pub(super) trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

impl Source {
    /// A file on disk. Errors if it is missing, a folder, not a regular file, unreadable or empty.
    pub fn open(path: &str) -> Result<Source> {
        if path.is_empty() {
            return Err(Error::request(path, "is not the name of a file", "give a file"));
        }
        let refused = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => Error::request(path, "no such file", "check the path"),
            ErrorKind::PermissionDenied => Error::request(path, "may not be read", "ask its owner for permission"),
            _ => Error::request(path, format!("cannot be opened: {error}"), "check the path"),
        };
        // Looked at before it is opened, because opening a pipe that nobody writes would wait for ever.
        let found = std::fs::metadata(path).map_err(refused)?;
        if found.is_dir() {
            let cause = "is a folder, and folders of pictures are not read yet";
            return Err(Error::request(path, cause, "give a file"));
        }
        if !found.is_file() {
            return Err(Error::request(path, "is not a regular file", "save what it yields to a file and give that"));
        }
        let file = File::open(path).map_err(refused)?;
        if found.len() == 0 {
            return Err(Error::request(path, "is empty", "check what was to write it"));
        }
        let mut source = Source {
            name: path.to_string(),
            file_name: path.to_string(),
            len: found.len(),
            head: Vec::new(),
            bytes: Box::new(file),
        };
        source.head = source.read_at(0, SNIFFED.min(source.len as usize))?;
        Ok(source)
    }

    /// A file inside the binary, called `name` in messages.
    pub fn shipped(name: &str, (file_name, bytes): (&str, &'static [u8])) -> Source {
        Source {
            name: name.to_string(),
            file_name: file_name.to_string(),
            len: bytes.len() as u64,
            head: bytes[..SNIFFED.min(bytes.len())].to_vec(),
            bytes: Box::new(Cursor::new(bytes)),
        }
    }

    /// What stands behind the last dot of the name, in lower case; empty if there is none.
    pub fn extension(&self) -> String {
        Path::new(&self.file_name).extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
    }

    /// The bytes from `offset` on.
    pub fn from(&mut self, offset: u64) -> Result<&mut dyn Bytes> {
        match self.bytes.seek(SeekFrom::Start(offset)) {
            Ok(_) => Ok(self.bytes.as_mut()),
            Err(error) => Err(failed(&self.name, error)),
        }
    }

    /// Up to `count` bytes at `offset`, fewer if the file ends there. The caller bounds `count`.
    pub fn read_at(&mut self, offset: u64, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let stream = self.from(offset)?;
        let (there, error) = fill(stream, &mut bytes);
        match error {
            Some(error) => Err(failed(&self.name, error)),
            None => {
                bytes.truncate(there);
                Ok(bytes)
            }
        }
    }
}

/// Reads until the buffer is full, the bytes end or an error comes; says how many bytes there were.
pub(super) fn fill(stream: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> (usize, Option<std::io::Error>) {
    let mut there = 0;
    while there < buffer.len() {
        match stream.read(&mut buffer[there..]) {
            Ok(0) => break,
            Ok(count) => there += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (there, Some(error)),
        }
    }
    (there, None)
}

/// The disk failed while a sound file was read.
pub(super) fn failed(name: &str, error: std::io::Error) -> Error {
    Error::job(name, format!("reading it failed: {error}"), "")
}
