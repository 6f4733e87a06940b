//! One input of the fuzzer, and of the test that replays its corpus (`tests/input.rs`): a line with the file's extension, then the file.

use nearfield::data::{Input, Points};
use nearfield::input::{Missing, Normalize, Request, dense, open};
use std::path::Path;

/// Reads the bytes in several ways. Nothing may panic, no message be more than a line, and what is read must be sound.
pub fn read(folder: &Path, bytes: &[u8]) {
    let at = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let extension: String =
        bytes[..at].iter().take(12).map(|&byte| byte as char).filter(char::is_ascii_alphanumeric).collect();
    let path = folder.join(format!("a.{extension}"));
    std::fs::write(&path, bytes.get(at + 1..).unwrap_or_default()).expect("a file");
    let input = path.to_str().expect("UTF-8");
    let plain = Request { memory: Some(1 << 24), ..Request::new(input) };
    let columns = ["0..1".to_string()];
    for request in [
        plain,
        Request { memory: Some(1 << 6), ..plain },
        Request { missing: Missing::Mean, log1p: true, ..plain },
        Request { missing: Missing::Drop, normalize: Some(Normalize::Sum), standardize: true, ..plain },
        Request { subsample: Some(4), columns: &columns, labels: Some("kind"), ..plain },
        Request { distances: true, ..plain },
        Request { labels: Some(input), id: Some(input), ..Request::new("sample:faithful") },
    ] {
        match open(&request) {
            Ok(input) => check(input, request.distances),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error:?}"),
        }
    }
    std::fs::remove_file(&path).expect("it is there");
}

fn check(input: Input, may_hold_nan: bool) {
    let (n, m) = input.points.dim();
    assert!(n >= 4 && m >= 1);
    assert!(input.labels.as_ref().is_none_or(|labels| labels.len() == n));
    assert!(input.ids.as_ref().is_none_or(|ids| ids.len() == n));
    assert!(input.rows.as_ref().is_none_or(|rows| rows.len() == n && rows.is_sorted() && rows.len() <= input.of));
    if let Points::Sparse(sparse) = &input.points {
        assert!(sparse.offsets.is_sorted() && sparse.offsets[n] == sparse.values.len());
        assert!((0..n).all(|i| sparse.row(i).0.is_sorted_by(|a, b| a < b)));
        assert!(sparse.values.iter().all(|x| x.is_finite()));
    }
    // Rows on a disk are gone by now for all that the next input knows.
    if let Ok(data) = dense(input, 1 << 24) {
        assert!(may_hold_nan || data.points.iter().all(|x| x.is_finite()));
    }
}
