//! What can go wrong, in two kinds that the command line turns into exit codes.

use std::fmt;

/// One line for a person: what failed, why (with file, row, column), and how to mend it.
///
/// Shown as `what: cause; remedy`. Text inputs count lines from 1 and name columns; arrays count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The file, option or device concerned.
    pub what: String,
    /// What is wrong with it, and where.
    pub cause: String,
    /// What to do about it; empty if nothing can be said.
    pub remedy: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// Every error of the library.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is wrong or cannot be met: bad input, no such adapter, not enough memory. Exit code 2.
    #[error("{0}")]
    Request(Message),
    /// The request was sound and the job failed: disk full, driver. Exit code 1.
    #[error("{0}")]
    Job(Message),
    /// The device went away during the job (driver reset, unplugged). Exit code 1.
    #[error("{0}")]
    DeviceLost(Message),
    /// The device had no memory left for an allocation. Exit code 1.
    #[error("{0}")]
    DeviceMemory(Message),
}

impl Error {
    /// A request that is wrong or cannot be met.
    pub fn request(what: impl fmt::Display, cause: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Error::Request(message(what, cause, remedy))
    }

    /// A sound request that failed.
    pub fn job(what: impl fmt::Display, cause: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Error::Job(message(what, cause, remedy))
    }

    /// A device that went away.
    pub fn device_lost(what: impl fmt::Display, cause: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Error::DeviceLost(message(what, cause, remedy))
    }

    /// A device that ran out of memory.
    pub fn device_memory(what: impl fmt::Display, cause: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Error::DeviceMemory(message(what, cause, remedy))
    }

    /// The same error with one more thing to say at its end.
    pub fn with_remedy(mut self, more: &str) -> Self {
        let (Error::Request(message) | Error::Job(message) | Error::DeviceLost(message) | Error::DeviceMemory(message)) =
            &mut self;
        message.remedy =
            if message.remedy.is_empty() { more.to_owned() } else { format!("{}; {more}", message.remedy) };
        self
    }

    /// Whether a device failed at what another, or the CPU, may well do.
    pub fn is_fault_of_device(&self) -> bool {
        matches!(self, Error::DeviceLost(_) | Error::DeviceMemory(_))
    }

    /// 2 for a request that is wrong or cannot be met, 1 for a job that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Request(_) => 2,
            Error::Job(_) | Error::DeviceLost(_) | Error::DeviceMemory(_) => 1,
        }
    }
}

fn message(what: impl fmt::Display, cause: impl fmt::Display, remedy: impl fmt::Display) -> Message {
    let what = match what.to_string() {
        name if name.is_empty() => "\"\"".to_owned(),
        name => printable(&name),
    };
    // Messages of libraries and systems may hold line breaks; ours are one line.
    let line = |text: String| printable(&text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    Message { what, cause: line(cause.to_string()), remedy: line(remedy.to_string()) }
}

/// The text with whatever would break its line or command a terminal escaped, as names of files and columns may hold.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Bytes for a person: three digits, decimal units.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    match value {
        _ if unit == "bytes" => format!("{bytes} bytes"),
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;
