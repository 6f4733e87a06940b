//! Reading: every rule of `input/` tried with files made here, and what each message says.

use flate2::Compression;
use flate2::write::GzEncoder;
use half::f16;
use ndarray::{Array2, array};
use nearfield::Error;
use nearfield::data::{Dataset, Labels};
use nearfield::input::{FEWEST_ROWS, Header, READERS, Request, SAMPLES, Sniff, read, read_map};
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
        "sample:iris: no sample of that name is shipped; there are sample:digits and sample:faithful"
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
    says(&folder.refused("a.npy", b"PK\x03\x04 not at all"), "a.npy: is not an .npy file");
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
    says(&refused(&gzip(b"1,2\n3,4\n")), "a.gz: is gzip, but what it packs is not idx");
    says(&refused(&gzip(&idx(8, &[u32::MAX, 28, 28], &body))), "values, more than");
    // A bomb unpacks to far more than it claims; no more than that is unpacked.
    says(&refused(&gzip(&idx(8, &[5, 12], &vec![0; 50 << 20]))), "a.gz: goes on after the 60 values");

    // Cut anywhere, or with its checksum spoilt.
    let noise: Vec<u8> = (0..6000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let packed = gzip(&idx(8, &[500, 12], &noise));
    for kept in [packed.len() - 1, packed.len() - 8, packed.len() / 2] {
        says(&refused(&packed[..kept]), "a.gz: is truncated");
    }
    says(&refused(&packed[..8]), "a.gz: is truncated: it ends within its header");
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
        "pictures: is a folder, and folders of pictures are not read yet",
    );
    let message = folder.refused("a.parquet", "PAR1 and so on");
    says(&message, "a.parquet: unknown extension .parquet; known are .npy .idx");
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
            assert_ne!((reader.sniff)(&bytes), Sniff::Excluded, "{}", reader.name);
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
