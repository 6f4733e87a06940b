//! The frame of a container, which is that of safetensors: eight bytes that say how long a JSON header is, the header, and tensors
//! end to end, little endian, row by row. The header's `__metadata__` are texts.
//!
//! The crate of that name wants a whole file in memory, on its way in as on its way out; here tensors are written from where they lie.
//! One of the texts is a digest (XXH64) of everything in the file but itself: whatever is changed or cut off is noticed before any of it is used.

use crate::error::{Error, Result, size};
use bytemuck::{AnyBitPattern, NoUninit};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use twox_hash::XxHash64;

/// safetensors' own bound on a header.
const LONGEST_HEADER: u64 = 100_000_000;

const DIGEST: &str = "digest";

/// Stands for the digest while it is computed.
const NO_DIGEST: &str = "0000000000000000";

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Numbers that tensors hold.
pub trait Number: NoUninit + AnyBitPattern {
    /// What safetensors calls them.
    const NAME: &'static str;
}

macro_rules! numbers {
    ($($type:ty = $name:literal),*) => { $(impl Number for $type { const NAME: &'static str = $name; })* };
}

numbers!(u8 = "U8", u32 = "U32", u64 = "U64", f32 = "F32", f64 = "F64");

/// What is to be written.
#[derive(Default)]
pub struct Outgoing<'a> {
    texts: Map<String, Value>,
    tensors: Vec<Tensor<'a>>,
}

/// Name, type, shape and bytes.
type Tensor<'a> = (String, &'static str, Vec<usize>, Cow<'a, [u8]>);

impl<'a> Outgoing<'a> {
    /// Adds a text.
    pub fn text(&mut self, name: &str, text: impl ToString) {
        self.texts.insert(name.to_owned(), Value::String(text.to_string()));
    }

    /// Adds a tensor of numbers that lie elsewhere.
    pub fn tensor<T: Number>(&mut self, name: impl Into<String>, shape: &[usize], numbers: Cow<'a, [T]>) {
        let bytes = match numbers {
            Cow::Borrowed(numbers) => Cow::Borrowed(bytemuck::cast_slice(numbers)),
            Cow::Owned(numbers) => Cow::Owned(bytemuck::cast_slice(&numbers).to_vec()),
        };
        debug_assert_eq!(bytes.len(), shape.iter().product::<usize>() * size_of::<T>());
        self.tensors.push((name.into(), T::NAME, shape.to_vec(), bytes));
    }

    /// Adds a list of texts, as a tensor of bytes that are JSON.
    pub fn texts(&mut self, name: impl Into<String>, texts: &[String]) {
        let bytes = json!(texts).to_string().into_bytes();
        self.tensor(name, &[bytes.len()], Cow::Owned(bytes));
    }

    /// Writes everything.
    pub fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        // Wide numbers first, so that each lies at a multiple of its size.
        self.tensors.sort_by_key(|(_, kind, ..)| std::cmp::Reverse(width(kind)));
        let mut digest = XxHash64::with_seed(0);
        digest.write(&self.header(NO_DIGEST));
        self.tensors.iter().for_each(|(.., bytes)| digest.write(bytes));
        let header = self.header(&format!("{:016x}", digest.finish()));
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        self.tensors.iter().try_for_each(|(.., bytes)| out.write_all(bytes))
    }

    fn header(&self, digest: &str) -> Vec<u8> {
        let mut texts = self.texts.clone();
        texts.insert(DIGEST.into(), digest.into());
        let mut header = Map::new();
        header.insert("__metadata__".into(), Value::Object(texts));
        let mut at = 0;
        for (name, kind, shape, bytes) in &self.tensors {
            let end = at + bytes.len();
            header.insert(name.clone(), json!({ "dtype": kind, "shape": shape, "data_offsets": [at, end] }));
            at = end;
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        // The format's own padding.
        text.resize((text.len() + 8).next_multiple_of(8) - 8, b' ');
        text
    }
}

/// Bytes of a number.
fn width(kind: &str) -> usize {
    match kind {
        "F64" | "U64" => 8,
        "F32" | "U32" => 4,
        _ => 1,
    }
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The type of its numbers.
    pub kind: String,
    /// Its sides.
    pub shape: Vec<usize>,
    /// Where its bytes begin in the file.
    begin: u64,
    /// How many there are.
    pub bytes: u64,
}

/// A file of which the header was read and found to be sound.
pub struct Incoming {
    path: String,
    file: File,
    header: Vec<u8>,
    /// The texts.
    pub texts: BTreeMap<String, String>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Entry>,
}

impl Incoming {
    /// Opens a file and reads its header; `None` if it is no file of tensors at all.
    ///
    /// # Errors
    /// [`Error::Request`] for a file that is not there or cut short, and for tensors that do not fill it exactly.
    pub fn open(path: &Path) -> Result<Option<Incoming>> {
        let name = path.display().to_string();
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::request(&name, "no such file", "check the path"),
            _ => Error::request(&name, format!("cannot be read: {error}"), "check the path"),
        };
        // Looked at before it is opened, because opening a pipe that nobody writes would wait for ever.
        let found = std::fs::metadata(path).map_err(refused)?;
        if !found.is_file() {
            return Err(Error::request(&name, "is not a regular file", "give the file that -o FILE.nearfield wrote"));
        }
        let mut file = File::open(path).map_err(refused)?;
        let mut length = [0; 8];
        if found.len() < 10 {
            return Ok(None);
        }
        file.read_exact(&mut length).map_err(refused)?;
        let length = u64::from_le_bytes(length);
        let mut start = [0; 2];
        file.read_exact(&mut start).map_err(refused)?;
        if !(2..=LONGEST_HEADER).contains(&length) || &start != b"{\"" {
            return Ok(None);
        }
        if length > found.len() - 8 {
            return Err(damaged(&name, "it is cut short within its header"));
        }
        let mut header = vec![0; length as usize];
        header[..2].copy_from_slice(&start);
        file.read_exact(&mut header[2..]).map_err(refused)?;
        let parsed = parse(&header, 8 + length);
        let (texts, tensors) =
            parsed.map_err(|what| damaged(&name, format!("its header is not understood: {what}")))?;
        let end = tensors.values().map(|entry| entry.begin + entry.bytes).max().unwrap_or(8 + length);
        if end != found.len() {
            let cause = format!("its header tells of {}, and it has {}", size(end), size(found.len()));
            return Err(damaged(&name, cause));
        }
        Ok(Some(Incoming { path: name, file, header, texts, tensors }))
    }

    /// An error of this file.
    pub fn damaged(&self, cause: impl std::fmt::Display) -> Error {
        damaged(&self.path, cause)
    }

    /// Refuses a file that is not what was written: reads all of it.
    ///
    /// # Errors
    /// [`Error::Request`] if its digest is another one.
    pub fn verify(&mut self) -> Result<()> {
        let told = self.text(DIGEST)?.to_owned();
        let wrong = || damaged(&self.path, "its bytes are not those that were written");
        // Where the digest stands in the header, zeros were hashed.
        let is_digest = told.len() == NO_DIGEST.len() && told.bytes().all(|byte| byte.is_ascii_hexdigit());
        let field = |digest: &str| format!("\"{DIGEST}\":\"{digest}\"").into_bytes();
        let place = self.header.windows(field(NO_DIGEST).len()).position(|window| window == field(&told));
        let place = place.filter(|_| is_digest).ok_or_else(wrong)?;
        let mut blank = self.header.clone();
        blank[place..][..field(NO_DIGEST).len()].copy_from_slice(&field(NO_DIGEST));
        let mut digest = XxHash64::with_seed(0);
        digest.write(&blank);
        let failed = |error: io::Error| damaged(&self.path, format!("it cannot be read: {error}"));
        let mut file = &self.file;
        file.seek(SeekFrom::Start(8 + self.header.len() as u64)).map_err(failed)?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => break,
                count => digest.write(&piece[..count]),
            }
        }
        if format!("{:016x}", digest.finish()) == told { Ok(()) } else { Err(wrong()) }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// [`Error::Request`] where it is not.
    pub fn text(&self, name: &str) -> Result<&str> {
        let text = self.texts.get(name).ok_or_else(|| self.damaged(format!("it does not say {name}")))?;
        Ok(text)
    }

    /// A text that must be there, and say a value.
    ///
    /// # Errors
    /// [`Error::Request`] where it does not.
    pub fn value<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| self.damaged(format!("{name} is {text:?}")))
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The numbers of a tensor that must be there, of this type and shape; 0 stands for any length of a side.
    ///
    /// # Errors
    /// [`Error::Request`] where it is missing or another; memory is taken for what the file has, not for what it claims.
    pub fn tensor<T: Number>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(self.damaged(format!("it has no tensor {name}")));
        };
        let alike = |(&want, &got): (&usize, &usize)| want == 0 || want == got;
        let fits = entry.shape.len() == shape.len() && shape.iter().zip(&entry.shape).all(alike);
        if entry.kind != T::NAME || !fits {
            let wanted: Vec<String> =
                shape.iter().map(|&side| if side == 0 { "any".into() } else { side.to_string() }).collect();
            let cause = format!(
                "tensor {name} is {} {:?}, where {} [{}] is needed",
                entry.kind,
                entry.shape,
                T::NAME,
                wanted.join(", ")
            );
            return Err(self.damaged(cause));
        }
        let mut numbers = vec![T::zeroed(); entry.bytes as usize / size_of::<T>()];
        let read = self.file.seek(SeekFrom::Start(entry.begin));
        let read = read.and_then(|_| self.file.read_exact(bytemuck::cast_slice_mut(&mut numbers)));
        read.map_err(|error| self.damaged(format!("tensor {name} cannot be read: {error}")))?;
        Ok(numbers)
    }

    /// A list of texts; see [`Outgoing::texts`].
    ///
    /// # Errors
    /// As for [`Incoming::tensor`], and for what is no such list.
    pub fn list(&mut self, name: &str) -> Result<Vec<String>> {
        let bytes = self.tensor::<u8>(name, &[0])?;
        serde_json::from_slice(&bytes).map_err(|_| self.damaged(format!("tensor {name} is no list of texts")))
    }
}

fn damaged(path: &str, cause: impl std::fmt::Display) -> Error {
    Error::request(path, cause, "it was changed or cut short since it was written: take another copy, or make it again")
}

type Header = (BTreeMap<String, String>, BTreeMap<String, Entry>);

/// Texts and tensors of a header; tensors must follow each other without gaps.
fn parse(header: &[u8], first: u64) -> std::result::Result<Header, String> {
    let header: Value = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let (mut texts, mut tensors) = (BTreeMap::new(), BTreeMap::new());
    for (name, entry) in header.as_object().ok_or("it is no object")? {
        if name == "__metadata__" {
            for (name, text) in entry.as_object().ok_or("its metadata are no object")? {
                texts.insert(name.clone(), text.as_str().ok_or("its metadata are no texts")?.to_owned());
            }
            continue;
        }
        let broken = || format!("the entry {name:?}");
        let whole = |key: &str| -> Option<Vec<u64>> { entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
        let shape = whole("shape").ok_or_else(broken)?;
        let kind = entry.get("dtype").and_then(Value::as_str).ok_or_else(broken)?.to_owned();
        let [begin, end] = whole("data_offsets").and_then(|ends| ends.try_into().ok()).ok_or_else(broken)?;
        let count = shape.iter().try_fold(width(&kind) as u64, |product, &side| product.checked_mul(side));
        let bytes = end.checked_sub(begin).filter(|&bytes| count == Some(bytes)).ok_or_else(broken)?;
        let begin = begin.checked_add(first).filter(|begin| begin.checked_add(bytes).is_some()).ok_or_else(broken)?;
        let shape: Option<Vec<usize>> = shape.iter().map(|&side| usize::try_from(side).ok()).collect();
        let shape = shape.ok_or_else(broken)?;
        tensors.insert(name.clone(), Entry { kind, shape, begin, bytes });
    }
    let mut ends: Vec<(u64, u64)> = tensors.values().map(|entry| (entry.begin, entry.bytes)).collect();
    ends.sort_unstable();
    let mut at = first;
    for (begin, bytes) in ends {
        if begin != at {
            return Err("its tensors overlap or leave gaps".into());
        }
        at += bytes;
    }
    Ok((texts, tensors))
}
