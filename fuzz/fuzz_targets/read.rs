//! Any bytes as a file, by every reader: `cargo +nightly fuzz run read` in the folder above.

#![no_main]

#[path = "../one.rs"]
mod one;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| one::read(FOLDER.path(), bytes));
