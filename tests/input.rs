//! Reading: every rule of `input/` tried with files made here, and what each message says.

use flate2::Compression;
use flate2::write::GzEncoder;
use half::f16;
use ndarray::{Array2, array};
use nearfield::Error;
use nearfield::data::{Dataset, Input, Labels, Points};
use nearfield::init::{components_of, principal_components};
use nearfield::input::{
    FEWEST_ROWS, Header, Missing, Normalize, Pictures, READERS, Request, SAMPLES, Sniff, open, read, read_map,
    read_neighbors,
};
use npyz::{Order, WriterBuilder};
use proptest::prelude::*;
use std::io::Write;

// ---- files to read

/// A folder that goes away with the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_string()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Reads bytes as a file of this name.
    #[track_caller]
    fn read(&self, name: &str, bytes: impl AsRef<[u8]>) -> Dataset {
        self.read_with(name, bytes, |_| {})
    }

    #[track_caller]
    fn read_with<'a>(&self, name: &str, bytes: impl AsRef<[u8]>, change: impl Fn(&mut Request<'a>)) -> Dataset {
        let path = self.file(name, bytes);
        let mut asked = Request::new("");
        change(&mut asked);
        read(&Request { input: &path, ..asked }).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The message that refuses these bytes as a file of this name, the folder cut out of it.
    #[track_caller]
    fn refused(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        self.refused_with(name, bytes, |_| {})
    }

    #[track_caller]
    fn refused_with<'a>(&self, name: &str, bytes: impl AsRef<[u8]>, change: impl Fn(&mut Request<'a>)) -> String {
        let path = self.file(name, bytes);
        let mut asked = Request::new("");
        change(&mut asked);
        match read(&Request { input: &path, ..asked }) {
            Ok(data) => panic!("{name} was read as {:?}", data.points),
            Err(error) => self.message(error, name),
        }
    }

    /// Checks what every message must be: a request error of one line that names the file.
    #[track_caller]
    fn message(&self, error: Error, name: &str) -> String {
        let text = error.to_string();
        assert_eq!(error.exit_code(), 2, "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        let text = text.replace(&self.path(""), "");
        assert!(text.contains(name), "{text:?} does not name {name}");
        text
    }

    #[track_caller]
    fn map_refused(&self, name: &str, bytes: impl AsRef<[u8]>, n: usize, dims: usize) -> String {
        let path = self.file(name, bytes);
        match read_map(&path, n, dims) {
            Ok(map) => panic!("{name} was read as {map:?}"),
            Err(error) => self.message(error, name),
        }
    }
}

/// An `.npy` file written by npyz.
fn npy<T: npyz::Serialize + Copy>(descr: &str, shape: &[u64], order: Order, values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::<T>::new().dtype(npyz::DType::Plain(descr.parse().unwrap()));
    let mut writer = options.shape(shape).order(order).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}

/// An `.npy` file with this text as its header.
fn npy_with(header: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(body);
    bytes
}

/// An idx file.
fn idx(dtype: u8, shape: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, dtype, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|axis| axis.to_be_bytes()));
    bytes.extend(body);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

/// An archive of these files.
fn zipped(files: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// What `numpy.savez` writes.
fn npz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    zipped(files, zip::CompressionMethod::Stored)
}

/// What `scipy.sparse.save_npz` writes of a matrix in compressed rows or columns.
fn save_npz(format: &str, shape: [i64; 2], offsets: &[i32], indices: &[i32], values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '|S{}', 'fortran_order': False, 'shape': (), }}", format.len());
    npz(&[
        ("indices.npy", npy("<i4", &[indices.len() as u64], Order::C, indices)),
        ("indptr.npy", npy("<i4", &[offsets.len() as u64], Order::C, offsets)),
        ("format.npy", npy_with(&header, format.as_bytes())),
        ("shape.npy", npy("<i8", &[2], Order::C, &shape)),
        ("data.npy", npy("<f4", &[values.len() as u64], Order::C, values)),
    ])
}

/// [5, 4], half of it 0: as it is, and in compressed rows.
fn half_empty() -> (Array2<f32>, Vec<u8>) {
    let dense = array![[0., 1., 0., 2.], [3., 0., 0., 0.], [0., 0., 0., 0.], [0., -4., 5., 0.], [6., 7., 8., 9.5]];
    let (mut offsets, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in dense.outer_iter() {
        for (c, &x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            indices.push(c as i32);
            values.push(x);
        }
        offsets.push(values.len() as i32);
    }
    let bytes = save_npz("csr", [5, 4], &offsets, &indices, &values);
    (dense, bytes)
}

/// A safetensors file: its header's entries and the bytes behind it.
fn safetensors(entries: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("{{{entries}}}");
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), body].concat()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// [5, 3] small whole numbers, no two rows alike.
fn small() -> Array2<f32> {
    Array2::from_shape_fn((5, 3), |(i, j)| (i * 7 + j * 2) as f32)
}

#[track_caller]
fn says(message: &str, expected: &str) {
    assert!(message.contains(expected), "{message:?}\ndoes not say\n{expected:?}");
}

#[track_caller]
fn classes(labels: &Option<Labels>) -> (Vec<&str>, &[u32]) {
    match labels {
        Some(Labels::Classes { names, of }) => (names.iter().map(String::as_str).collect(), of),
        other => panic!("{other:?} are no classes"),
    }
}

// ---- the lists

#[test]
fn lists_are_sound() {
    let mut extensions = extensions();
    assert!(extensions.iter().all(|e| !e.starts_with('.') && e.to_lowercase() == *e));
    extensions.sort_unstable();
    let known = extensions.len();
    extensions.dedup();
    assert_eq!(extensions.len(), known, "two readers promise one extension");
    for reader in READERS {
        assert!(!reader.description.is_empty() && !reader.extensions.is_empty(), "{}", reader.name);
    }
    for sample in SAMPLES {
        assert!(!sample.description.is_empty() && !sample.licence.is_empty(), "{}", sample.name);
        let data = read(&Request::new(&format!("sample:{}", sample.name))).unwrap();
        assert_eq!(data.name, format!("sample:{}", sample.name));
    }
}

#[test]
fn content_goes_before_extension() {
    let folder = Folder::new();
    let values = small();
    let bytes = npy("<f4", &[5, 3], Order::C, values.as_slice().unwrap());
    for name in ["a.npy", "a.csv", "a.bin", "a"] {
        assert_eq!(folder.read(name, &bytes).points, values, "{name}");
    }
    let body: Vec<u8> = values.iter().map(|&v| v as u8).collect();
    for name in ["t10k-images-idx3-ubyte", "a.idx", "A.IDX3-UBYTE", "a.npy"] {
        assert_eq!(folder.read(name, idx(8, &[5, 3], &body)).points, values, "{name}");
    }
    for name in ["a.gz", "a.idx.gz", "a"] {
        assert_eq!(folder.read(name, gzip(&idx(8, &[5, 3], &body))).points, values, "{name}");
    }
    let text = "0,2,4\n7,9,11\n14,16,18\n21,23,25\n28,30,32\n";
    for (name, separator) in
        [("a.csv", ","), ("a.CSV", ","), ("a.tsv", "\t"), ("a.txt", ";"), ("a.dat", "\t"), ("a", ",")]
    {
        assert_eq!(folder.read(name, text.replace(',', separator)).points, values, "{name}");
    }
}

// ---- samples

#[test]
fn digits_are_whole_and_labelled() {
    let data = read(&Request::new("sample:digits")).unwrap();
    assert_eq!(data.points.dim(), (1797, 64));
    assert_eq!(data.points.row(0).iter().take(6).copied().collect::<Vec<_>>(), [0.0, 0.0, 5.0, 13.0, 9.0, 1.0]);
    assert_eq!(data.points.iter().map(|&v| v as f64).sum::<f64>(), 561_718.0);
    let (names, of) = classes(&data.labels);
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(&of[..5], [0, 1, 2, 3, 4]);
    // Class sizes as scikit-learn lists them.
    let sizes: Vec<usize> = (0..10).map(|class| of.iter().filter(|&&c| c == class).count()).collect();
    assert_eq!(sizes, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert!(data.notes.is_empty(), "{:?}", data.notes);
}

#[test]
fn labels_asked_for_override_those_of_a_sample() {
    let folder = Folder::new();
    let text: String = (0..1797).map(|i| if i % 2 == 0 { "even\n" } else { "odd\n" }).collect();
    let path = folder.file("parity.txt", text);
    let data = read(&Request { labels: Some(&path), ..Request::new("sample:digits") }).unwrap();
    let (names, of) = classes(&data.labels);
    assert_eq!((names, &of[..3]), (vec!["even", "odd"], &[0, 1, 0][..]));
}

#[test]
fn faithful_has_columns_and_no_labels() {
    let data = read(&Request::new("sample:faithful")).unwrap();
    assert_eq!(data.points.dim(), (272, 2));
    assert_eq!(data.points.row(0).to_vec(), [3.6, 79.0]);
    assert_eq!(data.points.row(271).to_vec(), [4.467, 74.0]);
    assert_eq!(data.labels, None);
    let data = read(&Request { labels: Some("waiting"), ..Request::new("sample:faithful") }).unwrap();
    assert_eq!(data.points.dim(), (272, 1));
    assert!(matches!(data.labels, Some(Labels::Numbers(ref values)) if values[0] == 79.0));
}

#[test]
fn unknown_sample_lists_the_known() {
    let error = read(&Request::new("sample:iris")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sample:iris: no sample of that name is shipped; there are sample:digits, sample:faithful, sample:turntable"
    );
}

// ---- npy

/// Every plain type in both orders and both byte orders, the values written by npyz.
#[test]
fn npy_of_every_type_order_and_endianness() {
    let folder = Folder::new();
    let mut tried = 0;
    macro_rules! try_type {
        ($t:ty, $descr:literal, $from:expr, $values:expr) => {
            let values: [f32; 12] = $values;
            let from: fn(f32) -> $t = $from;
            for endian in if std::mem::size_of::<$t>() == 1 { vec!["|"] } else { vec!["<", ">"] } {
                let descr = format!("{endian}{}", $descr);
                let c: Vec<$t> = values.iter().map(|&v| from(v)).collect();
                let expected = Array2::from_shape_vec((4, 3), values.to_vec()).unwrap();
                assert_eq!(folder.read("c.npy", npy(&descr, &[4, 3], Order::C, &c)).points, expected, "{descr} C");
                let f: Vec<$t> = expected.t().iter().map(|&v| from(v)).collect();
                let data = folder.read("f.npy", npy(&descr, &[4, 3], Order::Fortran, &f));
                assert_eq!(data.points, expected, "{descr} Fortran");
                assert!(data.points.is_standard_layout() && data.notes.is_empty(), "{:?}", data.notes);
                tried += 2;
            }
        };
    }
    let unsigned = [0., 1., 2., 3., 200., 5., 6., 255., 8., 9., 10., 11.];
    let signed = [0., -1., 2., -3., 100., 5., -128., 127., 8., 9., 10., 11.];
    let fractions = [0., -1.5, 2.25, -3., 100., 0.125, -128., 127., 8., 9., 10.5, 11.];
    try_type!(u8, "u1", |v| v as u8, unsigned);
    try_type!(u16, "u2", |v| v as u16, unsigned.map(|v| v * 257.));
    try_type!(u32, "u4", |v| v as u32, unsigned.map(|v| v * 65536.));
    try_type!(u64, "u8", |v| v as u64, unsigned.map(|v| v * 65536.));
    try_type!(i8, "i1", |v| v as i8, signed);
    try_type!(i16, "i2", |v| v as i16, signed.map(|v| v * 256.));
    try_type!(i32, "i4", |v| v as i32, signed.map(|v| v * 65536.));
    try_type!(i64, "i8", |v| v as i64, signed.map(|v| v * 65536.));
    try_type!(f16, "f2", f16::from_f32, fractions);
    try_type!(f32, "f4", |v| v, fractions.map(|v| v * 1.25e-3));
    try_type!(f64, "f8", |v| v.into(), fractions.map(|v| v * 1.25e-3));
    try_type!(bool, "b1", |v| v > 0.5, [0., 1., 0., 1., 1., 0., 0., 1., 1., 0., 0., 0.]);
    assert_eq!(tried, 2 * (3 + 2 * 9));
}

#[test]
fn npy_of_f64_is_rounded_to_nearest() {
    let folder = Folder::new();
    let values: Vec<f64> = (0..10).map(|i| f64::from(i) * 0.1).collect();
    let data = folder.read("a.npy", npy("<f8", &[5, 2], Order::C, &values));
    assert!(data.points.iter().zip(&values).all(|(&a, &b)| a == b as f32), "{:?}", data.points);
    assert!(data.notes.is_empty(), "{:?}", data.notes);
}

#[test]
fn npy_with_more_axes_is_flattened_in_c_order() {
    let folder = Folder::new();
    let expected = Array2::from_shape_fn((4, 6), |(i, j)| (10 * i + j) as f32);
    let data = folder.read("c.npy", npy("<f4", &[4, 2, 3], Order::C, expected.as_slice().unwrap()));
    assert_eq!(data.points, expected);
    assert_eq!(data.notes, ["each row of 2×3 values was flattened"]);
    let cube = expected.clone().into_shape_with_order((4, 2, 3)).unwrap();
    let fortran: Vec<f32> = cube.t().iter().copied().collect();
    assert_eq!(folder.read("f.npy", npy("<f4", &[4, 2, 3], Order::Fortran, &fortran)).points, expected);
    let wide: Vec<f64> = fortran.iter().map(|&v| v.into()).collect();
    assert_eq!(folder.read("w.npy", npy(">f8", &[4, 2, 3], Order::Fortran, &wide)).points, expected);
}

/// More than one piece of 1 MiB, so that the seams between pieces are read too.
#[test]
fn arrays_larger_than_a_piece() {
    let folder = Folder::new();
    let (n, m) = (70_001, 7);
    let expected = Array2::from_shape_fn((n, m), |(i, j)| ((i * 31 + j * 17) % 4096) as f32);
    let c: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
    assert!(folder.read("c.npy", npy("<f8", &[n as u64, m as u64], Order::C, &c)).points == expected);
    let f: Vec<f32> = expected.t().iter().copied().collect();
    assert!(folder.read("f.npy", npy(">f4", &[n as u64, m as u64], Order::Fortran, &f)).points == expected);
    let bytes: Vec<u8> = expected.iter().map(|&v| v as u32 as u8).collect();
    let data = folder.read("b.gz", gzip(&idx(8, &[n as u32, m as u32], &bytes)));
    assert!(data.points.iter().zip(&bytes).all(|(&a, &b)| a == f32::from(b)));
}

#[test]
fn npy_of_other_shapes_is_refused() {
    let folder = Folder::new();
    let shaped = |shape: &[u64]| npy("<f4", shape, Order::C, &vec![1f32; shape.iter().product::<u64>() as usize]);
    says(
        &folder.refused("a.npy", shaped(&[8])),
        "a.npy: is one-dimensional, [8]; points are [n, columns]: reshape(-1, 1)",
    );
    says(&folder.refused("a.npy", shaped(&[])), "a.npy: holds a single value");
    says(&folder.refused("a.npy", shaped(&[3, 2])), "a.npy: has 3 rows, and a map needs at least 4");
    says(&folder.refused("a.npy", shaped(&[1, 2])), "a.npy: has 1 row, and");
    says(&folder.refused("a.npy", shaped(&[0, 2])), "a.npy: has 0 rows, and");
    says(&folder.refused("a.npy", shaped(&[8, 0])), "a.npy: has no columns of numbers");
    says(&folder.refused("a.npy", shaped(&[5, 2])), "a.npy: all 5 rows are equal");
}

#[test]
fn npy_of_other_types_is_refused() {
    let folder = Folder::new();
    let tries = [
        ("'<c16'", "holds complex numbers (dtype \"<c16\"); save .real"),
        ("'|O'", "holds Python objects (dtype O)"),
        ("'<U5'", "holds text (dtype U or S), not numbers"),
        ("'|S5'", "holds text (dtype U or S), not numbers"),
        ("'<M8[ns]'", "holds dates or times (dtype \"<M8[ns]\")"),
        ("'|V7'", "holds raw bytes"),
        ("'<f16'", "holds dtype \"<f16\", which is not read"),
        ("[('a', '<f4'), ('b', '<i2')]", "holds a structured dtype"),
        ("''", "holds dtype \"\", which is not read"),
    ];
    for (descr, expected) in tries {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (5, 2), }}\n");
        says(&folder.refused("a.npy", npy_with(&header, &[0; 160])), &format!("a.npy: {expected}"));
    }
}

#[test]
fn npy_cut_short_says_how_many_values_there_were() {
    let folder = Folder::new();
    let whole = npy("<f4", &[5, 3], Order::C, small().as_slice().unwrap());
    let header = whole.len() - 60;
    for (kept, values) in [(0, 0), (3, 0), (4, 1), (27, 6), (59, 14)] {
        let message = folder.refused("a.npy", &whole[..header + kept]);
        says(&message, &format!("a.npy: is truncated: {values} of the 15 values that its header claims are there"));
    }
    for kept in [6, 7, 9, 10, 50, header - 1] {
        says(&folder.refused("a.npy", &whole[..kept]), "a.npy: is truncated: it ends within its header");
    }
    says(&folder.refused("a.npy", [&whole[..], &[0; 7]].concat()), "a.npy: 7 bytes follow the 15 values");
}

#[test]
fn npy_with_a_hostile_header_is_refused_before_it_costs_anything() {
    let folder = Folder::new();
    let claim = |shape: &str| {
        let header = format!("{{'descr': '<f8', 'fortran_order': True, 'shape': ({shape}), }}\n");
        folder.refused("a.npy", npy_with(&header, &[0; 64]))
    };
    says(&claim("1000000000000, 50"), "a.npy: is truncated: 8 of the 50000000000000 values");
    says(&claim("4, 1000000000000, 0"), "a.npy: has no columns of numbers");
    says(&claim("4294967296, 4294967296, 4294967296"), "a.npy: is truncated: 8 of the more than 2^64 values");
    says(&claim("0, 18446744073709551615"), "a.npy: has 0 rows");
    says(&claim("99999999999999999999, 2"), "a.npy: its header is not understood");
    says(&claim("-4, 2"), "a.npy: its header is not understood");
    says(&claim("4.0, 2"), "a.npy: its header is not understood");
    // Nesting costs a backtracking parser time that doubles with each bracket, and a recursive one its stack.
    for brackets in [40, 65_000] {
        let message = folder.refused("a.npy", npy_with(&"[".repeat(brackets), &[]));
        says(&message, "a.npy: its header is not understood");
    }
    says(&folder.refused("a.npy", npy_with("\u{1b}[31m", &[0; 64])), "\\u{1b}");
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    says(&folder.refused("a.npy", &long), "a.npy: its header claims 4294967295 bytes");
    says(&folder.refused("a.npy", b"\x93NUMPY\x09\x00\x00\x00\x00\x00"), "a.npy: is .npy of version 9");
    says(&folder.refused("a.npy", b"PK\x03\x04 not at all"), "a.npy: does not unpack");
    says(&folder.refused("a.npy", b"not at all"), "a.npy: is not an .npy file");
}

#[test]
fn values_that_are_not_finite_are_refused_with_row_and_column() {
    let folder = Folder::new();
    let mut values = small();
    values[[3, 1]] = f32::NAN;
    values[[4, 0]] = f32::INFINITY;
    let c = npy("<f4", &[5, 3], Order::C, values.as_slice().unwrap());
    says(&folder.refused("a.npy", c), "a.npy: row 3, column 1 is NaN");
    let f: Vec<f64> = values.t().iter().map(|&v| v.into()).collect();
    // The infinity comes first in the file, the NaN first in the rows.
    says(&folder.refused("a.npy", npy("<f8", &[5, 3], Order::Fortran, &f)), "a.npy: row 3, column 1 is NaN");
    values[[3, 1]] = 0.0;
    let c: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
    says(&folder.refused("a.npy", npy("<f2", &[5, 3], Order::C, &c)), "a.npy: row 4, column 0 is infinite");
    let body: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    says(&folder.refused("a.idx", idx(0x0d, &[5, 3], &body)), "a.idx: row 4, column 0 is infinite");
}

// ---- far from the origin, huge, tiny

/// The differences from the first row, all of which a shift must keep.
fn differences(points: &Array2<f32>) -> Array2<f64> {
    let wide = points.mapv(f64::from);
    &wide - &wide.row(0)
}

#[test]
fn columns_far_from_the_origin_are_shifted_where_that_cancels() {
    let folder = Folder::new();
    // Steps of 1/8 at 1e9, where f32 has a spacing of 64, beside a column near the origin.
    let near = |i: usize| i as f64 * 0.7;
    let far: Vec<f64> = (0..6).flat_map(|i| [1e9 + i as f64 / 8.0, near(i)]).collect();
    let text: String = far.chunks(2).map(|row| format!("{},{}\n", row[0], row[1])).collect();
    let mut fortran: Vec<f64> = far.iter().step_by(2).copied().collect();
    fortran.extend(far.iter().skip(1).step_by(2));
    let big_endian: Vec<u8> = far.iter().flat_map(|v| v.to_be_bytes()).collect();
    for (name, bytes, column) in [
        ("a.npy", npy("<f8", &[6, 2], Order::C, &far), "column 0"),
        ("f.npy", npy(">f8", &[6, 2], Order::Fortran, &fortran), "column 0"),
        ("a.csv", text.into_bytes(), "column 1"),
        ("a.idx.gz", gzip(&idx(0x0e, &[6, 2], &big_endian)), "column 0"),
    ] {
        let data = folder.read(name, &bytes);
        let steps: Vec<f64> = differences(&data.points).column(0).to_vec();
        assert_eq!(steps, [0.0, 0.125, 0.25, 0.375, 0.5, 0.625], "{name}");
        assert_eq!(data.points.column(1).to_vec(), (0..6).map(|i| near(i) as f32).collect::<Vec<_>>(), "{name}");
        assert_eq!(data.notes.len(), 1, "{:?}", data.notes);
        says(&data.notes[0], &format!("{column} lies far from the origin"));

        let data = folder.read_with(name, &bytes, |request| request.shifts_cancel = false);
        assert_eq!(data.points.column(0).to_vec(), [1e9; 6], "{name}");
        says(&data.notes[0], "a shift would change the metric");
    }
}

#[test]
fn whole_numbers_stay_whole_and_unshifted_where_they_fit() {
    let folder = Folder::new();
    // Far from the origin by the measure of the range, but each an f32 exactly.
    let values: Vec<i64> = (0..10).map(|i| 16_000_000 + i).collect();
    let data = folder.read("a.npy", npy("<i8", &[5, 2], Order::C, &values));
    assert_eq!(data.points, Array2::from_shape_fn((5, 2), |(i, j)| (16_000_000 + 2 * i + j) as f32));
    assert!(data.notes.is_empty(), "{:?}", data.notes);
}

#[test]
fn integers_beyond_53_bits_keep_their_differences() {
    let folder = Folder::new();
    // Nanoseconds of this century: f64 has a spacing of 256 there.
    let times: Vec<i64> = (0..5).map(|i| 1_700_000_000_000_000_001 + i * 3).collect();
    let data = folder.read("a.npy", npy("<i8", &[5, 1], Order::C, &times));
    assert_eq!(differences(&data.points).column(0).to_vec(), [0.0, 3.0, 6.0, 9.0, 12.0]);
    let large: Vec<u64> = (0..5).map(|i| u64::MAX - i).collect();
    let data = folder.read("a.npy", npy("<u8", &[5, 1], Order::C, &large));
    assert_eq!(differences(&data.points).column(0).to_vec(), [0.0, -1.0, -2.0, -3.0, -4.0]);
    assert!(data.points.iter().all(|v| v.fract() == 0.0));
}

#[test]
fn huge_and_tiny_values_are_scaled_by_one_power_of_two() {
    let folder = Folder::new();
    for magnitude in [1e25, 1e-30, 1e300, 1e-300, 1e37, 4e-320] {
        let values: Vec<f64> = (0..10).map(|i| magnitude * (f64::from(i) - 4.0)).collect();
        let text: String = values.chunks(2).map(|row| format!("{:e},{:e}\n", row[0], row[1])).collect();
        let mut files = vec![("w.npy", npy("<f8", &[5, 2], Order::C, &values)), ("a.csv", text.into_bytes())];
        if (1e-37..=1e37).contains(&magnitude) {
            let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            files.push(("n.npy", npy("<f4", &[5, 2], Order::C, &narrow)));
        }
        for (name, bytes) in files {
            let data = folder.read(name, bytes);
            let scaled = &data.points;
            let largest = scaled.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert!((1.0..=2f32.powi(40)).contains(&largest), "{name} at {magnitude:e}: {largest:e}");
            for (i, &value) in scaled.iter().enumerate() {
                let expected = scaled[[2, 1]] * (i as f32 - 4.0);
                // The smallest of these magnitudes is subnormal, with 13 bits of its own.
                let bound = if magnitude < 1e-310 { 1e-3 } else { 1e-6 };
                assert!((value - expected).abs() <= bound * largest, "{name} at {magnitude:e}: {scaled:?}");
            }
            says(&data.notes[0], "all values were multiplied by 2^");
        }
    }
}

#[test]
fn scaling_is_exact() {
    let folder = Folder::new();
    let values: Vec<f32> = (0..10).map(|i| (1.0 + i as f32 / 7.0) * 1e25).collect();
    let data = folder.read("n.npy", npy("<f4", &[5, 2], Order::C, &values));
    let exponent: i32 = data.notes[0].split("2^").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    for (scaled, &value) in data.points.iter().zip(&values) {
        assert_eq!(f64::from(*scaled), f64::from(value) * 2f64.powi(exponent));
    }
}

#[test]
fn a_huge_constant_column_does_not_drown_the_others() {
    let folder = Folder::new();
    let values: Vec<f32> = (0..5).flat_map(|i| [1e30, i as f32]).collect();
    let data = folder.read("a.npy", npy("<f4", &[5, 2], Order::C, &values));
    assert_eq!(data.points.column(0).to_vec(), [0.0; 5]);
    assert_eq!(data.points.column(1).to_vec(), [0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_constant_column_is_fine_and_equal_rows_are_not() {
    let folder = Folder::new();
    let data = folder.read("a.csv", "1,5\n2,5\n3,5\n4,5\n");
    assert_eq!(data.points, array![[1., 5.], [2., 5.], [3., 5.], [4., 5.]]);
    says(&folder.refused("a.csv", "1,5\n1,5\n1,5\n1,5\n"), "a.csv: all 4 rows are equal; a map needs rows that differ");
    // Rows that only rounding makes equal are another thing, with another remedy.
    let text: String = (0..4).map(|i| format!("{}\n", 1e9 + f64::from(i))).collect();
    let message = folder.refused_with("a.csv", text, |request| request.shifts_cancel = false);
    says(&message, "a.csv: all 4 rows are equal once rounded to 32-bit floats; subtract a constant");
}

// ---- idx

#[test]
fn idx_of_every_type_plain_and_packed() {
    let folder = Folder::new();
    let values = [0., 1., 2., 3., 4., 5., 6., 7., 100., 9., 10., 11.];
    let signed = values.map(|v| if v == 5. { -5. } else { v });
    type Encode = fn(f32) -> Vec<u8>;
    let tries: [(u8, Encode, [f32; 12]); 6] = [
        (0x08, |v| vec![v as u8], values.map(|v| v * 2.)),
        (0x09, |v| vec![v as i8 as u8], signed),
        (0x0b, |v| (v as i16).to_be_bytes().to_vec(), signed.map(|v| v * 300.)),
        (0x0c, |v| (v as i32).to_be_bytes().to_vec(), signed.map(|v| v * 65536.)),
        (0x0d, |v| v.to_be_bytes().to_vec(), signed.map(|v| v * 0.125)),
        (0x0e, |v| f64::from(v).to_be_bytes().to_vec(), signed.map(|v| v * 0.125)),
    ];
    for (dtype, encode, values) in tries {
        let expected = Array2::from_shape_vec((4, 3), values.to_vec()).unwrap();
        let file = idx(dtype, &[4, 3], &values.iter().flat_map(|&v| encode(v)).collect::<Vec<u8>>());
        assert_eq!(folder.read("a.idx", &file).points, expected, "{dtype:#x}");
        assert_eq!(folder.read("a.idx.gz", gzip(&file)).points, expected, "{dtype:#x} packed");
    }
}

#[test]
fn idx_pictures_are_flattened_and_labelled_by_a_file() {
    let folder = Folder::new();
    let n = 50;
    let pixels: Vec<u8> = (0..n * 28 * 28).map(|i| (i * i / 7 % 251) as u8).collect();
    let images = folder.file("images.idx3.gz", gzip(&idx(8, &[n as u32, 28, 28], &pixels)));
    let digits: Vec<u8> = (0..n as u8).map(|i| i % 10).collect();
    let labels = folder.file("labels.idx1.gz", gzip(&idx(8, &[n as u32], &digits)));
    let data = read(&Request { labels: Some(&labels), ..Request::new(&images) }).unwrap();
    assert_eq!(data.points.dim(), (n, 784));
    assert!(data.points.iter().zip(&pixels).all(|(&a, &b)| a == f32::from(b)));
    let (names, of) = classes(&data.labels);
    assert_eq!(names.len(), 10);
    assert!(of.iter().zip(&digits).all(|(&a, &b)| a == u32::from(b)));
    says(
        &folder.message(read(&Request::new(&labels)).unwrap_err(), "labels.idx1.gz"),
        "labels.idx1.gz: is one-dimensional, [50]; points have rows and columns; labels are given by --labels",
    );
}

#[test]
fn idx_that_is_broken_is_refused() {
    let folder = Folder::new();
    let body: Vec<u8> = (0..60).collect();
    let whole = idx(8, &[5, 12], &body);
    let refused = |bytes: &[u8]| folder.refused("a.idx", bytes);
    says(&refused(&whole[..12 + 31]), "a.idx: is truncated: 31 of the 60 values that its header claims are there");
    says(&refused(&whole[..9]), "a.idx: is truncated: it ends within its header");
    says(&refused(&[&whole[..], b"more"].concat()), "a.idx: 4 bytes follow the 60 values");
    says(&refused(b"\x00\x00\x07\x02rest"), "a.idx: is not an idx file: it begins with [00, 00, 07, 02]");
    says(&refused(&idx(8, &[u32::MAX, 28, 28], &body)), "a.idx: is truncated: 60 of the 3367254359280 values");
    says(&refused(&idx(8, &[3, 4], &[0; 12])), "a.idx: has 3 rows");
    says(&refused(&idx(8, &[5, 0], &[])), "a.idx: has no columns");
    says(&refused(&idx(8, &[u32::MAX; 9], &body)), "a.idx: is truncated: 60 of the more than 2^64 values");
}

#[test]
fn gzip_that_is_broken_is_refused() {
    let folder = Folder::new();
    let refused = |bytes: &[u8]| folder.refused("a.gz", bytes);
    let body: Vec<u8> = (0..60).collect();
    let whole = idx(8, &[5, 12], &body);
    says(
        &refused(&gzip(&whole[..12 + 31])),
        "a.gz: is truncated: 31 of the 60 values that its header claims are there",
    );
    says(&refused(&gzip(&[&whole[..], b"more"].concat())), "a.gz: goes on after the 60 values");
    says(&refused(&gzip(b"1,2\n3,4\n")), "a.gz: has 2 rows");
    says(&refused(&gzip(&idx(8, &[u32::MAX, 28, 28], &body))), "values, more than");
    // A bomb unpacks to far more than it claims; no more than that is unpacked.
    says(&refused(&gzip(&idx(8, &[5, 12], &vec![0; 50 << 20]))), "a.gz: goes on after the 60 values");

    // Cut anywhere, or with its checksum spoilt.
    let noise: Vec<u8> = (0..6000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let packed = gzip(&idx(8, &[500, 12], &noise));
    for kept in [packed.len() - 1, packed.len() - 8, packed.len() / 2] {
        says(&refused(&packed[..kept]), "a.gz: is truncated");
    }
    says(&refused(&packed[..8]), "a.gz: is truncated: it ends before what is packed in it does");
    let mut spoilt = packed.clone();
    spoilt[packed.len() - 8] ^= 1;
    says(&refused(&spoilt), "a.gz: does not unpack after 6000 of the 6000 values");
}

// ---- text tables

const ROWS: &str = "1,2\n3,4\n5,6\n7,9\n";

fn rows() -> Array2<f32> {
    array![[1., 2.], [3., 4.], [5., 6.], [7., 9.]]
}

#[test]
fn headers_are_found_or_not() {
    let folder = Folder::new();
    assert_eq!(folder.read("a.csv", ROWS).points, rows());
    assert_eq!(folder.read("a.csv", format!("width,height\n{ROWS}")).points, rows());
    // A header of numbers is one only if the request says so.
    assert_eq!(folder.read("a.csv", format!("0,1\n{ROWS}")).points.nrows(), 5);
    let yes = folder.read_with("a.csv", format!("0,1\n{ROWS}"), |request| request.header = Header::Yes);
    assert_eq!(yes.points, rows());
    says(
        &folder.refused("a.csv", format!("0,name\n{ROWS}")),
        "a.csv: line 1, column 2 is \"name\", not a number; --header yes if the first line names the columns",
    );
    let message = folder.refused_with("a.csv", format!("width,height\n{ROWS}"), |request| request.header = Header::No);
    says(&message, "a.csv: line 1, column 1 is \"width\", not a number");
    assert!(!message.contains("--header"), "{message}");
    says(&folder.refused("a.csv", "a,b\n1,2\n3,4\n5,7\n"), "a.csv: has 3 rows, and a map needs at least 4");
    says(&folder.refused("a.csv", "a,b\n"), "a.csv: has 0 rows");
}

#[test]
fn tables_are_read_as_editors_save_them() {
    let folder = Folder::new();
    let tries: [(&str, String); 9] = [
        ("crlf.csv", ROWS.replace('\n', "\r\n")),
        ("bom.csv", format!("\u{feff}{ROWS}")),
        ("bom_header.csv", format!("\u{feff}\"a\",b\n{ROWS}")),
        ("blank.csv", format!("\n\n{}\n  \n", ROWS.replace('\n', "\n\n"))),
        ("no_end.csv", ROWS.trim_end().to_string()),
        ("spaces.csv", ROWS.replace(',', " , ")),
        ("quoted.csv", "\"1\",\"2\"\n3,\"4\"\n5,6\n7,9\n".to_string()),
        ("plus.csv", "+1,2e0\n3.,4.0\n5,0.6E1\n7,9\n".to_string()),
        ("old_mac.csv", ROWS.replace('\n', "\r")),
    ];
    for (name, text) in tries {
        assert_eq!(folder.read(name, text).points, rows(), "{name}");
    }
    let semicolons = format!("\"a;b,c,d\";e\n{}", ROWS.replace(',', ";"));
    assert_eq!(folder.read("semicolons.txt", semicolons).points, rows());
}

#[test]
fn text_in_a_numeric_column_is_refused_with_line_and_column() {
    let folder = Folder::new();
    let refused = |text: String| folder.refused("a.csv", text);
    let with = |last: &str| refused(format!("a,b\n{ROWS}8,{last}\n"));
    says(&with("x"), "a.csv: line 6, column b is \"x\", not a number; --labels b if it labels the rows");
    says(&with(""), "a.csv: line 6, column b is empty; remove or fill in");
    says(&with("  "), "a.csv: line 6, column b is empty; remove or fill in");
    says(&with("NaN"), "a.csv: line 6, column b is NaN");
    says(&with("-inf"), "a.csv: line 6, column b is infinite");
    says(&with("1e400"), "a.csv: line 6, column b is \"1e400\", beyond any 64-bit float");
    says(&with(&"long".repeat(50)), "longlong…\", not");
    says(&with("\u{1b}[31m"), "\"\\u{1b}[31m\", not a number");
    says(&refused(format!("{ROWS}8,x\n")), "a.csv: line 5, column 2 is \"x\", not a number; --labels 2");
    says(&refused(format!("a,the b\n{ROWS}8,x\n")), "a.csv: line 6, column \"the b\" is \"x\"");
    says(
        &refused(format!("a,b\r\n\r\n{}\r\n\r\n8,x\r\n", ROWS.replace('\n', "\r\n"))),
        "a.csv: line 9, column b is \"x\"",
    );
    says(&refused(format!("a,b\r\r{}8,x\r", ROWS.replace('\n', "\r"))), "a.csv: line 7, column b is \"x\"");
    says(
        &refused(ROWS.replace(',', ";")),
        "a.csv: line 1, column 1 is \"1;2\", not a number; name a file .csv only if commas",
    );
}

#[test]
fn lines_inside_quoted_fields_count() {
    let folder = Folder::new();
    let text = "name,a,b\n\"one\ntwo\",1,2\n\n\"three\r\nfour\",3,4\nfive,5,6\n\"six\n\n\nseven\",7,x\neight,9,9\n";
    let message = folder.refused_with("a.csv", text, |request| request.labels = Some("name"));
    // The record starts on line 8; its third field stands on line 11.
    says(&message, "a.csv: line 11, column b is \"x\", not a number; only the label column may hold text");
}

#[test]
fn ragged_rows_are_refused_with_both_counts() {
    let folder = Folder::new();
    let refused = |text: String| folder.refused("a.csv", text);
    says(&refused(format!("a,b\n{ROWS}\n8,9,10\n")), "a.csv: line 7 has 3 fields, where 2 are expected");
    says(&refused(format!("{ROWS}8\n")), "a.csv: line 5 has 1 field, where 2 are expected");
    says(&refused(format!("a\n{ROWS}")), "a.csv: line 2 has 2 fields, where 1 is expected");
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_line() {
    let folder = Folder::new();
    let tail = [ROWS.as_bytes(), b"8,\xe9t\xe9\n"].concat();
    says(&folder.refused("a.csv", tail), "a.csv: line 5, column 2 is not UTF-8; save the file as UTF-8");
    says(&folder.refused("a.csv", b"\xff\xfe1\x00,\x002\x00\n\x00"), "a.csv: line 1, column 1 is not UTF-8");
    let text = [b"a,b,name\n".as_slice(), ROWS.replace('\n', ",n\n").as_bytes(), b"8,9,\"caf\n\xe9\"\n"].concat();
    let message = folder.refused_with("a.csv", text, |request| request.labels = Some("name"));
    says(&message, "a.csv: line 7, column name is not UTF-8");
}

#[test]
fn nothing_to_read_is_refused() {
    let folder = Folder::new();
    for name in ["a.csv", "a.npy", "a.gz", "a"] {
        says(&folder.refused(name, ""), &format!("{name}: is empty"));
    }
    says(&folder.refused("a.csv", "\n \n\r\n"), "a.csv: holds nothing but blank lines");
    says(&folder.refused("a.csv", "\u{feff}"), "a.csv: holds nothing but blank lines");
    let missing = folder.path("missing.npy");
    says(&folder.message(read(&Request::new(&missing)).unwrap_err(), "missing.npy"), "missing.npy: no such file");
    let pictures = folder.path("pictures");
    std::fs::create_dir(&pictures).unwrap();
    says(
        &folder.message(read(&Request::new(&pictures)).unwrap_err(), "pictures"),
        "pictures: no picture lies in this folder or below it",
    );
    let message = folder.refused("a.xyz", "1,2");
    says(&message, "a.xyz: unknown extension .xyz; known are .npy .idx");
    says(&message, ".csv .tsv");
    says(&folder.refused("noise", b"\x00\x01\x02\x03\xff"), "noise: the file is of no known kind; known are .npy");
}

// ---- labels

const LABELLED: &str = "size,kind,weight\n1,b,2\n3,a,4\n5,\"a\",6\n7,b,9\n";

#[test]
fn labels_from_a_column_by_name_or_number() {
    let folder = Folder::new();
    let data = folder.read_with("a.csv", LABELLED, |request| request.labels = Some("kind"));
    assert_eq!(data.points, rows());
    assert_eq!(classes(&data.labels), (vec!["a", "b"], &[1, 0, 0, 1][..]));
    let headless = LABELLED.split_once('\n').unwrap().1;
    let data = folder.read_with("a.csv", headless, |request| request.labels = Some("2"));
    assert_eq!((classes(&data.labels), data.points), ((vec!["a", "b"], &[1, 0, 0, 1][..]), rows()));
    // Numbers in a label column: 2.0 is 2.
    let data = folder.read_with("a.csv", "k,a\n10,1\n2.0,2\n2,3\n-1,4\n", |request| request.labels = Some("k"));
    assert_eq!(classes(&data.labels), (vec!["-1", "2", "10"], &[2, 1, 1, 0][..]));
    let data = folder.read_with("a.csv", "k,a\n0.5,1\n2,2\n2,3\n1,4\n", |request| request.labels = Some("k"));
    assert_eq!(data.labels, Some(Labels::Numbers(vec![0.5, 2.0, 2.0, 1.0])));
}

#[test]
fn a_column_goes_before_a_file_of_the_same_name() {
    let folder = Folder::new();
    let labels = folder.file("labels.txt", "p\nq\np\nq\n");
    let text = format!("a,\"{labels}\"\n{ROWS}");
    let data = folder.read_with("a.csv", &text, |request| request.labels = Some(&labels));
    assert_eq!(classes(&data.labels).0, ["2", "4", "6", "9"]);
    let data = folder.read_with("a.csv", ROWS, |request| request.labels = Some(&labels));
    assert_eq!(classes(&data.labels), (vec!["p", "q"], &[0, 1, 0, 1][..]));
}

#[test]
fn labels_that_are_nowhere_are_refused() {
    let folder = Folder::new();
    let with = |labels: &'static str, name: &str, bytes: &[u8]| {
        folder.refused_with(name, bytes, |request| request.labels = Some(labels))
    };
    let nowhere = "has no header that could name a column so, and there is no such file";
    says(
        &with("species", "a.csv", LABELLED.as_bytes()),
        "--labels species: a.csv has no such column, and there is no such file; its columns are size, kind, weight",
    );
    for number in ["0", "3"] {
        let expected = format!("--labels {number}: a.csv {nowhere}; give a column's number, 1 to 2");
        says(&with(number, "a.csv", ROWS.as_bytes()), &expected);
    }
    says(&with("k", "a.csv", b"k,a,k\n1,2,3\n"), "--labels k: a.csv has 2 columns of that name; rename all but one");
    let array = npy("<f4", &[5, 3], Order::C, small().as_slice().unwrap());
    says(&with("kind", "a.npy", &array), &format!("--labels kind: a.npy {nowhere}"));
    says(&with("kind", "a.idx", &idx(8, &[4, 2], &[1; 8])), &format!("--labels kind: a.idx {nowhere}"));
    says(
        &with("kind", "a.csv", b"kind,n\na,1\nb,2\n ,3\nd,4\n"),
        "a.csv: line 4, column kind is empty; give every row a label",
    );
    let message = folder.refused_with("a.csv", "kind\na\nb\nc\nd\n", |request| {
        request.labels = Some("kind");
        request.header = Header::Yes;
    });
    says(&message, "a.csv: has no columns of numbers");
}

#[test]
fn labels_from_files_of_every_kind() {
    let folder = Folder::new();
    let labelled_by = |name: &str, bytes: Vec<u8>| {
        let path = folder.file(name, bytes);
        folder.read_with("a.csv", ROWS, |request| request.labels = Some(&path)).labels
    };
    let mut unicode = Vec::new();
    for word in ["b,c", "a", "a", "b,c"] {
        unicode.extend((0..3).flat_map(|i| (word.chars().nth(i).unwrap_or('\0') as u32).to_le_bytes()));
    }
    let header = |descr: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (4,), }}");
    let words: Vec<(&str, Vec<u8>)> = vec![
        ("l.txt", b"b,c\na\na\nb,c\n\n".to_vec()),
        ("crlf.txt", b"\xef\xbb\xbfb,c\r\na\r\na\r\nb,c".to_vec()),
        ("l.csv", b"\"b,c\"\na\na\n\"b,c\"\n".to_vec()),
        ("header.csv", b"kind\n\"b,c\"\na\na\n\"b,c\"\n".to_vec()),
        ("map.csv", b"x,y,label\n1,2,\"b,c\"\n3,4,a\n5,6,a\n7,8,\"b,c\"\n".to_vec()),
        ("words.csv", b"who,label\nx,\"b,c\"\nx,a\nx,a\nx,\"b,c\"\n".to_vec()),
        ("l.tsv", b"b,c\na\na\nb,c\n".to_vec()),
        ("unicode.npy", npy_with(&header("<U3"), &unicode)),
        ("bytes.npy", npy_with(&header("|S3"), b"b,ca\0\0a\0\0b,c")),
    ];
    for (name, bytes) in words {
        assert_eq!(classes(&labelled_by(name, bytes)), (vec!["a", "b,c"], &[1, 0, 0, 1][..]), "{name}");
    }
    let numbers: Vec<(&str, Vec<u8>)> = vec![
        ("u1.npy", npy("|u1", &[4], Order::C, &[12u8, 1, 1, 12])),
        ("i8.npy", npy(">i8", &[4, 1], Order::Fortran, &[12i64, 1, 1, 12])),
        ("f4.npy", npy("<f4", &[4], Order::C, &[12f32, 1., 1., 12.])),
        ("f2.npy", npy("<f2", &[4], Order::C, &[12., 1., 1., 12.].map(f16::from_f32))),
        ("l.idx", idx(8, &[4], &[12, 1, 1, 12])),
        ("l.idx.gz", gzip(&idx(8, &[4], &[12, 1, 1, 12]))),
        ("i4.idx", idx(0x0c, &[4], &[0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 12])),
        ("l.txt", b"12.0\n1\n1\n12\n".to_vec()),
        ("header.csv", b"kind\n12\n1\n1\n12\n".to_vec()),
    ];
    for (name, bytes) in numbers {
        assert_eq!(classes(&labelled_by(name, bytes)), (vec!["1", "12"], &[1, 0, 0, 1][..]), "{name}");
    }
    let fractions = labelled_by("q.npy", npy("<f4", &[4], Order::C, &[0.1f32, 1., 1., 12.]));
    assert_eq!(fractions, Some(Labels::Numbers(vec![0.1, 1., 1., 12.])));
    // A word before numbers is a label where the count says so.
    let mixed = labelled_by("mixed.csv", b"a\n1\n1\na\n".to_vec());
    assert_eq!(classes(&mixed), (vec!["1", "a"], &[1, 0, 0, 1][..]));
}

#[test]
fn labels_files_that_do_not_serve_are_refused() {
    let folder = Folder::new();
    let with = |name: &str, bytes: &[u8]| {
        let labels = folder.file(name, bytes);
        let path = folder.file("a.csv", ROWS);
        let error = read(&Request { labels: Some(&labels), ..Request::new(&path) }).unwrap_err();
        folder.message(error, name)
    };
    for (name, bytes) in [
        ("l.txt", b"a\nb\nc\n".to_vec()),
        ("l.npy", npy("|u1", &[3], Order::C, &[1u8, 2, 3])),
        ("l.idx", idx(8, &[3], &[1, 2, 3])),
        ("l.csv", b"a\nb\nc\n".to_vec()),
        ("l.tsv", b"1\n2\n3\n".to_vec()),
    ] {
        let expected = format!("{name}: holds 3 labels for the 4 rows of a.csv; give one label for each row");
        says(&with(name, &bytes), &expected);
    }
    says(&with("l.txt", b"a\n\nb\nc\n"), "l.txt: line 2 is empty; give every row a label");
    says(&with("l.txt", b"a\nb\n\xe9\nc\n"), "l.txt: line 3 is not UTF-8");
    says(&with("l.txt", b"1\nnan\n2\n3\n"), "l.txt: the label of row 1 is \"nan\", among numbers");
    let infinite = npy("<f8", &[4], Order::C, &[1., 2., f64::INFINITY, 3.]);
    says(&with("l.npy", &infinite), "l.npy: the label of row 2 is \"inf\"");
    let wide = npy("|u1", &[4, 2], Order::C, &[1u8; 8]);
    says(&with("l.npy", &wide), "l.npy: holds [4, 2], where one label for each row is needed");
    says(&with("l.idx", &idx(8, &[4, 2], &[1; 8])), "l.idx: has 2 axes, where one label");
    says(&with("l.csv", b"a,b\nc,d\ne,f\ng,h\n"), "l.csv: has 2 columns, and not one of them is named label");
    says(&with("l.txt", b""), "l.txt: is empty");
    says(&with("l.json", b"[1]"), "l.json: unknown extension .json");
}

// ---- maps to start from

#[test]
fn maps_are_taken_as_they_stand() {
    let folder = Folder::new();
    let map = array![[1e9f32, 0.5], [1e9, -1e-30], [3e38, 2.]];
    let path = folder.file("m.npy", npy("<f4", &[3, 2], Order::C, map.as_slice().unwrap()));
    assert_eq!(read_map(&path, 3, 2).unwrap(), map);
    let wide: Vec<f64> = map.t().iter().map(|&v| v.into()).collect();
    let path = folder.file("w.npy", npy(">f8", &[3, 2], Order::Fortran, &wide));
    assert_eq!(read_map(&path, 3, 2).unwrap(), map);
    let path = folder.file("m.csv", "x,y,label\n1e9,0.5,a\n1e9,-1e-30,\n3e38,2,c\n");
    assert_eq!(read_map(&path, 3, 2).unwrap(), map);
    let path = folder.file("swapped.csv", "label,y,x\na,0.5,1e9\nb,-1e-30,1e9\nc,2,3e38\n");
    assert_eq!(read_map(&path, 3, 2).unwrap(), map);
    let path = folder.file("bare.csv", "1e9,0.5\n1e9,-1e-30\n3e38,2\n");
    assert_eq!(read_map(&path, 3, 2).unwrap(), map);
    let path = folder.file("three.csv", "x,y,z,label\n1,2,3,4\n5,6,7,8\n");
    assert_eq!(read_map(&path, 2, 3).unwrap(), array![[1., 2., 3.], [5., 6., 7.]]);
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let array = npy("<f4", &[5, 3], Order::C, small().as_slice().unwrap());
    says(&folder.map_refused("m.npy", &array, 5, 2), "m.npy: holds [5, 3], where a map of [5, 2] is needed");
    says(&folder.map_refused("m.npy", &array, 4, 3), "m.npy: holds [5, 3], where a map of [4, 3] is needed");
    says(&folder.map_refused("m.npy", &array[..array.len() - 4], 5, 3), "m.npy: is truncated: 14 of the 15");
    let csv = "x,y,label\n1,2,a\n3,4,b\n";
    says(
        &folder.map_refused("m.csv", csv, 3, 2),
        "m.csv: holds a map of 2 points in 2 dimensions, where 3 points in 2 dimensions are needed",
    );
    let refused = |text: &str, n: usize, dims: usize| folder.map_refused("m.csv", text, n, dims);
    says(&refused(csv, 2, 3), "m.csv: holds a map in 2 dimensions, where 3 are needed");
    says(&refused("x,y,z\n1,2,3\n", 1, 2), "m.csv: holds a map in 3 dimensions, where 2 are needed");
    says(&refused("a,b,c\n1,2,3\n", 1, 2), "m.csv: has 3 columns, where a map has 2");
    says(&refused("x,y,x\n1,2,3\n", 1, 2), "m.csv: its header names an axis twice");
    says(&refused("x,y\n1,2\n3,inf\n", 2, 2), "m.csv: line 3, column y is infinite");
    says(&refused("x,y\n1,2\n3,1e39\n", 2, 2), "m.csv: row 1, column y is too large for a 32-bit float");
    says(&refused("x,y\n1,2\n3,\n", 2, 2), "m.csv: line 3, column y is empty");
    says(&refused("x,y\n", 2, 2), "m.csv: holds no points");
    let other = idx(8, &[2, 2], &[1; 4]);
    says(&folder.map_refused("m.idx", other, 2, 2), "m.idx: a map to start from is not read from idx");
}

// ---- archives of arrays

#[test]
fn an_archive_gives_the_array_that_is_asked_for() {
    let folder = Folder::new();
    let values = small();
    let x = npy("<f4", &[5, 3], Order::C, values.as_slice().unwrap());
    let y = npy("<i8", &[5], Order::C, &[3i64, 1, 1, 3, 3]);
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        assert_eq!(folder.read("one.npz", zipped(&[("X.npy", x.clone())], method)).points, values);
        let both = folder.file("both.npz", zipped(&[("X.npy", x.clone()), ("y.npy", y.clone())], method));
        let data = read(&Request { labels: Some(&format!("{both}:y")), ..Request::new(&format!("{both}:X")) }).unwrap();
        assert_eq!(data.points, values);
        assert_eq!(classes(&data.labels), (vec!["1", "3"], &[1, 0, 0, 1, 1][..]));
        let asked = |part: &str| folder.message(read(&Request::new(&format!("{both}{part}"))).unwrap_err(), "both.npz");
        let message = asked("");
        says(&message, "both.npz: holds 2 arrays: X [5, 3], y [5]; choose one, as");
        says(&message, "both.npz:X");
        says(&asked(":z"), "both.npz: there is no array of the name \"z\"; it holds X [5, 3], y [5]");
        says(&asked(":y"), "both.npz:y: is one-dimensional, [5]");
    }
    assert_eq!(read_map(&folder.file("m.npz", npz(&[("X.npy", x.clone())])), 5, 3).unwrap(), values);
    // Only a collection of arrays has parts.
    for (name, bytes) in [("a.npy", x.clone()), ("a.csv", ROWS.as_bytes().to_vec())] {
        let path = folder.file(name, bytes);
        let error = read(&Request::new(&format!("{path}:X"))).unwrap_err();
        says(&folder.message(error, name), "is no collection of arrays that could have one named X");
    }
}

#[test]
fn archives_that_are_broken_are_refused() {
    let folder = Folder::new();
    let x = npy("<f4", &[5, 3], Order::C, small().as_slice().unwrap());
    let refused = |bytes: Vec<u8>| folder.refused("a.npz", bytes);
    says(&refused(npz(&[("notes.txt", b"hello".to_vec())])), "a.npz: is a zip archive without a NumPy array in it");
    says(&refused(npz(&[("x.npy", b"nothing".to_vec())])), "a.npz:x: is not an .npy file");
    says(&refused(npz(&[("x.npy", x[..x.len() - 4].to_vec())])), "a.npz:x: is truncated: 14 of the 15 values");
    says(&refused(npz(&[("x.npy", [&x[..], b"more"].concat())])), "a.npz:x: goes on after the 15 values");
    let whole = npz(&[("x.npy", x.clone())]);
    for kept in [4, 30, whole.len() / 2, whole.len() - 1] {
        says(&refused(whole[..kept].to_vec()), "a.npz: does not unpack");
    }
    let mut spoilt = whole.clone();
    let at = whole.windows(6).position(|window| window == b"\x93NUMPY").unwrap() + x.len() - 1;
    spoilt[at] ^= 1;
    says(&refused(spoilt), "a.npz:x: does not unpack after 15 of the 15 values");
    // A megabyte that claims to be, and is, a gigabyte: refused by what it claims, before anything is made room for.
    let bomb = npy_with("{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 1000000), }", &vec![0; 100 << 20]);
    let bomb = zipped(&[("x.npy", bomb)], zip::CompressionMethod::Deflated);
    let message = folder.refused_with("a.npz", bomb, |request| request.memory = Some(1 << 30));
    says(&message, "a.npz:x: its header claims 1000000000 values, more than");
    let honest = npy("|u1", &[1000, 100_000], Order::C, &vec![0u8; 100_000_000]);
    let honest = zipped(&[("x.npy", honest)], zip::CompressionMethod::Deflated);
    let message = folder.refused_with("a.npz", honest, |request| request.memory = Some(1 << 20));
    says(
        &message,
        "a.npz:x: 1000 rows of 100000 columns take 400 MB, and there are 1.05 MB; take fewer by --subsample",
    );
}

// ---- sparse matrices

#[track_caller]
fn sparse_rows(input: &Input) -> Array2<f32> {
    match &input.points {
        Points::Sparse(sparse) => sparse.dense(),
        _ => panic!("not sparse"),
    }
}

#[test]
fn sparse_matrices_are_read_and_stay_sparse() {
    let folder = Folder::new();
    let (dense, csr) = half_empty();
    let path = folder.file("a.npz", &csr);
    let input = open(&Request::new(&path)).unwrap();
    assert_eq!(sparse_rows(&input), dense);
    assert_eq!(read(&Request::new(&path)).unwrap().points, dense);
    // By columns; and in any order, with a value in two parts and a zero.
    let csc = save_npz(
        "csc",
        [5, 4],
        &[0, 2, 5, 7, 9],
        &[1, 4, 0, 3, 4, 3, 4, 0, 4],
        &[3., 6., 1., -4., 7., 5., 8., 2., 9.5],
    );
    let path = folder.file("c.npz", csc);
    assert_eq!(sparse_rows(&open(&Request::new(&path)).unwrap()), dense);
    let untidy = save_npz(
        "csr",
        [5, 4],
        &[0, 3, 4, 5, 7, 11],
        &[3, 1, 3, 0, 2, 2, 1, 3, 2, 1, 0],
        &[0.5, 1., 1.5, 3., 0., 5., -4., 9.5, 8., 7., 6.],
    );
    let path = folder.file("u.npz", untidy);
    assert_eq!(sparse_rows(&open(&Request::new(&path)).unwrap()), dense);
    // Rows and columns of it.
    let columns = ["1..2".to_string()];
    let input = open(&Request { columns: &columns, subsample: Some(5), ..Request::new(&path) }).unwrap();
    assert_eq!(sparse_rows(&input), dense.slice(ndarray::s![.., 1..3]));
    let some = open(&Request { subsample: Some(4), seed: 3, ..Request::new(&path) }).unwrap();
    let rows: Vec<usize> = some.rows.as_ref().unwrap().iter().map(|&row| row as usize).collect();
    assert_eq!(sparse_rows(&some), dense.select(ndarray::Axis(0), &rows));
    assert_eq!((rows.len(), some.of), (4, 5));
}

#[test]
fn sparse_matrices_that_are_broken_are_refused() {
    let folder = Folder::new();
    let refused = |bytes: Vec<u8>| folder.refused("a.npz", bytes);
    let csr = |offsets: &[i32], indices: &[i32], values: &[f32]| save_npz("csr", [4, 3], offsets, indices, values);
    says(&refused(csr(&[0, 1, 2, 3], &[0, 1, 2], &[1., 2., 3.])), "a.npz: indptr has 4 numbers, where 5 are needed");
    says(&refused(csr(&[0, 2, 1, 3, 3], &[0, 1, 2], &[1., 2., 3.])), "a.npz: indptr does not ascend from 0 to 3");
    says(&refused(csr(&[0, 1, 2, 3, 9], &[0, 1, 2], &[1., 2., 3.])), "a.npz: indptr does not ascend");
    says(&refused(csr(&[0, 1, 2, 3, 3], &[0, 3, 2], &[1., 2., 3.])), "a.npz: index 1 is 3, where 3 are there");
    says(&refused(csr(&[0, 1, 2, 3, 3], &[0, -1, 2], &[1., 2., 3.])), "a.npz: index 1 is -1");
    says(&refused(csr(&[0, 1, 2, 3, 3], &[0, 1], &[1., 2., 3.])), "a.npz: has 2 indices and 3 values");
    says(&refused(csr(&[0, 1, 2, 3, 3], &[0, 1, 2], &[1., f32::NAN, 3.])), "a.npz: row 1, column 1 is NaN");
    says(&refused(csr(&[0, 0, 0, 0, 0], &[], &[])), "a.npz: all 4 rows are equal");
    says(&refused(save_npz("csr", [3, 3], &[0, 1, 2, 3], &[0, 1, 2], &[1., 2., 3.])), "a.npz: has 3 rows");
    says(&refused(save_npz("csr", [4, 0], &[0; 5], &[], &[])), "a.npz: has no columns");
    says(&refused(save_npz("csr", [-4, 2], &[0; 5], &[], &[])), "a.npz: its shape is [-4, 2]");
    says(&refused(save_npz("csr", [1 << 60, 2], &[0; 5], &[], &[])), "a.npz: has 1152921504606846976 rows");
    says(
        &refused(save_npz("bsr", [4, 3], &[0; 5], &[], &[])),
        "a.npz: is a sparse matrix in the format \"bsr\"; save it .tocsr()",
    );
    // Without principal components it would be dense, and that must fit.
    let wide = save_npz("csr", [5, 1_000_000], &[0, 1, 2, 3, 4, 5], &[0, 9, 99, 999, 9999], &[1., 2., 3., 4., 5.]);
    let path = folder.file("w.npz", wide);
    let request = Request { memory: Some(10 << 20), ..Request::new(&path) };
    assert_eq!(open(&request).unwrap().points.dim(), (5, 1_000_000));
    says(
        &folder.message(read(&request).unwrap_err(), "w.npz"),
        "w.npz: 5 rows of 1000000 columns take 20.0 MB without principal components, and there are 10.5 MB; reduce them by --pca",
    );
}

/// Noise in half of the places of [n, m], the columns of falling size.
fn scattered(n: usize, m: usize) -> Array2<f32> {
    let mut noise = nearfield::init::Normal::new(7, 0);
    Array2::from_shape_fn((n, m), |(_, c)| {
        let keep = noise.uniform() < 0.5;
        let x = noise.next().unwrap() / (1.0 + c as f64);
        if keep { (x + 0.3) as f32 } else { 0.0 }
    })
}

fn compressed(dense: &Array2<f32>) -> Points {
    let mut sparse =
        nearfield::data::Sparse { columns: dense.ncols(), offsets: vec![0], indices: vec![], values: vec![] };
    for row in dense.outer_iter() {
        for (c, &x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            sparse.indices.push(c as u32);
            sparse.values.push(x);
        }
        sparse.offsets.push(sparse.values.len());
    }
    Points::Sparse(sparse)
}

/// Components of a sparse matrix against those of the same matrix in full: by all eigenvectors, of either side, and by the randomised space.
#[test]
fn components_of_a_sparse_matrix_are_those_of_the_dense_one() {
    for (n, m, bound) in [(300, 40, 1e-5), (40, 300, 1e-5), (1600, 1550, 1e-4)] {
        let dense = scattered(n, m);
        let want = principal_components(dense.view(), 5).unwrap();
        let got = components_of(&compressed(&dense), 5).unwrap();
        for c in 0..5 {
            let error = (got.variances[c] - want.variances[c]).abs() / want.variances[c];
            assert!(error <= bound, "{n}×{m}: variance {c} is off by {error:e}");
        }
        let size = want.scores.iter().map(|x| x.abs()).fold(0.0, f32::max);
        let error = (&got.scores - &want.scores).iter().map(|x| x.abs()).fold(0.0, f32::max) / size;
        assert!(f64::from(error) <= bound, "{n}×{m}: a score is off by {error:e}");
        // Without the mean they would be others: the comparison tells.
        let shifted = principal_components((&dense + 0.05).view(), 5).unwrap();
        assert!((&shifted.scores - &want.scores).iter().all(|x| x.abs() <= 1e-3 * size));
        let alone = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| components_of(&compressed(&dense), 5).unwrap().scores)
        };
        assert!(alone(1) == alone(3), "{n}×{m}: bytes depend on the threads");
    }
}

#[test]
fn matrix_market_is_read() {
    let folder = Folder::new();
    let (dense, _) = half_empty();
    let entries = "1 2 1\n1 4 2e0\n2 1 3\n4 2 -4\n\n4 3 5\n5 1 6\n5 2 7\n5 3 8\n5 4 9.5\n";
    let text = format!("%%MatrixMarket matrix coordinate real general\n% a comment\n%\n5 4 9\n{entries}");
    for (name, bytes) in [
        ("a.mtx", text.clone().into_bytes()),
        ("a", text.replace('\n', "\r\n").to_uppercase().into_bytes()),
        ("a.mtx.gz", gzip(text.as_bytes())),
    ] {
        let path = folder.file(name, bytes);
        assert_eq!(sparse_rows(&open(&Request::new(&path)).unwrap()), dense, "{name}");
    }
    let read = |text: &str| sparse_rows(&open(&Request::new(&folder.file("b.mtx", text))).unwrap());
    let square = array![[1., 2., 0., 0.], [2., 0., 0., -3.], [0., 0., 0., 0.], [0., -3., 0., 4.]];
    let symmetric = "%%MatrixMarket matrix coordinate integer symmetric\n4 4 4\n1 1 1\n2 1 2\n4 2 -3\n4 4 4\n";
    assert_eq!(read(symmetric), square);
    let skew = read("%%MatrixMarket matrix coordinate real skew-symmetric\n4 4 2\n2 1 2\n4 2 -3\n");
    assert_eq!(skew, array![[0., -2., 0., 0.], [2., 0., 0., 3.], [0., 0., 0., 0.], [0., -3., 0., 0.]]);
    let pattern = read("%%MatrixMarket matrix coordinate pattern general\n4 2 2\n1 1\n4 2\n");
    assert_eq!(pattern, array![[1., 0.], [0., 0.], [0., 0.], [0., 1.]]);
    let full = folder.read("c.mtx", "%%MatrixMarket matrix array real general\n4 2\n1\n2\n3\n4\n5\n6\n7\n8.5\n");
    assert_eq!(full.points, array![[1., 5.], [2., 6.], [3., 7.], [4., 8.5]]);
}

#[test]
fn matrix_market_that_is_broken_is_refused() {
    let folder = Folder::new();
    let refused = |text: &str| folder.refused("a.mtx", text);
    let with = |rest: &str| refused(&format!("%%MatrixMarket matrix coordinate real general\n{rest}"));
    says(&with(""), "a.mtx: is truncated: it ends before its shape");
    says(&with("4 3\n"), "a.mtx: line 2 is \"4 3\", which is no shape");
    says(&with("4 3 2\n1 1 1\n"), "a.mtx: is truncated: 1 of the 2 values that its shape claims are there");
    says(&with("4 3 1\n1 1 1\n2 2 2\n"), "a.mtx: line 4 follows the values that the shape claims");
    for line in ["0 1 1", "5 1 1", "1 4 1", "1 1", "1 1 x", "1 1 1 1", "-1 1 1", "a b c"] {
        says(&with(&format!("4 3 1\n{line}\n")), &format!("a.mtx: line 3 is {line:?}, no row up to 4, column up to 3"));
    }
    says(&with("4 3 1\n1 1 nan\n"), "a.mtx: row 0, column 0 is NaN");
    says(&with("4 3 9999999999999\n1 1 1\n"), "a.mtx: is truncated: its shape claims 9999999999999 values, more than");
    says(
        &with("4 9999999999999 1\n1 1 1\n"),
        "a.mtx: line 2 claims 4 rows and 9999999999999 columns, and 2^32 are too many",
    );
    says(&with("3 3 1\n1 1 1\n"), "a.mtx: has 3 rows");
    says(&with("4 0 0\n"), "a.mtx: has no columns");
    says(
        &refused("%%MatrixMarket matrix array real general\n4 999999999\n1\n"),
        "a.mtx: is truncated: its shape claims",
    );
    says(&refused("%%MatrixMarket matrix array real general\n4 2\n1\n2\nx\n"), "a.mtx: line 5 is \"x\", not a number");
    says(&refused("%%MatrixMarket matrix coordinate complex general\n4 2 1\n1 1 1 1\n"), "promises \"complex\" values");
    says(&refused("%%MatrixMarket vector\n4 2 1\n"), "a.mtx: line 1 is \"%%MatrixMarket vector\"");
    says(&refused("%%MatrixMarket matrix coordinate real hermitian\n4 4 0\n"), "promises the symmetry \"hermitian\"");
    says(&refused("%%MatrixMarket matrix coordinate real symmetric\n4 3 0\n"), "of a symmetric matrix");
    let path = folder.file("b.mtx", b"%%MatrixMarket matrix coordinate real general\n4 3 1\n\xff\n");
    says(&folder.message(read(&Request::new(&path)).unwrap_err(), "b.mtx"), "b.mtx: line 3 is not UTF-8");
    says(&with(&"7".repeat(1 << 20)), "a.mtx: line 2 is longer than 65536 bytes");
}

// ---- safetensors

const ENTRY: &str = r#""x":{"dtype":"F32","shape":[5,3],"data_offsets":[0,60]}"#;

#[test]
fn safetensors_of_every_type() {
    let folder = Folder::new();
    let values = small();
    let flat = values.as_slice().unwrap();
    assert_eq!(folder.read("a.safetensors", safetensors(ENTRY, &bytes_of(flat))).points, values);
    assert_eq!(
        folder.read("a", safetensors(&format!(r#""__metadata__":{{"by":"me"}},{ENTRY}"#), &bytes_of(flat))).points,
        values
    );
    type Encode = fn(f32) -> Vec<u8>;
    let tries: [(&str, Encode); 9] = [
        ("F64", |v| f64::from(v).to_le_bytes().to_vec()),
        ("F16", |v| f16::from_f32(v).to_le_bytes().to_vec()),
        ("BF16", |v| half::bf16::from_f32(v).to_le_bytes().to_vec()),
        ("I64", |v| (v as i64).to_le_bytes().to_vec()),
        ("I32", |v| (v as i32).to_le_bytes().to_vec()),
        ("I16", |v| (v as i16).to_le_bytes().to_vec()),
        ("U16", |v| (v as u16).to_le_bytes().to_vec()),
        ("U32", |v| (v as u32).to_le_bytes().to_vec()),
        ("U8", |v| vec![v as u8]),
    ];
    for (dtype, encode) in tries {
        let body: Vec<u8> = flat.iter().flat_map(|&v| encode(v)).collect();
        let entry = format!(r#""x":{{"dtype":"{dtype}","shape":[5,3],"data_offsets":[0,{}]}}"#, body.len());
        assert_eq!(folder.read("a.safetensors", safetensors(&entry, &body)).points, values, "{dtype}");
    }
    // One of several, wherever it stands.
    let entries = r#""bias":{"dtype":"F32","shape":[3],"data_offsets":[60,72]},"w":{"dtype":"F32","shape":[5,3],"data_offsets":[0,60]}"#;
    let path = folder.file("b.safetensors", safetensors(entries, &[bytes_of(flat), bytes_of(&[1., 2., 3.])].concat()));
    assert_eq!(read(&Request::new(&format!("{path}:w"))).unwrap().points, values);
    let asked =
        |part: &str| folder.message(read(&Request::new(&format!("{path}{part}"))).unwrap_err(), "b.safetensors");
    says(&asked(""), "b.safetensors: holds 2 tensors: w [5, 3], bias [3]; choose one, as");
    says(&asked(":v"), "b.safetensors: there is no tensor of the name \"v\"; it holds w [5, 3], bias [3]");
    says(&asked(":bias"), "b.safetensors:bias: is one-dimensional, [3]");
}

#[test]
fn safetensors_that_are_broken_are_refused() {
    let folder = Folder::new();
    let body = bytes_of(small().as_slice().unwrap());
    let refused = |bytes: Vec<u8>| folder.refused("a.safetensors", bytes);
    let whole = safetensors(ENTRY, &body);
    says(&refused(whole[..whole.len() - 1].to_vec()), "do not fit 59 bytes");
    says(&refused(whole[..20].to_vec()), "a.safetensors: its header claims 57 bytes, and the file has 20");
    says(&refused(whole[..5].to_vec()), "a.safetensors: is truncated: it ends within its header");
    says(
        &refused(b"\xff\xff\xff\xff\xff\xff\xff\x7f{\"x\":1}".to_vec()),
        "a.safetensors: its header claims 9223372036854775807 bytes",
    );
    says(&refused(safetensors("\"x\":", &[])), "a.safetensors: its header is not understood");
    says(&refused(safetensors("\"x\":3", &[])), "its header is not understood: the entry \"x\"");
    says(&refused(safetensors("", &[])), "a.safetensors: holds no tensor");
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        let entry = format!(r#""x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#);
        refused(safetensors(&entry, &body))
    };
    says(&entry("F32", "[5,4]", "[0,60]"), "its shape [5, 4] and its place 0 to 60 do not fit 60 bytes");
    says(&entry("F32", "[5,3]", "[60,0]"), "do not fit");
    says(&entry("F32", "[5,3]", "[1000,1060]"), "do not fit");
    says(&entry("F32", "[4294967296,4294967296]", "[0,60]"), "do not fit");
    says(&entry("F32", "[0,3]", "[0,0]"), "has 0 rows");
    says(&entry("F32", "[5,0]", "[0,0]"), "has no columns");
    says(&entry("F32", "[1,15]", "[0,60]"), "has 1 row");
    says(&entry("F8_E4M3", "[5,12]", "[0,60]"), "holds the type \"F8_E4M3\", which is not read");
    says(&entry("F32", "[]", "[0,4]"), "holds a single value");
}

// ---- packed

#[test]
fn any_file_may_be_packed() {
    let folder = Folder::new();
    let values = array![[1f32, 2.], [3., 4.], [5., 6.], [7., 9.]];
    let array = npy("<f8", &[4, 2], Order::Fortran, &[1f64, 3., 5., 7., 2., 4., 6., 9.]);
    for pack in [gzip, zstandard] {
        for (name, bytes) in [
            ("a.csv.gz", b"1,2\n3,4\n5,6\n7,9\n".to_vec()),
            ("a.tsv.zst", b"x\ty\n1\t2\n3\t4\n5\t6\n7\t9\n".to_vec()),
            ("a.gz", b"1;2\n3;4\n5;6\n7;9\n".to_vec()),
            ("a.npy.zst", array.clone()),
            ("a", array.clone()),
            ("a.mtx.gz", b"%%MatrixMarket matrix array real general\n4 2\n1\n3\n5\n7\n2\n4\n6\n9\n".to_vec()),
        ] {
            assert_eq!(folder.read(name, pack(&bytes)).points, values, "{name}");
        }
        let labels = folder.file("l.txt.gz", pack(b"b\na\na\nb\n"));
        let data = folder.read_with("a.csv", ROWS, |request| request.labels = Some(&labels));
        assert_eq!(classes(&data.labels), (vec!["a", "b"], &[1, 0, 0, 1][..]));
        // The line of what is wrong is that of the text.
        let mut text: String = (0..9000).map(|i| format!("{i},1\n")).collect();
        text.push_str("7,x\n");
        says(&folder.refused("b.csv.gz", pack(text.as_bytes())), "b.csv.gz: line 9001, column 2 is \"x\"");
    }
}

#[test]
fn packed_text_that_is_cut_spoilt_or_a_bomb_is_refused() {
    let folder = Folder::new();
    let text: String = (0..5000).map(|i| format!("{},{}\n", i * 7919 % 5003, i * 31 % 977)).collect();
    for (name, packed) in [("a.csv.gz", gzip(text.as_bytes())), ("a.csv.zst", zstandard(text.as_bytes()))] {
        for kept in [6, packed.len() / 2, packed.len() - 1] {
            says(&folder.refused(name, &packed[..kept]), &format!("{name}: "));
            let message = folder.refused(name, &packed[..kept]);
            assert!(message.contains("is truncated") || message.contains("does not unpack"), "{message}");
        }
        let mut spoilt = packed.clone();
        let middle = packed.len() / 2;
        spoilt[middle..middle + 20].iter_mut().for_each(|byte| *byte = !*byte);
        says(&folder.refused(name, spoilt), name);
    }
    // A hundred megabytes of rows in little more than a hundred kilobytes; and one line of as much.
    for bomb in ["1,2\n".repeat(25 << 20), "1".repeat(100 << 20)] {
        for (name, packed) in [("b.csv.gz", gzip(bomb.as_bytes())), ("b.csv.zst", zstandard(bomb.as_bytes()))] {
            let message = folder.refused_with(name, packed, |request| request.memory = Some(1 << 20));
            let refused = message.contains("unpacks to more than 1.05 MB") || message.contains("take 1.05 MB, all");
            assert!(refused, "{message}");
        }
    }
    let labels = folder.file("l.txt.gz", gzip("a\n".repeat(5 << 20).as_bytes()));
    let path = folder.file("a.csv", ROWS);
    let error = read(&Request { labels: Some(&labels), memory: Some(1 << 20), ..Request::new(&path) }).unwrap_err();
    says(&folder.message(error, "l.txt.gz"), "l.txt.gz: unpacks to more than 1.05 MB");
}

// ---- folders of pictures

/// A picture of one colour but for its left half.
fn picture(left: [u8; 4], right: [u8; 4], width: u32, height: u32) -> image::RgbaImage {
    image::RgbaImage::from_fn(width, height, |x, _| image::Rgba(if x < width / 2 { left } else { right }))
}

impl Folder {
    /// A folder of five pictures in three folders, each of another kind.
    fn pictures(&self) -> String {
        let root = self.0.path().join("pictures");
        for folder in ["cats", "dogs/small", "empty"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let save = |name: &str, picture: image::DynamicImage| picture.save(root.join(name)).unwrap();
        let rgb = |left, right| image::DynamicImage::from(picture(left, right, 8, 8)).into_rgb8().into();
        save("cats/b.png", picture([255, 0, 0, 255], [0, 0, 255, 255], 16, 16).into());
        save("cats/a.bmp", rgb([10, 10, 10, 255], [200, 200, 200, 255]));
        save("dogs/small/c.tiff", rgb([0, 255, 0, 255], [0, 0, 0, 255]));
        save("dogs/d.webp", picture([0, 0, 0, 0], [0, 0, 0, 255], 8, 8).into());
        save("dogs/e.jpg", rgb([250, 250, 250, 255], [5, 5, 5, 255]));
        std::fs::write(root.join("dogs/notes.txt"), "no picture").unwrap();
        root.to_str().unwrap().to_string()
    }
}

#[test]
fn a_folder_of_pictures_becomes_labelled_rows() {
    let folder = Folder::new();
    let root = folder.pictures();
    let asked = Pictures { size: (2, 1), color: true, strict: true };
    let input = open(&Request { pictures: Some(asked), ..Request::new(&root) }).unwrap();
    let Points::Dense(points) = &input.points else { panic!("pictures are dense") };
    assert_eq!(
        input.ids.as_ref().unwrap(),
        &["cats/a.bmp", "cats/b.png", "dogs/d.webp", "dogs/e.jpg", "dogs/small/c.tiff"]
    );
    assert_eq!(classes(&input.labels), (vec!["cats", "dogs"], &[0, 0, 1, 1, 1][..]));
    let close = |got: ndarray::ArrayView1<f32>, want: [f32; 6], by: f32| {
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= by), "{got:?} is not {want:?}");
    };
    close(points.row(0), [10., 10., 10., 200., 200., 200.], 45.0);
    close(points.row(1), [255., 0., 0., 0., 0., 255.], 45.0);
    // Transparent is white.
    close(points.row(2), [255., 255., 255., 0., 0., 0.], 45.0);
    close(points.row(3), [250., 250., 250., 5., 5., 5.], 45.0);
    close(points.row(4), [0., 255., 0., 0., 0., 0.], 45.0);

    let grey = read(&Request::new(&root)).unwrap();
    assert_eq!(grey.points.dim(), (5, 32 * 32));
    let luma = grey.points[[1, 0]];
    assert!((45.0..80.0).contains(&luma), "red is {luma}: 0.2126 of 255 in Rec. 709");
    // Bytes do not depend on the number of threads, and rows of a subsample are rows of the whole.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(alone.install(|| read(&Request::new(&root)).unwrap().points), grey.points);
    let some = open(&Request { subsample: Some(4), ..Request::new(&root) }).unwrap();
    let rows: Vec<usize> = some.rows.as_ref().unwrap().iter().map(|&row| row as usize).collect();
    let Points::Dense(points) = &some.points else { panic!("pictures are dense") };
    assert_eq!(points, grey.points.select(ndarray::Axis(0), &rows));
    assert_eq!(some.ids.unwrap().len(), 4);
    // Labels of their own go before those of the folders.
    let labels = folder.file("l.txt", "1\n2\n1\n2\n1\n");
    let data = read(&Request { labels: Some(&labels), ..Request::new(&root) }).unwrap();
    assert_eq!(classes(&data.labels), (vec!["1", "2"], &[0, 1, 0, 1, 0][..]));
}

#[test]
fn broken_pictures_are_named_and_left_out_or_refused() {
    let folder = Folder::new();
    let root = folder.pictures();
    let whole = std::fs::read(format!("{root}/cats/b.png")).unwrap();
    std::fs::write(format!("{root}/cats/cut.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(format!("{root}/dogs/empty.jpg"), "").unwrap();
    std::fs::write(format!("{root}/noise.tif"), [7; 500]).unwrap();
    // A header that claims 4 billion pixels: nothing of it is allocated.
    let mut bomb = whole.clone();
    bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = flate2::Crc::new();
    let mut crc = crc;
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    std::fs::write(format!("{root}/huge.png"), bomb).unwrap();
    let input = open(&Request::new(&root)).unwrap();
    assert_eq!((input.points.dim().0, input.of), (5, 9));
    assert_eq!(input.rows, Some(vec![0, 1, 3, 4, 6]));
    assert_eq!(input.notes.len(), 4, "{:?}", input.notes);
    for (note, name) in input.notes.iter().zip(["cats/cut.png", "dogs/empty.jpg", "huge.png", "noise.tif"]) {
        says(note, &format!("{name} is broken and left out: "));
    }
    assert_eq!(classes(&input.labels).0, ["cats", "dogs"]);
    let strict = Pictures { strict: true, ..Pictures::default() };
    let error = read(&Request { pictures: Some(strict), ..Request::new(&root) }).unwrap_err();
    says(&folder.message(error, "cut.png"), "pictures/cats/cut.png: is broken: ");

    for name in ["cats/a.bmp", "cats/b.png"] {
        std::fs::remove_file(format!("{root}/{name}")).unwrap();
    }
    says(
        &folder.message(read(&Request::new(&root)).unwrap_err(), "pictures"),
        "pictures: has 7 pictures, 3 of them whole, and a map needs at least 4",
    );
    let columns = ["1".to_string()];
    let error = read(&Request { columns: &columns, ..Request::new(&root) }).unwrap_err();
    says(&error.to_string(), "--columns: pictures have pixels, not columns");
    let path = folder.file("a.csv", ROWS);
    let error = read(&Request { pictures: Some(strict), ..Request::new(&path) }).unwrap_err();
    says(&error.to_string(), "is no folder of pictures");
}

// ---- which rows and columns, and what is done to them

#[test]
fn columns_are_chosen_by_name_and_number() {
    let folder = Folder::new();
    let text = "id,a,b,c,kind\np,1,2,3,x\nq,4,5,6,y\nr,7,8,9,x\ns,10,11,13,y\n";
    let with = |name: &str, bytes: &[u8], columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
        let path = folder.file(name, bytes);
        open(&Request { columns: &columns, ..Request::new(&path) }).map(|input| match input.points {
            Points::Dense(points) => points,
            _ => panic!("not dense"),
        })
    };
    assert_eq!(with("a.csv", text.as_bytes(), &["c", "a"]).unwrap(), array![[1., 3.], [4., 6.], [7., 9.], [10., 13.]]);
    assert_eq!(with("a.csv", text.as_bytes(), &["a..c"]).unwrap().dim(), (4, 3));
    assert_eq!(with("b.csv", b"1,x,3\n4,x,6\n7,x,9\n10,x,13\n", &["1", "3"]).unwrap().dim(), (4, 2));
    let array = npy(
        "<f4",
        &[5, 3],
        Order::Fortran,
        &[0f32, 7., 14., 21., 28., f32::NAN, 0., 0., 0., 0., 4., 11., 18., 25., 32.],
    );
    // What is not chosen is not looked at.
    assert_eq!(with("a.npy", &array, &["0", "2"]).unwrap(), small().select(ndarray::Axis(1), &[0, 2]));
    let refused = |columns: &[&str]| {
        with("a.csv", text.as_bytes(), columns).unwrap_err().to_string().replace(&folder.path(""), "")
    };
    says(&refused(&["d"]), "--columns d: a.csv has no such column; its columns are id, a, b, c, kind");
    says(&refused(&["a", "a"]), "--columns: \"a\" is named twice");
    says(&refused(&["c..a"]), "--columns c..a: the second comes before the first");
    says(&refused(&["kind"]), "a.csv: line 2, column kind is \"x\", not a number");
    let error = with("a.npy", &array, &["3"]).unwrap_err().to_string();
    says(&error, "its columns have no names: give numbers, 0 to 2");
    let double = with("c.csv", b"a,a\n1,2\n3,4\n5,6\n7,8\n", &["a"]).unwrap_err().to_string();
    says(&double, "has 2 columns of that name; rename all but one");

    let path = folder.file("a.csv", text);
    let request = Request { id: Some("id"), labels: Some("kind"), ..Request::new(&path) };
    let input = open(&request).unwrap();
    assert_eq!(input.ids.as_deref().unwrap(), ["p", "q", "r", "s"]);
    assert_eq!(classes(&input.labels).0, ["x", "y"]);
    assert_eq!(input.points.dim(), (4, 3));
    let same = open(&Request { id: Some("kind"), columns: &["a".to_string()], ..request }).unwrap();
    assert_eq!(same.ids.as_deref().unwrap(), ["x", "y", "x", "y"]);
    let names = folder.file("names.txt", "w\nx\ny\nz\n");
    let input = open(&Request { id: Some(&names), columns: &["a".to_string()], ..Request::new(&path) }).unwrap();
    assert_eq!(input.ids.as_deref().unwrap(), ["w", "x", "y", "z"]);
}

#[test]
fn a_subsample_is_the_same_for_the_same_seed_and_keeps_labels_and_names() {
    let folder = Folder::new();
    let n = 200;
    let labels = folder.file("l.txt", (0..n).map(|i| format!("{}\n", i % 3)).collect::<String>());
    let values: Vec<f32> = (0..n * 2).map(|i| i as f32).collect();
    let text: String = (0..n).map(|i| format!("{},{}\n", 2 * i, 2 * i + 1)).collect();
    let files = [
        ("c.npy", npy("<f4", &[n, 2], Order::C, &values)),
        ("w.npy", npy("<f8", &[n, 2], Order::C, &values.iter().map(|&v| v.into()).collect::<Vec<f64>>())),
        ("a.csv", text.into_bytes()),
    ];
    let mut all = Vec::new();
    for (name, bytes) in files {
        let path = folder.file(name, bytes);
        let drawn = |seed| {
            open(&Request {
                subsample: Some(20),
                seed,
                labels: Some(&labels),
                id: Some(&labels),
                ..Request::new(&path)
            })
            .unwrap()
        };
        let (one, again, other) = (drawn(1), drawn(1), drawn(2));
        assert_eq!(one.rows, again.rows);
        assert_ne!(one.rows, other.rows);
        let Points::Dense(points) = &one.points else { panic!("not dense") };
        let rows = one.rows.clone().unwrap();
        assert_eq!((rows.len(), one.of, points.dim()), (20, 200, (20, 2)));
        for (i, &row) in rows.iter().enumerate() {
            assert_eq!(points[[i, 0]], 2.0 * row as f32);
            assert_eq!(one.labels.as_ref().unwrap().text(i), (row % 3).to_string());
            assert_eq!(one.ids.as_ref().unwrap()[i], (row % 3).to_string());
        }
        let error = open(&Request { subsample: Some(201), ..Request::new(&path) }).err().unwrap().to_string();
        says(&error, "--subsample 201: ");
        says(&error, "has 200 rows; give at most that");
        all.push(rows);
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "every reader draws the same rows");
}

#[test]
fn missing_values_are_refused_replaced_or_left_out() {
    let folder = Folder::new();
    let nan = f32::NAN;
    let array = npy("<f4", &[6, 2], Order::C, &[1., 2., nan, 4., 5., nan, 7., 9., 9., 1., 8., 8.]);
    let wide = npy("<f8", &[6, 2], Order::C, &[1., 2., f64::NAN, 4., 5., f64::NAN, 7., 9., 9., 1., 8., 8.]);
    let text = "a,b\n1,2\n,4\n5,NA\n7,9\n9,1\n8,8\n";
    let labels = folder.file("l.txt", "r0\nr1\nr2\nr3\nr4\nr5\n");
    for (name, bytes) in [("a.npy", array), ("w.npy", wide), ("a.csv", text.as_bytes().to_vec())] {
        let with = |missing| {
            folder.read_with(name, &bytes, |request| {
                request.missing = missing;
                request.labels = Some(&labels);
            })
        };
        let filled = with(Missing::Mean);
        assert_eq!(filled.points, array![[1., 2.], [6., 4.], [5., 4.8], [7., 9.], [9., 1.], [8., 8.]], "{name}");
        says(&filled.notes[0], "2 missing values replaced by the mean of their columns");
        let dropped = with(Missing::Drop);
        assert_eq!(dropped.points, array![[1., 2.], [7., 9.], [9., 1.], [8., 8.]], "{name}");
        assert_eq!(classes(&dropped.labels).0, ["r0", "r3", "r4", "r5"]);
        says(&dropped.notes[0], "2 rows with missing values left out");
        let refused = folder.refused(name, &bytes);
        says(&refused, if name == "a.csv" { "line 3, column a is empty" } else { "row 1, column 0 is NaN" });
        says(&refused, "or give --missing");
    }
    for missing in [Missing::Mean, Missing::Drop] {
        let refused = |text: &str| folder.refused_with("b.csv", text, |request| request.missing = missing);
        says(&refused("a,b\n1,\n2,\n3,\n4,\n5,\n"), "b.csv: column b has no value at all; leave it out by --columns");
        says(&refused("a,b\n1,2\n2,x\n3,4\n4,5\n5,6\n"), "b.csv: line 3, column b is \"x\", not a number");
        says(&refused("a,b\n1,2\n2,inf\n3,4\n4,5\n5,6\n"), "b.csv: line 3, column b is infinite");
    }
    let few = folder.refused_with("b.csv", "a,b\n1,2\n2,\n3,4\n,5\n5,6\n", |request| request.missing = Missing::Drop);
    says(&few, "b.csv: 3 rows without a missing value, and a map needs at least 4; give --missing mean");
}

#[test]
fn values_are_treated_as_the_definitions_say() {
    let folder = Folder::new();
    let points = scattered(30, 6).mapv(f32::abs) + 0.25;
    let wide = points.mapv(f64::from);
    let bytes = npy("<f4", &[30, 6], Order::C, points.as_slice().unwrap());
    let treated = |change: &dyn Fn(&mut Request)| {
        folder.read_with("a.npy", &bytes, |request| change(request)).points.mapv(f64::from)
    };
    let close = |got: &Array2<f64>, want: &Array2<f64>, what: &str| {
        let error = (got - want).iter().map(|x| x.abs()).fold(0.0, f64::max);
        assert!(error <= 2e-6 * want.iter().map(|x| x.abs()).fold(0.0, f64::max), "{what}: {error:e}");
    };
    let standard = |x: &Array2<f64>| {
        let (mean, deviation) = (x.mean_axis(ndarray::Axis(0)).unwrap(), x.std_axis(ndarray::Axis(0), 0.0));
        (x - &mean) / &deviation
    };
    let length = |x: &Array2<f64>| {
        x / &x.mapv(|x| x * x).sum_axis(ndarray::Axis(1)).mapv(f64::sqrt).insert_axis(ndarray::Axis(1))
    };
    let sum = |x: &Array2<f64>| {
        let sums = x.sum_axis(ndarray::Axis(1));
        let mut sorted = sums.to_vec();
        sorted.sort_by(f64::total_cmp);
        x * &(sorted[15] / &sums).insert_axis(ndarray::Axis(1))
    };
    close(&treated(&|r| r.standardize = true), &standard(&wide), "standardize");
    close(&treated(&|r| r.log1p = true), &wide.mapv(f64::ln_1p), "log1p");
    close(&treated(&|r| r.normalize = Some(Normalize::Length)), &length(&wide), "length");
    close(&treated(&|r| r.normalize = Some(Normalize::Sum)), &sum(&wide), "sum");
    let all = |r: &mut Request| {
        r.normalize = Some(Normalize::Sum);
        r.log1p = true;
        r.standardize = true;
    };
    close(&treated(&all), &standard(&sum(&wide).mapv(f64::ln_1p)), "all, in their order");
    // A column far from the origin is shifted before it is rounded, and standardised all the same; one that does not vary is 0.
    let far = "1e9,5\n1000000000.5,5\n1000000001,5\n1000000001.5,5\n";
    let data = folder.read_with("far.csv", far, |request| {
        request.standardize = true;
        request.shifts_cancel = false;
    });
    let step = 0.5 / (0.3125f32).sqrt();
    assert!((data.points[[1, 0]] - data.points[[0, 0]] - step).abs() < 1e-6, "{:?}", data.points);
    assert_eq!(data.points.column(1).to_vec(), [0.0; 4]);
    let refused = |text: &str, change: &dyn Fn(&mut Request)| folder.refused_with("r.csv", text, |r| change(r));
    says(
        &refused("1,2\n3,-1\n5,6\n7,9\n", &|r| r.log1p = true),
        "r.csv: row 1, column 2 is -1, and ln(1 + x) needs more than -1",
    );
    says(
        &refused("1,2\n0,0\n5,6\n7,9\n", &|r| r.normalize = Some(Normalize::Sum)),
        "r.csv: row 1 (counted from 0) is all zeros",
    );
    says(&refused("1,1\n2,2\n5,5\n7,7\n", &|r| r.normalize = Some(Normalize::Length)), "r.csv: all 4 rows are equal");
}

#[test]
fn sparse_values_are_treated_as_dense_ones() {
    let folder = Folder::new();
    let dense = scattered(40, 12).mapv(f32::abs);
    let Points::Sparse(sparse) = compressed(&dense) else { panic!("not sparse") };
    let offsets: Vec<i32> = sparse.offsets.iter().map(|&o| o as i32).collect();
    let indices: Vec<i32> = sparse.indices.iter().map(|&o| o as i32).collect();
    let a = folder.file("a.npz", save_npz("csr", [40, 12], &offsets, &indices, &sparse.values));
    let b = folder.file("b.npy", npy("<f4", &[40, 12], Order::C, dense.as_slice().unwrap()));
    let treated = |path: &str| {
        open(&Request { normalize: Some(Normalize::Sum), log1p: true, standardize: true, ..Request::new(path) })
            .unwrap()
    };
    let (a_in, b_in) = (treated(&a), treated(&b));
    assert!(matches!(a_in.points, Points::Sparse(_)) && matches!(b_in.points, Points::Dense(_)));
    let (got, want) = (components_of(&a_in.points, 4).unwrap(), components_of(&b_in.points, 4).unwrap());
    let error = (&got.scores - &want.scores).iter().map(|x| x.abs()).fold(0.0, f32::max);
    assert!(error <= 1e-4, "{error:e}");
    let error = open(&Request { standardize: true, shifts_cancel: false, ..Request::new(&a) }).err().unwrap();
    says(&error.to_string(), "--standardize: a sparse matrix is standardised without centring it");
}

// ---- larger than memory

#[test]
fn an_array_that_does_not_fit_stays_on_its_disk() {
    let folder = Folder::new();
    let (n, m) = (3000, 20);
    let points = scattered(n, m) + 3.0;
    let values = points.as_slice().unwrap();
    let wide: Vec<f64> = values.iter().map(|&v| v.into()).collect();
    let want = principal_components(points.view(), 4).unwrap();
    let tensor = format!(r#""x":{{"dtype":"F32","shape":[{n},{m}],"data_offsets":[0,{}]}}"#, 4 * n * m);
    for (name, bytes) in [
        ("f4.npy", npy("<f4", &[n as u64, m as u64], Order::C, values)),
        ("f8.npy", npy(">f8", &[n as u64, m as u64], Order::C, &wide)),
        ("a.safetensors", safetensors(&tensor, &bytes_of(values))),
    ] {
        let path = folder.file(name, &bytes);
        let request = Request { memory: Some(100_000), ..Request::new(&path) };
        let input = open(&request).unwrap();
        assert!(matches!(input.points, Points::Stored(_)), "{name}");
        assert_eq!(input.points.dim(), (n, m));
        says(&input.notes[0], "does not fit in memory");
        // To the last bit: the same sums in the same order.
        let got = components_of(&input.points, 4).unwrap();
        assert_eq!(got.mean, want.mean, "{name}");
        assert_eq!(got.scores, want.scores, "{name}");
        says(&folder.message(read(&request).unwrap_err(), name), "take 240 kB without principal components");
        // A part of it fits.
        let some = open(&Request { subsample: Some(500), ..request }).unwrap();
        let rows: Vec<usize> = some.rows.unwrap().iter().map(|&row| row as usize).collect();
        let Points::Dense(dense) = some.points else { panic!("not dense") };
        assert_eq!(dense, points.select(ndarray::Axis(0), &rows), "{name}");
        let error = open(&Request { log1p: true, ..request }).err().unwrap();
        says(&folder.message(error, name), "rows on a disk are not treated");
        // Gone, or cut, while it is read.
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = components_of(&input.points, 4).unwrap_err();
        assert_eq!(error.exit_code(), 1, "{error}");
        says(&error.to_string(), "reading it again failed");
    }
    let spoilt = [&[1f32][..], &[f32::NAN], &values[2..]].concat();
    let path = folder.file("n.npy", npy("<f4", &[n as u64, m as u64], Order::C, &spoilt));
    let error = open(&Request { memory: Some(100_000), ..Request::new(&path) }).err().unwrap();
    says(&folder.message(error, "n.npy"), "n.npy: row 0, column 1 is NaN");
    let path = folder.file("f.npy", npy("<f4", &[n as u64, m as u64], Order::Fortran, values));
    let error = open(&Request { memory: Some(100_000), ..Request::new(&path) }).err().unwrap();
    says(&folder.message(error, "f.npy"), "f.npy: 3000 rows of 20 columns take 240 kB, and there are 100 kB");
}

#[test]
fn a_table_larger_than_memory_is_refused_where_it_stops_fitting() {
    let folder = Folder::new();
    let text: String = (0..2000).map(|i| format!("{i},{}\n", i % 7)).collect();
    let message = folder.refused_with("a.csv", text, |request| request.memory = Some(16_000));
    says(&message, "a.csv: line 1001: the values up to here take 16.0 kB, all that there is; choose some by --columns");
}

// ---- neighbours found elsewhere

#[test]
fn neighbors_are_read_without_the_points_themselves() {
    let folder = Folder::new();
    let with = |indices: &[i64], distances: &[f32], width: u64| {
        let shape = [indices.len() as u64 / width, width];
        let path = folder.file(
            "n.npz",
            npz(&[
                ("indices.npy", npy("<i8", &shape, Order::C, indices)),
                ("distances.npy", npy("<f4", &[distances.len() as u64 / width, width], Order::C, distances)),
            ]),
        );
        read_neighbors(&path, 4)
    };
    let found =
        with(&[0, 2, 1, 1, 0, 3, 3, 2, 0, 0, 1, 2], &[0., 1., 2., 0., 2., 3., 1., 0., 1., 9., 4., 5.], 3).unwrap();
    assert_eq!(found.indices, array![[1, 2], [0, 3], [0, 3], [1, 2]]);
    assert_eq!(found.d2, array![[4., 1.], [4., 9.], [1., 1.], [16., 25.]]);
    let refused = |indices: &[i64], distances: &[f32]| {
        let error = with(indices, distances, 2).unwrap_err();
        folder.message(error, "n.npz")
    };
    let (sound, near) = ([1, 2, 0, 2, 0, 1, 1, 2], [1., 1., 1., 1., 1., 1., 1., 1.]);
    assert!(with(&sound, &near, 2).is_ok());
    let spoilt = |at: usize, with: i64| {
        let mut indices = sound;
        indices[at] = with;
        indices
    };
    says(&refused(&spoilt(2, 4), &near), "n.npz: row 1: there is no point 4, of 4 points");
    says(&refused(&spoilt(2, -1), &near), "n.npz: row 1: there is no point -1");
    says(&refused(&spoilt(3, 0), &near), "n.npz: row 1: point 0 is there twice");
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        let mut distances = near;
        distances[5] = bad;
        says(&refused(&sound, &distances), &format!("n.npz: row 2: a distance is {bad}"));
    }
    says(&refused(&sound[..6], &near[..6]), "n.npz: its indices are [3, 2], for 4 points");
    says(&refused(&sound, &near[..6]), "n.npz: its indices are [4, 2], for 4 points");
    let path = folder.file("m.npz", npz(&[("x.npy", npy("<f4", &[4, 2], Order::C, &near))]));
    says(&folder.message(read_neighbors(&path, 4).unwrap_err(), "m.npz"), "m.npz: has no arrays of these names");
    let path = folder.file("m.npy", npy("<f4", &[4, 2], Order::C, &near));
    says(&folder.message(read_neighbors(&path, 4).unwrap_err(), "m.npy"), "m.npy: is not an .npz file");
}

// ---- columns with names and types

/// Files of named columns, as their own crates write them.
#[cfg(any(feature = "parquet", feature = "arrow"))]
mod columnar {
    /// Six rows of `a`, `b` with a null, `kind` and lists of two, one of them null.
    pub struct Table {
        pub a: Vec<f64>,
        pub b: Vec<Option<i64>>,
        pub kind: Vec<&'static str>,
        pub pair: Vec<Option<Vec<f32>>>,
    }

    pub fn table() -> Table {
        Table {
            a: vec![0.5, 1.5, 2.5, 3.5, 4.5, 6.0],
            b: [1, 2, 3, 4, 5, 7].map(Some).to_vec(),
            kind: vec!["x", "y", "x", "y", "x", "x"],
            pair: (0..6).map(|i| Some(vec![i as f32, 10.0 - i as f32])).collect(),
        }
    }

    #[cfg(feature = "parquet")]
    pub fn parquet(table: &Table) -> Vec<u8> {
        use parquet::basic::{Compression, ZstdLevel};
        use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
        use parquet::file::properties::WriterProperties;
        use parquet::file::writer::SerializedFileWriter;
        use std::sync::Arc;
        let schema = "message schema {
            REQUIRED DOUBLE a;
            OPTIONAL INT64 b;
            REQUIRED BINARY kind (UTF8);
            OPTIONAL GROUP pair (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
            REQUIRED INT32 day (DATE);
        }";
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let packed = Compression::ZSTD(ZstdLevel::default());
        let properties = Arc::new(WriterProperties::builder().set_compression(packed).build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        let middle = table.a.len().min(4);
        for rows in [0..middle, middle..table.a.len()].into_iter().filter(|rows| !rows.is_empty()) {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<DoubleType>().write_batch(&table.a[rows.clone()], None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let defined: Vec<i16> = table.b[rows.clone()].iter().map(|b| i16::from(b.is_some())).collect();
            let values: Vec<i64> = table.b[rows.clone()].iter().flatten().copied().collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&defined), None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = table.kind[rows.clone()].iter().map(|&kind| kind.into()).collect();
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let (mut defined, mut repeated, mut values) = (vec![], vec![], vec![]);
            for pair in &table.pair[rows.clone()] {
                match pair {
                    None => (defined.push(0i16), repeated.push(0i16)),
                    Some(pair) if pair.is_empty() => (defined.push(1), repeated.push(0)),
                    Some(pair) => {
                        for (at, &x) in pair.iter().enumerate() {
                            defined.push(2);
                            repeated.push(i16::from(at > 0));
                            values.push(x);
                        }
                        ((), ())
                    }
                };
            }
            column.typed::<FloatType>().write_batch(&values, Some(&defined), Some(&repeated)).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let days: Vec<i32> = rows.clone().map(|row| row as i32).collect();
            column.typed::<parquet::data_type::Int32Type>().write_batch(&days, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[cfg(feature = "arrow")]
    pub fn arrow(table: &Table, packed: bool) -> Vec<u8> {
        use arrow_array::types::{Float32Type, Int8Type};
        use arrow_array::{ArrayRef, Date32Array, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch};
        use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
        use std::sync::Arc;
        let batch = |rows: std::ops::Range<usize>| {
            let kind: DictionaryArray<Int8Type> = table.kind[rows.clone()].iter().copied().collect();
            let pair = table.pair[rows.clone()].iter();
            let pair = pair.map(|pair| pair.as_ref().map(|pair| pair.iter().map(|&x| Some(x)).collect::<Vec<_>>()));
            RecordBatch::try_from_iter_with_nullable([
                ("a", Arc::new(Float64Array::from(table.a[rows.clone()].to_vec())) as ArrayRef, true),
                ("b", Arc::new(Int64Array::from(table.b[rows.clone()].to_vec())) as ArrayRef, true),
                ("kind", Arc::new(kind) as ArrayRef, true),
                ("pair", Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(pair)) as ArrayRef, true),
                ("day", Arc::new(Date32Array::from_iter_values(rows.map(|row| row as i32))) as ArrayRef, true),
            ])
            .unwrap()
        };
        let packing = packed.then_some(arrow_ipc::CompressionType::ZSTD);
        let options = IpcWriteOptions::default().try_with_compression(packing).unwrap();
        let first = batch(0..table.a.len());
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &first.schema(), options).unwrap();
        writer.write(&first).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    /// Points as columns of 8 bytes in one group of rows, and `kind`, the row's number modulo 3.
    #[cfg(feature = "parquet")]
    fn wide_parquet(points: &ndarray::Array2<f32>) -> Vec<u8> {
        use parquet::data_type::{DoubleType, Int64Type};
        use parquet::file::writer::SerializedFileWriter;
        let columns: String = (0..points.ncols()).map(|c| format!("REQUIRED DOUBLE c{c};")).collect();
        let schema = format!("message points {{ {columns} REQUIRED INT64 kind; }}");
        let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(&schema).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Default::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for values in points.columns() {
            let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        let kinds: Vec<i64> = (0..points.nrows() as i64).map(|row| row % 3).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&kinds, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    /// The same in batches of 300 rows.
    #[cfg(feature = "arrow")]
    fn wide_arrow(points: &ndarray::Array2<f32>) -> Vec<u8> {
        use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
        use std::sync::Arc;
        let batches: Vec<RecordBatch> = (0..points.nrows())
            .step_by(300)
            .map(|first| {
                let rows = first..(first + 300).min(points.nrows());
                let column = |c: usize| -> ArrayRef {
                    Arc::new(Float64Array::from_iter_values(rows.clone().map(|row| points[[row, c]].into())))
                };
                let mut columns: Vec<(String, ArrayRef)> =
                    (0..points.ncols()).map(|c| (format!("c{c}"), column(c))).collect();
                let kinds = Int64Array::from_iter_values(rows.clone().map(|row| row as i64 % 3));
                columns.push(("kind".into(), Arc::new(kinds)));
                RecordBatch::try_from_iter(columns).unwrap()
            })
            .collect();
        let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    /// Writes points.
    pub type WriteWide = fn(&ndarray::Array2<f32>) -> Vec<u8>;

    /// The kinds that this build reads, with writers of many columns.
    pub fn wide_kinds() -> Vec<(&'static str, WriteWide)> {
        vec![
            #[cfg(feature = "parquet")]
            ("wide.parquet", wide_parquet),
            #[cfg(feature = "arrow")]
            ("wide.arrow", wide_arrow),
        ]
    }

    /// Writes a table.
    pub type Write = fn(&Table) -> Vec<u8>;

    /// The kinds that this build reads, with their writers.
    pub fn kinds() -> Vec<(&'static str, Write)> {
        vec![
            #[cfg(feature = "parquet")]
            ("a.parquet", parquet),
            #[cfg(feature = "arrow")]
            ("a.arrow", |table| arrow(table, false)),
            #[cfg(feature = "arrow")]
            ("a.feather", |table| arrow(table, true)),
        ]
    }
}

#[cfg(any(feature = "parquet", feature = "arrow"))]
#[test]
fn named_columns_of_numbers_become_points() {
    let folder = Folder::new();
    for (name, write) in columnar::kinds() {
        let bytes = write(&columnar::table());
        let path = folder.file(name, &bytes);
        let all = open(&Request { labels: Some("kind"), id: Some("kind"), ..Request::new(&path) }).unwrap();
        let Points::Dense(points) = &all.points else { panic!("not dense") };
        assert_eq!(points.row(0).to_vec(), [0.5, 1.0, 0.0, 10.0], "{name}");
        assert_eq!(points.row(5).to_vec(), [6.0, 7.0, 5.0, 5.0], "{name}");
        assert_eq!(classes(&all.labels), (vec!["x", "y"], &[0, 1, 0, 1, 0, 0][..]), "{name}");
        assert_eq!(all.ids.as_deref().unwrap()[..2], ["x", "y"]);
        says(&all.notes[0], "columns that hold no numbers are passed over: day");
        let some = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
            let request = Request { columns: &columns, subsample: Some(4), seed: 5, ..Request::new(&path) };
            open(&request).map(|input| match input.points {
                Points::Dense(points) => (points, input.rows.unwrap()),
                _ => panic!("not dense"),
            })
        };
        let (drawn, rows) = some(&["pair", "a"]).unwrap();
        let rows: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        assert_eq!(drawn, points.select(ndarray::Axis(0), &rows).select(ndarray::Axis(1), &[0, 2, 3]), "{name}");
        assert_eq!(rows.len(), 4);
        let refused = |columns: &[&str]| some(columns).unwrap_err().to_string();
        says(&refused(&["c"]), "has no such column; its columns are a, b, kind, pair, day");
        says(&refused(&["kind"]), "column kind holds text, not numbers; give it by --labels");
        says(&refused(&["a", "day"]), "column day holds dates, not numbers");
        let error = open(&Request { labels: Some("day"), ..Request::new(&path) }).err().unwrap().to_string();
        says(&error, "--labels day: holds dates");
        let error = open(&Request { labels: Some("nothing"), ..Request::new(&path) }).err().unwrap().to_string();
        says(&error, "has no such column, and there is no such file");
        let little = Request { memory: Some(100), ..Request::new(&path) };
        match open(&little) {
            // 24 values of 4 bytes, which are set aside while they are 8.
            Ok(input) => assert!(matches!(input.points, Points::Dense(read) if read == *points), "{name}"),
            Err(error) => says(&error.to_string(), "a batch of it unpacks to more than 100 bytes"),
        }
    }
}

/// What does not fit is set aside, and is the same points: in memory where they fit as they stay, else on the disk.
#[cfg(any(feature = "parquet", feature = "arrow"))]
#[test]
fn named_columns_that_do_not_fit_are_set_aside() {
    let folder = Folder::new();
    let (n, m) = (3000, 20);
    let points = scattered(n, m) + 3.0;
    let want = principal_components(points.view(), 4).unwrap();
    for (name, write) in columnar::wide_kinds() {
        let path = folder.file(name, write(&points));
        let with = |memory: u64| Request { memory: Some(memory), labels: Some("kind"), ..Request::new(&path) };
        let held = open(&with(1 << 30)).unwrap();
        let aside = open(&with(300_000)).unwrap();
        for (input, what) in [(&held, "held"), (&aside, "set aside")] {
            assert!(matches!(&input.points, Points::Dense(read) if read == points), "{name}, {what}");
            assert!(input.notes.is_empty(), "{:?}", input.notes);
            assert_eq!(classes(&input.labels).1, (0..n as u32).map(|i| i % 3).collect::<Vec<_>>(), "{name}, {what}");
        }
        let stored = open(&with(100_000)).unwrap();
        assert!(matches!(stored.points, Points::Stored(_)), "{name}");
        assert_eq!(stored.points.dim(), (n, m));
        assert_eq!(classes(&stored.labels), classes(&held.labels));
        says(&stored.notes[0], "does not fit in memory: until the end 480 kB of it lie in a temporary file in ");
        // To the last bit: the same sums in the same order.
        let got = components_of(&stored.points, 4).unwrap();
        assert_eq!((got.mean, got.scores), (want.mean.clone(), want.scores.clone()), "{name}");
        says(&folder.message(read(&with(100_000)).unwrap_err(), name), "take 240 kB without principal components");
        // A part of it fits, by way of the disk.
        let some = open(&Request { subsample: Some(500), ..with(100_000) }).unwrap();
        let rows: Vec<usize> = some.rows.unwrap().iter().map(|&row| row as usize).collect();
        let Points::Dense(dense) = some.points else { panic!("not dense") };
        assert_eq!(dense, points.select(ndarray::Axis(0), &rows), "{name}");
        let error = open(&Request { log1p: true, ..with(100_000) }).err().unwrap();
        says(&folder.message(error, name), "rows on a disk are not treated");
        let mut spoilt = points.clone();
        spoilt[[1500, 7]] = f32::NAN;
        let path = folder.file(name, write(&spoilt));
        let error = open(&Request { memory: Some(100_000), ..Request::new(&path) }).err().unwrap();
        says(&folder.message(error, name), &format!("{name}: row 1500, column c7 is NaN"));
        folder.file(name, write(&Array2::ones((n, m))));
        let error = open(&with(100_000)).err().unwrap();
        says(&folder.message(error, name), &format!("{name}: all rows are equal"));
    }
}

#[cfg(any(feature = "parquet", feature = "arrow"))]
#[test]
fn nulls_of_named_columns_are_missing_values() {
    let folder = Folder::new();
    for (name, write) in columnar::kinds() {
        let mut table = columnar::table();
        table.b[1] = None;
        table.pair[0] = None;
        table.pair[5] = None;
        let bytes = write(&table);
        says(
            &folder.refused(name, &bytes),
            "row 0, column pair[0] is NaN; remove or fill in such values, or give --missing",
        );
        let mean = folder.read_with(name, &bytes, |request| request.missing = Missing::Mean).points;
        assert_eq!(mean[[1, 1]], 4.0, "{name}");
        assert_eq!(mean.row(0).to_vec(), [0.5, 1.0, 2.5, 7.5], "{name}");
        let dropped = columnar::Table { pair: columnar::table().pair, ..table };
        let rows = folder.read_with(name, write(&dropped), |request| request.missing = Missing::Drop).points;
        assert_eq!(rows.dim(), (5, 4), "{name}");
        let mut ragged = columnar::table();
        ragged.pair[2] = Some(vec![1.0, 2.0, 3.0]);
        says(&folder.refused(name, write(&ragged)), "row 2, column pair, has 3 numbers, where the rows before have 2");
        ragged.pair[2] = Some(Vec::new());
        folder.refused(name, write(&ragged));
    }
}

#[cfg(any(feature = "parquet", feature = "arrow"))]
#[test]
fn named_columns_that_are_broken_are_refused() {
    let folder = Folder::new();
    for (name, write) in columnar::kinds() {
        let whole = write(&columnar::table());
        for kept in [8, 20, whole.len() / 2, whole.len() - 1] {
            says(&folder.refused(name, &whole[..kept]), &format!("{name}: is "));
        }
        says(&folder.refused(name, b"nothing of the kind, whatever its name says"), name);
        says(
            &folder.refused(&format!("{name}.gz"), gzip(&whole)),
            "is packed, and this kind is read from anywhere; unpack it first",
        );
        let mut few = columnar::table();
        few.a.truncate(1);
        few.b.truncate(1);
        few.kind.truncate(1);
        few.pair.truncate(1);
        says(&folder.refused(name, write(&few)), "has 1 row");
    }
    // A packed buffer of six numbers that claims to be a petabyte: nothing is made room for.
    #[cfg(feature = "arrow")]
    {
        let mut bomb = columnar::arrow(&columnar::table(), true);
        let at = bomb.windows(8).position(|window| window == 48u64.to_le_bytes()).expect("the claim of a column");
        bomb[at..at + 8].copy_from_slice(&(1u64 << 50).to_le_bytes());
        says(&folder.refused("bomb.arrow", bomb), "bomb.arrow: a batch of it unpacks to more than 17.2 GB");
    }
    // Every byte turned over, one at a time: anything but a panic, or memory that is not there.
    let mut tried = 0;
    for (name, write) in columnar::kinds() {
        let whole = write(&columnar::table());
        for at in (0..whole.len()).step_by(3) {
            let mut spoilt = whole.clone();
            spoilt[at] = !spoilt[at];
            let path = folder.file(name, spoilt);
            if let Err(error) = read(&Request { memory: Some(1 << 26), ..Request::new(&path) }) {
                assert_eq!(error.to_string().lines().count(), 1);
            }
            tried += 1;
        }
    }
    assert!(tried > 500, "only {tried} were tried");
}

// ---- cells as AnnData writes them

/// Files that anndata and h5py wrote (`assets/golden/cells.py`).
#[cfg(feature = "hdf5")]
mod cells {
    pub const DENSE: &[u8] = include_bytes!("../assets/golden/cells-dense.h5ad");
    pub const CSR: &[u8] = include_bytes!("../assets/golden/cells-csr.h5ad");
    pub const CSC: &[u8] = include_bytes!("../assets/golden/cells-csc.h5ad");
    pub const OLD: &[u8] = include_bytes!("../assets/golden/cells-old.h5ad");
    /// Chunks of a matrix alone.
    pub const MATRIX: &[u8] = include_bytes!("../assets/golden/matrix.h5");

    /// `X` of all of them.
    pub fn counts() -> ndarray::Array2<f32> {
        ndarray::array![
            [3., 1., 1., 1., 0.],
            [2., 1., 1., 1., 0.],
            [1., 3., 1., 0., 2.],
            [2., 1., 1., 0., 2.],
            [0., 2., 1., 3., 1.],
            [0., 3., 0., 0., 3.],
            [0., 3., 2., 1., 4.],
        ]
    }
}

#[cfg(feature = "hdf5")]
fn dense_of(input: &Input) -> Array2<f32> {
    match &input.points {
        Points::Dense(points) => points.clone(),
        Points::Sparse(sparse) => sparse.dense(),
        Points::Stored(_) => panic!("on a disk"),
    }
}

#[cfg(feature = "hdf5")]
#[test]
fn cells_are_read_with_their_tables() {
    let folder = Folder::new();
    let counts = cells::counts();
    let kinds = (vec!["a", "b", "c"], &[0, 1, 0, 2, 1, 0, 2][..]);
    for (name, bytes, sparse) in [
        ("dense.h5ad", cells::DENSE, false),
        ("csr.h5ad", cells::CSR, true),
        ("csc.h5ad", cells::CSC, true),
        ("old.h5ad", cells::OLD, true),
    ] {
        let path = folder.file(name, bytes);
        let all = open(&Request { labels: Some("kind"), ..Request::new(&path) }).unwrap();
        assert_eq!(matches!(all.points, Points::Sparse(_)), sparse, "{name}");
        assert_eq!(dense_of(&all), counts, "{name}");
        assert_eq!(classes(&all.labels), kinds, "{name}");
        let names: Vec<String> = (0..7).map(|i| format!("cell{i}")).collect();
        assert_eq!(all.ids.as_ref(), Some(&names), "{name}");
        let drawn = open(&Request { labels: Some("kind"), subsample: Some(5), ..Request::new(&path) }).unwrap();
        let rows: Vec<usize> = drawn.rows.as_ref().unwrap().iter().map(|&row| row as usize).collect();
        assert_eq!(dense_of(&drawn), counts.select(ndarray::Axis(0), &rows), "{name}");
        let kept: Vec<String> = rows.iter().map(|&row| names[row].clone()).collect();
        assert_eq!(drawn.ids, Some(kept), "{name}");
        says(
            &folder.refused_with(name, bytes, |request| request.labels = Some("sort")),
            &format!(
                "--labels sort: obs of {name} has no such column, and there is no such file; its columns are kind"
            ),
        );
        if name == "old.h5ad" {
            continue;
        }
        // Genes by name, other matrices by path.
        let genes = ["gene1..gene2".to_string(), "gene4".to_string()];
        let some = open(&Request { columns: &genes, ..Request::new(&path) }).unwrap();
        assert_eq!(dense_of(&some), counts.select(ndarray::Axis(1), &[1, 2, 4]), "{name}");
        let doubled = open(&Request::new(&format!("{path}:layers/doubled"))).unwrap();
        assert_eq!(dense_of(&doubled), 2.0 * &counts, "{name}");
        let pca = open(&Request { id: Some("batch"), ..Request::new(&format!("{path}:obsm/X_pca")) }).unwrap();
        assert_eq!(dense_of(&pca), Array2::from_shape_fn((7, 2), |(i, c)| (2 * i + c) as f32 / 4.0), "{name}");
        assert_eq!(pca.ids.unwrap()[..3], ["1", "2", "1"]);
        let carry = ["depth".to_string(), "batch".to_string(), "fine".to_string(), "guess".to_string()];
        let carried = open(&Request { carry: &carry, ..Request::new(&path) }).unwrap().columns;
        let shown: Vec<(&str, String)> =
            carried.iter().map(|column| (column.name.as_str(), column.values.text(1))).collect();
        let want =
            [("depth", "1.5"), ("batch", "2"), ("fine", "false"), ("guess", "")].map(|(a, b)| (a, b.to_string()));
        assert_eq!(shown, want, "{name}");
        let refused = |request: &Request| open(request).err().unwrap().to_string();
        says(
            &refused(&Request { labels: Some("guess"), ..Request::new(&path) }),
            "row 1 has no label in the column guess",
        );
        says(
            &refused(&Request { labels: Some("dose"), ..Request::new(&path) }),
            "row 1 has no label in the column dose",
        );
        let unknown = ["gene9".to_string()];
        says(
            &refused(&Request { columns: &unknown, ..Request::new(&path) }),
            "has no such column; its columns are gene0",
        );
        says(
            &refused(&Request::new(&format!("{path}:obsm/X_umap"))),
            "there is no matrix of the name \"obsm/X_umap\"; it holds X, layers/doubled, obsm/X_pca",
        );
        says(&refused(&Request::new(&format!("{path}:obs"))), "holds \"dataframe\" where a matrix is needed");
    }
}

#[cfg(feature = "hdf5")]
#[test]
fn cells_that_do_not_fit_stay_on_their_disk() {
    let folder = Folder::new();
    let path = folder.file("matrix.h5", cells::MATRIX);
    let points = Array2::from_shape_fn((400, 16), |(i, j)| ((7 * i * i + 3 * i * j + j) % 101) as f32);
    let held = open(&Request::new(&path)).unwrap();
    assert_eq!(dense_of(&held), points);
    let request = Request { memory: Some(20_000), ..Request::new(&path) };
    let stored = open(&request).unwrap();
    assert!(matches!(stored.points, Points::Stored(_)));
    says(&stored.notes[0], "does not fit in memory and is read from its file");
    let want = principal_components(points.view(), 2).unwrap();
    let got = components_of(&stored.points, 2).unwrap();
    assert_eq!((got.mean, got.scores), (want.mean, want.scores));
    let some = open(&Request { subsample: Some(100), ..request }).unwrap();
    let rows: Vec<usize> = some.rows.as_ref().unwrap().iter().map(|&row| row as usize).collect();
    assert_eq!(dense_of(&some), points.select(ndarray::Axis(0), &rows));
    let refused = |request: &Request| folder.message(open(request).err().unwrap(), "matrix.h5");
    says(
        &refused(&Request { subsample: Some(399), ..request }),
        "399 rows of 16 columns take 25.5 kB, and there are 20.0 kB",
    );
    says(&refused(&Request { memory: Some(7_000), ..request }), "matrix.h5: a part of it does not fit in memory");
    says(
        &refused(&Request { memory: Some(4_000), ..request }),
        "matrix.h5: claims 400 rows, which take at least 6.40 kB",
    );
}

#[cfg(feature = "hdf5")]
#[test]
fn cells_that_are_broken_are_refused() {
    let folder = Folder::new();
    for (name, whole) in [("dense.h5ad", cells::DENSE), ("csr.h5ad", cells::CSR), ("old.h5ad", cells::OLD)] {
        for kept in [8, 20, 100, whole.len() / 2] {
            says(&folder.refused(name, &whole[..kept]), &format!("{name}: is not understood: "));
        }
        says(&folder.refused(&format!("{name}.gz"), gzip(whole)), "is packed, and this kind is read from anywhere");
        // Every 101st byte turned over, one at a time: anything but a panic, or memory that is not there.
        for at in (0..whole.len()).step_by(101) {
            let mut spoilt = whole.to_vec();
            spoilt[at] = !spoilt[at];
            let path = folder.file(name, spoilt);
            if let Err(error) = read(&Request { memory: Some(1 << 20), ..Request::new(&path) }) {
                assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}

// ---- properties

/// A valid file for each reader, to be spoilt.
fn valid_files() -> Vec<(&'static str, Vec<u8>)> {
    let values = small();
    let body: Vec<u8> = values.iter().map(|&v| v as u8).collect();
    let wide: Vec<f64> = values.iter().map(|&v| v.into()).collect();
    vec![
        ("npy", npy("<f4", &[5, 3], Order::C, values.as_slice().unwrap())),
        ("npy", npy(">f8", &[5, 3], Order::Fortran, &wide)),
        ("idx", idx(8, &[5, 3], &body)),
        ("idx", gzip(&idx(8, &[5, 3], &body))),
        ("table", b"a,b,\"kind, or so\"\n1,2,3\n4,5,6\r\n\n7,\"8\",9\n1e3,-1,0\n".to_vec()),
        ("npz", npz(&[("x.npy", npy("<f4", &[5, 3], Order::C, values.as_slice().unwrap()))])),
        ("npz", half_empty().1),
        ("safetensors", safetensors(ENTRY, &bytes_of(values.as_slice().unwrap()))),
        ("mtx", b"%%MatrixMarket matrix coordinate real general\n% so\n4 3 3\n1 1 2.5\n3 2 -1\n4 3 4e1\n".to_vec()),
        ("mtx", b"%%MatrixMarket matrix array integer general\n4 2\n1\n2\n3\n4\n5\n6\n7\n9\n".to_vec()),
        #[cfg(feature = "parquet")]
        ("parquet", columnar::parquet(&columnar::table())),
        #[cfg(feature = "arrow")]
        ("arrow", columnar::arrow(&columnar::table(), false)),
        #[cfg(feature = "arrow")]
        ("arrow", columnar::arrow(&columnar::table(), true)),
        #[cfg(feature = "hdf5")]
        ("hdf5", cells::OLD.to_vec()),
        #[cfg(feature = "hdf5")]
        ("hdf5", cells::DENSE.to_vec()),
    ]
}

fn extensions() -> Vec<&'static str> {
    READERS.iter().flat_map(|reader| reader.extensions).copied().collect()
}

#[test]
fn every_reader_has_a_valid_file_to_be_spoilt() {
    let folder = Folder::new();
    for reader in READERS {
        let files: Vec<_> = valid_files().into_iter().filter(|(name, _)| *name == reader.name).collect();
        assert!(!files.is_empty(), "{} has none", reader.name);
        for (_, bytes) in files {
            let is_packed = bytes.starts_with(b"\x1f\x8b");
            assert!(is_packed || (reader.sniff)(&bytes) != Sniff::Excluded, "{}", reader.name);
            assert!(folder.read(&format!("a.{}", reader.extensions[0]), bytes).points.nrows() >= FEWEST_ROWS);
        }
    }
}

/// Reads these bytes in every role that a file can have. Anything may come of it but a panic, values that break the
/// invariants of a data set, or a message that is none.
fn read_every_way(folder: &Folder, name: &str, bytes: &[u8]) {
    let path = folder.file(name, bytes);
    let check = |error: Error| {
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    };
    for header in [Header::Auto, Header::Yes, Header::No] {
        for labels in [None, Some("1"), Some("a")] {
            match read(&Request { labels, header, ..Request::new(&path) }) {
                Ok(data) => {
                    assert!(data.points.nrows() >= FEWEST_ROWS && data.points.ncols() >= 1);
                    assert!(data.points.iter().all(|v| v.is_finite()));
                    assert!(data.points.rows().into_iter().any(|row| row != data.points.row(0)));
                    assert!(data.labels.is_none_or(|labels| labels.len() == data.points.nrows()));
                }
                Err(error) => check(error),
            }
        }
    }
    if let Err(error) = read(&Request { labels: Some(&path), ..Request::new("sample:faithful") }) {
        check(error);
    }
    match read_map(&path, 5, 3) {
        Ok(map) => assert!(map.dim() == (5, 3) && map.iter().all(|v| v.is_finite())),
        Err(error) => check(error),
    }
}

#[path = "../fuzz/one.rs"]
mod fuzzed;

/// Every input that the fuzzer started from or that once went wrong, as the fuzzer has it (`fuzz/corpus/read`).
#[test]
fn the_corpus_of_the_fuzzer_is_replayed() {
    let folder = Folder::new();
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/read");
    let mut inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 20, "only {} inputs", inputs.len());
    for input in inputs {
        fuzzed::read(folder.0.path(), &std::fs::read(input).unwrap());
    }
}

/// Writes what the corpus starts from: a valid file of every kind, packed and cut.
#[test]
#[ignore = "writes into the tree; run it when there is a new kind of file"]
fn write_the_corpus() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/read");
    for (number, (name, bytes)) in valid_files().into_iter().enumerate() {
        let extension = READERS.iter().find(|reader| reader.name == name).unwrap().extensions[0];
        let write = |what: &str, bytes: &[u8]| {
            let input = [extension.as_bytes(), b"\n", bytes].concat();
            std::fs::write(corpus.join(format!("{number:02}-{name}-{what}")), input).unwrap();
        };
        write("whole", &bytes);
        write("cut", &bytes[..bytes.len() * 2 / 3]);
        write("packed", &zstandard(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        extension in prop::sample::select(extensions()),
    ) {
        read_every_way(&Folder::new(), &format!("a.{extension}"), &bytes);
    }

    #[test]
    fn random_bytes_behind_magic_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        magic in prop::sample::select(vec![
            b"\x93NUMPY\x01\x00".to_vec(),
            b"\x93NUMPY\x01\x00\x40\x00{'descr': ".to_vec(),
            b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (".to_vec(),
            b"\0\0\x08\x02\0\0\0\x05".to_vec(),
            b"\0\0\x0e\x03".to_vec(),
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(),
            b"\x1f\x8b\x08\xff".to_vec(),
            b"\x28\xb5\x2f\xfd\x04".to_vec(),
            b"PK\x03\x04".to_vec(),
            b"\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[4,".to_vec(),
            b"PAR1".to_vec(),
            b"ARROW1\0\0".to_vec(),
            b"%%MatrixMarket matrix coordinate real general\n4 4 ".to_vec(),
        ]),
    ) {
        read_every_way(&Folder::new(), "a", &[magic, bytes].concat());
    }

    #[test]
    fn random_text_never_panics(
        text in "([-0-9.e+,;\"\r\n\t abcxyz#é\u{feff}]|1,2,3\n){0,60}",
        extension in prop::sample::select(vec!["csv", "tsv", "txt"]),
    ) {
        read_every_way(&Folder::new(), &format!("a.{extension}"), text.as_bytes());
    }

    #[test]
    fn spoilt_files_never_panic(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 0..4),
        kept in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let (reader, mut bytes) = which.get(&valid_files()).clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        let extension = READERS.iter().find(|r| r.name == reader).unwrap().extensions[0];
        read_every_way(&Folder::new(), &format!("a.{extension}"), &bytes);
    }

    /// What a spreadsheet may write comes back as it was.
    #[test]
    fn tables_come_back(
        (m, values, labels) in (1..5usize, 4..12usize).prop_flat_map(|(m, n)| (
            Just(m),
            prop::collection::vec(prop::collection::vec(-1e6f32..1e6, m), n),
            prop::collection::vec("[a-c\",;\t\n'é ]{0,6}x", n),
        )),
        (separator, extension) in prop::sample::select(vec![(',', "csv"), ('\t', "tsv"), (';', "txt")]),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\n\n", "\r\n\r\n"]),
        header in any::<bool>(),
        bom in any::<bool>(),
        quote_all in any::<bool>(),
    ) {
        prop_assume!(values.iter().any(|row| row != &values[0]));
        // Without a header, what separates the fields of a .txt must show in its first line.
        prop_assume!(extension != "txt" || header);
        let field = |text: &str| {
            let needed = text.contains([separator, '"', '\n', '\r']);
            if needed || quote_all { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
        };
        let line = |fields: Vec<String>| fields.join(&separator.to_string()) + line_end;
        let mut text = String::from(if bom { "\u{feff}" } else { "" });
        if header {
            text += &line((0..m).map(|j| field(&format!("column {j}"))).chain([field("my \"kind\"")]).collect());
        }
        for (row, label) in values.iter().zip(&labels) {
            text += &line(row.iter().map(|v| field(&v.to_string())).chain([field(label)]).collect());
        }
        let number = (m + 1).to_string();
        let asked = if header { "my \"kind\"" } else { number.as_str() };
        let folder = Folder::new();
        let path = folder.file(&format!("a.{extension}"), &text);
        let data = read(&Request { labels: Some(asked), ..Request::new(&path) })
            .map_err(|error| TestCaseError::fail(format!("{error} in {text:?}")))?;
        let back: Vec<Vec<f32>> = data.points.rows().into_iter().map(|row| row.to_vec()).collect();
        prop_assert_eq!(back, values);
        let kinds = data.labels.unwrap();
        for (i, label) in labels.iter().enumerate() {
            prop_assert_eq!(kinds.text(i), label.trim());
        }
    }
}
