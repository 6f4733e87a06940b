//! Where bytes come from: a file on disk, one inside the binary, standard input, or an array inside a zip archive; plain or packed
//! by gzip or zstd, which no reader need know.

use super::SNIFFED;
use crate::error::{Error, Result, size};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, IsTerminal, Read, Seek, SeekFrom};
use std::path::Path;
use zip::ZipArchive;

/// Bytes that can be read from any place.
pub(super) struct Source {
    /// For messages: the path as it was given, `sample:NAME`, or `stdin`.
    pub name: String,
    /// The name whose extension counts.
    file_name: String,
    /// Bytes as they are stored.
    pub len: u64,
    /// The first bytes, at most [`SNIFFED`], once unpacked.
    pub head: Vec<u8>,
    /// What of the file was asked for, behind a colon.
    pub part: Option<String>,
    /// The most bytes that reading may unpack, or hold.
    pub limit: u64,
    store: Store,
}

/// How the bytes are stored.
enum Store {
    Plain(Box<dyn Bytes>),
    Gzip(Box<dyn Bytes>),
    Zstd(Box<dyn Bytes>),
    /// The file of this number.
    Zip(Archived, usize),
}

/// An archive that a file is.
pub(super) type Archived = Box<ZipArchive<Box<dyn Bytes>>>;

/// What a source is read through.
pub(super) trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Of an archive with files in it.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

impl Source {
    /// A file on disk, or one of its parts, as `FILE:PART`; `-` is standard input, all of which is held.
    ///
    /// Errors if it is missing, a folder, not a regular file, unreadable or empty; if standard input is a terminal.
    pub fn open(path: &str, limit: u64) -> Result<Source> {
        if path == "-" {
            return Source::stdin(limit);
        }
        if path.is_empty() {
            return Err(Error::request(path, "is not the name of a file", "give a file"));
        }
        let (file_name, part) = split(path);
        let refused = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => Error::request(path, "no such file", "check the path"),
            ErrorKind::PermissionDenied => Error::request(path, "may not be read", "ask its owner for permission"),
            _ => Error::request(path, format!("cannot be opened: {error}"), "check the path"),
        };
        // Looked at before it is opened, because opening a pipe that nobody writes would wait for ever.
        let found = std::fs::metadata(file_name).map_err(refused)?;
        if found.is_dir() {
            return Err(Error::request(path, "is a folder", "give a file"));
        }
        if !found.is_file() {
            return Err(Error::request(
                path,
                "is not a regular file",
                "save what it yields to a file, or pipe it to -",
            ));
        }
        let file = File::open(file_name).map_err(refused)?;
        if found.len() == 0 {
            return Err(Error::request(path, "is empty", "check what was to write it"));
        }
        Source::new(path, file_name, part, found.len(), Box::new(file), limit)
    }

    /// A file inside the binary, called `name` in messages.
    pub fn shipped(name: &str, (file_name, bytes): (&str, &'static [u8])) -> Result<Source> {
        Source::new(name, file_name, None, bytes.len() as u64, Box::new(Cursor::new(bytes)), u64::MAX)
    }

    fn stdin(limit: u64) -> Result<Source> {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(Error::request("stdin", "is a terminal", "pipe a table into it, or name a file"));
        }
        let mut bytes = Vec::new();
        let read = stdin.lock().take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Faults { name: "stdin".into(), packed: false, limit }.of(error))?;
        if bytes.len() as u64 > limit {
            let cause = format!("goes on after {}, more than there is memory for", size(limit));
            return Err(Error::request("stdin", cause, "save it to a file and take fewer rows of that"));
        }
        if bytes.is_empty() {
            return Err(Error::request("stdin", "is empty", "check what was to write it"));
        }
        Source::new("stdin", "stdin", None, bytes.len() as u64, Box::new(Cursor::new(bytes)), limit)
    }

    fn new(
        name: &str,
        file_name: &str,
        part: Option<&str>,
        len: u64,
        mut bytes: Box<dyn Bytes>,
        limit: u64,
    ) -> Result<Source> {
        let faults = Faults { name: name.into(), packed: false, limit };
        let mut magic = [0; 4];
        let (there, error) = fill(&mut bytes, &mut magic);
        if let Some(error) = error {
            return Err(faults.of(error));
        }
        let (store, packed) = match &magic[..there] {
            magic if magic.starts_with(GZIP) => (Store::Gzip(bytes), true),
            magic if magic.starts_with(ZSTD) => (Store::Zstd(bytes), true),
            _ => (Store::Plain(bytes), false),
        };
        // `a.csv.gz` is a CSV.
        let inner = Path::new(file_name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let file_name = match (packed, extension(file_name).as_str(), inner) {
            (true, "gz" | "zst" | "zstd", Some(inner)) => inner,
            _ => file_name.to_string(),
        };
        let part = part.map(str::to_string);
        let mut source = Source { name: name.into(), file_name, len, head: Vec::new(), part, limit, store };
        source.read_head()?;
        Ok(source)
    }

    /// The zip archive that the bytes are.
    pub fn archive(self) -> Result<Archived> {
        let Store::Plain(bytes) = self.store else {
            return Err(Error::request(&self.name, "is an archive inside an archive", "unpack it once"));
        };
        match ZipArchive::new(bytes) {
            Ok(archive) => Ok(Box::new(archive)),
            Err(error) => {
                let cause = format!("does not unpack: {error}");
                Err(Error::request(self.name, cause, "the file is damaged or was cut short; write it again"))
            }
        }
    }

    /// A file of an archive, called `name` in messages; and the archive again where it does not begin to unpack.
    pub fn of_archive(name: &str, mut archive: Archived, at: usize, limit: u64) -> Result<Source> {
        let refused = |error: zip::result::ZipError| {
            Error::request(name, format!("does not unpack: {error}"), "the file is damaged; write it again")
        };
        let (len, file_name) = {
            let file = archive.by_index(at).map_err(refused)?;
            (file.compressed_size(), file.name().map_err(refused)?.to_string())
        };
        let store = Store::Zip(archive, at);
        let mut source = Source { name: name.into(), file_name, len, head: Vec::new(), part: None, limit, store };
        source.read_head()?;
        Ok(source)
    }

    /// The archive that this is a file of.
    pub fn into_archive(self) -> Option<Archived> {
        match self.store {
            Store::Zip(archive, _) => Some(archive),
            _ => None,
        }
    }

    /// A file that does not unpack has a head as far as it does: its reader says what is wrong.
    fn read_head(&mut self) -> Result<()> {
        let packed = self.packed();
        let faults = self.faults();
        let mut head = vec![0; SNIFFED];
        let (there, error) = fill(&mut self.stream(0)?, &mut head);
        match error {
            Some(error) if !packed => return Err(faults.of(error)),
            _ => {}
        }
        head.truncate(there);
        self.head = head;
        Ok(())
    }

    /// Whether what is read is more than what is stored.
    pub fn packed(&self) -> bool {
        !matches!(self.store, Store::Plain(_))
    }

    /// What stands behind the last dot of the name, in lower case, that of a packing left out; empty if there is none.
    pub fn extension(&self) -> String {
        extension(&self.file_name)
    }

    /// The name without what was asked for of it.
    pub fn path(&self) -> &str {
        split(&self.name).0
    }

    /// Refuses a part where a file has none.
    pub fn check_no_part(&self) -> Result<()> {
        match &self.part {
            None => Ok(()),
            Some(part) => {
                let cause = format!("is no collection of arrays that could have one named {part}");
                Err(Error::request(&self.name, cause, format!("give {} alone", self.path())))
            }
        }
    }

    /// What its errors become.
    pub fn faults(&self) -> Faults {
        Faults { name: self.name.clone(), packed: self.packed(), limit: self.limit }
    }

    /// The unpacked bytes from `offset` on. More than the limit are an error ([`Faults`]).
    pub fn stream(&mut self, offset: u64) -> Result<Box<dyn Read + '_>> {
        let faults = self.faults();
        let limit = self.limit;
        let mut unpacked: Box<dyn Read + '_> = match &mut self.store {
            Store::Plain(bytes) => {
                bytes.seek(SeekFrom::Start(offset)).map_err(|error| faults.of(error))?;
                return Ok(Box::new(bytes));
            }
            Store::Gzip(bytes) => {
                bytes.seek(SeekFrom::Start(0)).map_err(|error| faults.of(error))?;
                Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, bytes)))
            }
            Store::Zstd(bytes) => {
                bytes.seek(SeekFrom::Start(0)).map_err(|error| faults.of(error))?;
                Box::new(zstd::Decoder::new(bytes).map_err(|error| faults.of(error))?)
            }
            Store::Zip(archive, at) => {
                let refused =
                    |error| Error::request(&faults.name, format!("does not unpack: {error}"), "write it again");
                Box::new(archive.by_index(*at).map_err(refused)?)
            }
        };
        // What lies before is unpacked and thrown away; an end within it shows when the rest is read.
        let mut left = offset;
        let mut thrown = vec![0; offset.min(1 << 16) as usize];
        while left > 0 {
            let count = thrown.len().min(left as usize);
            match fill(&mut unpacked, &mut thrown[..count]) {
                (_, Some(error)) => return Err(faults.of(error)),
                (there, None) if there < count => break,
                _ => left -= count as u64,
            }
        }
        Ok(Box::new(Bounded { unpacked, left: limit.saturating_sub(offset) }))
    }

    /// The bytes of a file that is not packed, from any place.
    pub fn seekable(&mut self) -> Result<&mut dyn Bytes> {
        let faults = self.faults();
        match &mut self.store {
            Store::Plain(bytes) => {
                bytes.seek(SeekFrom::Start(0)).map_err(|error| faults.of(error))?;
                Ok(bytes.as_mut())
            }
            _ => Err(Error::request(&self.name, "is packed, and this kind is read from anywhere", "unpack it first")),
        }
    }

    /// Up to `count` bytes at `offset`, fewer if the file ends there. The caller bounds `count`.
    pub fn read_at(&mut self, offset: u64, count: usize) -> Result<Vec<u8>> {
        let faults = self.faults();
        let mut bytes = vec![0; count];
        let (there, error) = fill(&mut self.stream(offset)?, &mut bytes);
        match error {
            Some(error) => Err(faults.of(error)),
            None => {
                bytes.truncate(there);
                Ok(bytes)
            }
        }
    }

    /// All bytes.
    pub fn read_all(&mut self) -> Result<Vec<u8>> {
        let faults = self.faults();
        let mut bytes = Vec::new();
        let room = if self.packed() { self.limit } else { self.len };
        if room < u64::MAX && !self.packed() && bytes.try_reserve_exact(room as usize).is_err() {
            return Err(Error::request(&self.name, "does not fit in memory", "take a part of it"));
        }
        self.stream(0)?.read_to_end(&mut bytes).map_err(|error| faults.of(error))?;
        Ok(bytes)
    }
}

/// `FILE:PART` where there is a file of that name and none of the whole.
fn split(path: &str) -> (&str, Option<&str>) {
    match path.rsplit_once(':') {
        Some((file, part)) if !part.is_empty() && !Path::new(path).exists() && Path::new(file).is_file() => {
            (file, Some(part))
        }
        _ => (path, None),
    }
}

fn extension(name: &str) -> String {
    Path::new(name).extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Bytes that end in an error where there are too many.
struct Bounded<'a> {
    unpacked: Box<dyn Read + 'a>,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.unpacked.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| std::io::Error::from(ErrorKind::FileTooLarge))?;
        Ok(count)
    }
}

/// What errors of a stream become: of a packed file they tell of the file, else of the disk.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    name: String,
    pub packed: bool,
    limit: u64,
}

impl Faults {
    pub fn of(&self, error: std::io::Error) -> Error {
        match error.kind() {
            _ if !self.packed => Error::job(&self.name, format!("reading it failed: {error}"), ""),
            ErrorKind::FileTooLarge => {
                let cause = format!("unpacks to more than {}, which there is no memory for", size(self.limit));
                Error::request(
                    &self.name,
                    cause,
                    "unpack it and take a part of it, or give --host-memory if there is more",
                )
            }
            ErrorKind::UnexpectedEof => {
                let cause = "is truncated: it ends before what is packed in it does";
                Error::request(&self.name, cause, "the file was cut short; fetch it again")
            }
            _ => Error::request(&self.name, format!("does not unpack: {error}"), "the file is damaged; fetch it again"),
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
