//! Files of `assets/`, which others made.

use ndarray::Array2;
use std::path::{Path, PathBuf};

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// [N, M] values of an f64 array file of `assets/golden`; a vector is one column.
pub fn read(name: &str) -> Array2<f64> {
    let bytes = std::fs::read(asset("golden").join(name)).expect("a golden file");
    let npy = npyz::NpyFile::new(&bytes[..]).expect("an array file");
    let (rows, columns) = (npy.shape()[0] as usize, npy.shape().get(1).map_or(1, |&columns| columns as usize));
    Array2::from_shape_vec((rows, columns), npy.into_vec().expect("f64 values"))
        .expect("as many values as the shape says")
}

/// The handwritten digits: [1797, 64].
pub fn digits() -> Array2<f64> {
    let bytes = std::fs::read(asset("digits.npy")).expect("the digits");
    let values: Vec<u8> = npyz::NpyFile::new(&bytes[..]).expect("an array file").into_vec().expect("u8 values");
    Array2::from_shape_vec((1797, 64), values).expect("1797 rows of 64").mapv(f64::from)
}
