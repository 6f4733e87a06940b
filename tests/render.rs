//! Maps are written whole or not at all, read back as they were, and drawn so that everything in them can be seen.

use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder, arr2};
use nearfield::data::{Column, Labels, Points};
use nearfield::render::{self, DENSITY_FROM, Map, Marks, Style, WRITERS};
use nearfield::score::{label_accuracy, neighbors_kept};
use nearfield::{Error, Result, input};
use std::fs;
use std::io;
use std::path::Path;

/// Petroff's ten colours again: the test must not take them from the code that it tests.
const TEN_COLORS: [u32; 10] =
    [0x3f90da, 0xffa90e, 0xbd1f01, 0x94a4a2, 0x832db6, 0xa96b59, 0xe76300, 0xb9ac70, 0x717581, 0x92dadd];

/// A number in [0, 1) for each index, by splitmix64.
fn uniform(i: usize) -> f32 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

/// `n_points` in `n_classes` separate groups around a circle, and their classes.
fn groups(n_points: usize, dims: usize, n_classes: usize) -> (Array2<f32>, Vec<u32>) {
    let classes: Vec<u32> = (0..n_points).map(|i| (i % n_classes) as u32).collect();
    let points = Array2::from_shape_fn((n_points, dims), |(i, axis)| {
        let angle = classes[i] as f32 / n_classes as f32 * std::f32::consts::TAU;
        [50.0 * angle.cos(), 50.0 * angle.sin(), 20.0 * angle][axis] + 4.0 * uniform(i * dims + axis)
    });
    (points, classes)
}

fn labels(n_classes: usize, of: Vec<u32>) -> Labels {
    Labels::Classes { names: (0..n_classes).map(|class| format!("class {class}")).collect(), of }
}

fn map<'a>(points: ArrayView2<'a, f32>, labels: Option<&'a Labels>) -> Map<'a> {
    Map { labels, title: "A title", caption: "t-SNE · perplexity 30 · KL 0.741", ..Map::new(points) }
}

/// The bytes that a map is written as, through a file, on `threads` threads.
fn bytes_on(threads: usize, extension: &str, map: &Map) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("map.{extension}"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| render::write(&path, map)).unwrap();
    fs::read(path).unwrap()
}

fn picture(map: &Map) -> image::RgbImage {
    image::load_from_memory(&bytes_on(1, "png", map)).unwrap().to_rgb8()
}

/// Pixels of the plot proper (left of the legend, below the title, above the caption) that are neither white nor grey
/// lines.
fn inked(picture: &image::RgbImage) -> Vec<[u8; 3]> {
    let (width, height) = picture.dimensions();
    let in_plot = |x: u32, y: u32| x < width * 84 / 100 && (height / 10..height * 9 / 10).contains(&y);
    let pixels = picture.enumerate_pixels().filter(|&(x, y, _)| in_plot(x, y));
    pixels.map(|(_, _, pixel)| pixel.0).filter(|ink| ink.iter().min() < Some(&200)).collect()
}

fn one_line(error: &Error) -> String {
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

fn request_line(result: Result<()>) -> String {
    let error = result.expect_err("this cannot be written");
    assert!(matches!(error, Error::Request(_)), "{error:?}");
    one_line(&error)
}

fn job_line(result: Result<()>) -> String {
    let error = result.expect_err("this cannot be written");
    assert!(matches!(error, Error::Job(_)), "{error:?}");
    one_line(&error)
}

#[test]
fn every_writer_depends_on_every_point_and_on_nothing_else() {
    for dims in [2, 3] {
        let (points, of) = groups(3000, dims, 10);
        let labels = labels(10, of);
        for writer in WRITERS {
            let bytes = bytes_on(1, writer.extension, &map(points.view(), Some(&labels)));
            let two_threads = bytes_on(2, writer.extension, &map(points.view(), Some(&labels)));
            assert!(bytes == two_threads, "{}: the threads show", writer.extension);
            let columns_first = Array2::from_shape_fn(points.dim().f(), |at| points[at]);
            assert!(!columns_first.is_standard_layout());
            let same = bytes_on(2, writer.extension, &map(columns_first.view(), Some(&labels)));
            assert!(bytes == same, "{}: the layout in memory shows", writer.extension);
            let mut poisoned = points.clone();
            poisoned[[1234, 1]] += 30.0;
            let other = bytes_on(1, writer.extension, &map(poisoned.view(), Some(&labels)));
            assert!(bytes != other, "{}: one point makes no difference", writer.extension);
        }
    }
}

#[test]
fn npy_reads_back_equal() {
    for dims in [2, 3] {
        let (points, _) = groups(100, dims, 3);
        let bytes = bytes_on(1, "npy", &map(points.view(), None));
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!((file.shape(), file.order()), (&[100, dims as u64][..], npyz::Order::C));
        assert_eq!(file.dtype().descr(), "'<f4'");
        assert_eq!(Array2::from_shape_vec((100, dims), file.into_vec::<f32>().unwrap()).unwrap(), points);
    }
}

#[test]
fn csv_reads_back_equal() {
    let points = arr2(&[[0.1f32, -1e-30, 3e38], [1.0 / 3.0, 16_777_216.0, -0.0], [f32::MIN_POSITIVE, 5e-45, 1e10]]);
    let names = ["plain", "comma, \"quotes\"", "two\nlines"].map(String::from).to_vec();
    let labels = Labels::Classes { names: names.clone(), of: vec![2, 0, 1] };
    for (dims, labels, header) in
        [(2, None, "x,y"), (3, None, "x,y,z"), (2, Some(&labels), "x,y,label"), (3, Some(&labels), "x,y,z,label")]
    {
        let shown = points.slice(ndarray::s![.., ..dims]);
        let bytes = bytes_on(1, "csv", &map(shown, labels));
        assert!(bytes.starts_with(format!("{header}\n").as_bytes()));
        let rows: Vec<csv::StringRecord> =
            csv::Reader::from_reader(&bytes[..]).records().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), 3);
        for (row, point) in rows.iter().zip(shown.axis_iter(Axis(0))) {
            let read: Vec<u32> = row.iter().take(dims).map(|text| text.parse::<f32>().unwrap().to_bits()).collect();
            assert_eq!(read, point.mapv(f32::to_bits).to_vec());
        }
        if labels.is_some() {
            let read: Vec<&str> = rows.iter().map(|row| &row[dims]).collect();
            assert_eq!(read, [&names[2], &names[0], &names[1]]);
        }
    }
    let numbers = Labels::Numbers(vec![0.1, 2.0, -3.5e-9]);
    let bytes = bytes_on(1, "csv", &map(points.slice(ndarray::s![.., ..2]), Some(&numbers)));
    let read = csv::Reader::from_reader(&bytes[..]).records().map(|row| row.unwrap()[2].parse().unwrap()).collect();
    assert_eq!(Labels::Numbers(read), numbers);
}

#[test]
fn png_is_white_with_every_class_in_its_color() {
    let (points, of) = groups(1000, 2, 10);
    let labels = labels(10, of);
    let picture = picture(&map(points.view(), Some(&labels)));
    assert!((1200..1800).contains(&picture.width()) && (1200..1800).contains(&picture.height()));
    let corners =
        [(0, 0), (picture.width() - 1, 0), (0, picture.height() - 1), (picture.width() - 1, picture.height() - 1)];
    assert!(corners.iter().all(|&(x, y)| picture.get_pixel(x, y).0 == [255; 3]));
    let n_white = picture.pixels().filter(|pixel| pixel.0 == [255; 3]).count();
    assert!(n_white * 2 > picture.pixels().len());
    let inked = inked(&picture);
    for color in TEN_COLORS {
        let color = [(color >> 16) as u8, (color >> 8) as u8, color as u8];
        assert!(picture.pixels().any(|pixel| pixel.0 == color), "{color:x?} is not in the legend");
        let off = |ink: &[u8; 3]| ink.iter().zip(color).map(|(&a, b)| a.abs_diff(b)).max();
        let n_close = inked.iter().filter(|ink| off(ink) <= Some(12)).count();
        assert!(n_close > 500, "{color:x?} covers {n_close} pixels of the plot");
    }
}

/// Title and caption are in the file too, for programs.
#[test]
fn png_carries_its_title_and_caption_as_text() {
    let (points, _) = groups(10, 2, 1);
    let said = |map: &Map| {
        let bytes = bytes_on(1, "png", map);
        let reader = png::Decoder::new(io::Cursor::new(bytes)).read_info().unwrap();
        let texts = reader.info().utf8_text.iter();
        texts.map(|text| (text.keyword.clone(), text.get_text().unwrap())).collect::<Vec<_>>()
    };
    let software = ("Software".to_owned(), format!("nearfield {}", env!("CARGO_PKG_VERSION")));
    let titled = map(points.view(), None);
    let texts = [("Title", titled.title), ("Description", titled.caption)].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(said(&titled), [&texts[..], std::slice::from_ref(&software)].concat());
    assert_eq!(said(&Map::new(points.view())), [software]);
}

#[test]
fn pictures_grow_with_the_map_and_show_it_in_every_shape() {
    let sizes = [4, 1000, 70_000].map(|n| {
        let (points, _) = groups(n, 2, 1);
        let picture = picture(&map(points.view(), None));
        assert!(!inked(&picture).is_empty(), "{n} points left no mark");
        picture.width().max(picture.height())
    });
    let ranges = [1000..1500, 1200..1500, 2000..3500];
    assert!(sizes.iter().zip(ranges).all(|(size, range)| range.contains(size)), "{sizes:?}");

    let equal = Array2::from_elem((50, 2), 7.5);
    let line = Array2::from_shape_fn((200, 3), |(i, axis)| [i as f32, 0.0, -(i as f32)][axis]);
    let huge = Array2::from_shape_fn((300, 2), |at| if (at.0 + at.1) % 2 == 0 { f32::MAX } else { f32::MIN });
    let tiny = Array2::from_shape_fn((300, 3), |(i, axis)| 1e-44 * uniform(3 * i + axis));
    let one = arr2(&[[1.0f32, 2.0]]);
    let (many, of) = groups(4000, 3, 60);
    let many_classes = labels(60, of);
    let same_numbers = Labels::Numbers(vec![2.5; 200]);
    let numbers = Labels::Numbers((0..300).map(|i| f64::from(i) * 1e-7 - 5.0).collect());
    for (name, points, labels) in [
        ("equal", &equal, None),
        ("line", &line, Some(&same_numbers)),
        ("huge", &huge, Some(&numbers)),
        ("tiny", &tiny, None),
        ("one", &one, None),
        ("many classes", &many, Some(&many_classes)),
    ] {
        // Labels may leave light marks (viridis ends in yellow): anything that is not grey is one.
        let picture = picture(&map(points.view(), labels));
        assert!(picture.width().min(picture.height()) > 700, "{name}");
        let colored = |ink: &[u8; 3]| ink.iter().max().unwrap() - ink.iter().min().unwrap() > 40;
        assert!(picture.pixels().any(|pixel| colored(&pixel.0)), "{name} left no mark");
    }
}

/// A single far point must neither shrink the others to a dot nor vanish.
#[test]
fn outliers_are_drawn_on_the_edge() {
    for dims in [2, 3] {
        let (points, _) = groups(500, dims, 5);
        let n_before = inked(&picture(&map(points.view(), None))).len();
        let mut with_outlier = points.clone();
        with_outlier[[7, 0]] = 1e6;
        let n_after = inked(&picture(&map(with_outlier.view(), None))).len();
        assert!(n_after * 10 > n_before * 9, "{n_after} pixels of {n_before} are left");
        let farther = {
            with_outlier[[7, 1]] = -1e6;
            with_outlier
        };
        let (one, other) =
            (bytes_on(1, "png", &map(points.view(), None)), bytes_on(1, "png", &map(farther.view(), None)));
        assert!(one != other);
    }
}

#[test]
fn text_of_any_kind_is_drawn() {
    let (points, of) = groups(40, 2, 4);
    let names =
        vec![String::new(), "字 \u{1f600} \u{202e}\u{7}\t".into(), "Ünï Ωλ Ждё → ≤ ∞".into(), "long ".repeat(2000)];
    let labels = Labels::Classes { names, of };
    for title in ["", "word", &"no-spaces".repeat(500), &"many words ".repeat(500), "\u{0}\n\r"] {
        let map = Map { labels: Some(&labels), title, caption: title, ..Map::new(points.view()) };
        let picture = picture(&map);
        assert!(picture.width() < 2000 && picture.height() < 2000, "text made the page large");
    }
}

#[test]
fn check_refuses_what_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder.png")).unwrap();
    fs::write(at("file.png"), "old").unwrap();
    fs::write(at("protected.png"), "old").unwrap();
    let open = fs::metadata(at("protected.png")).unwrap().permissions();
    let mut read_only = open.clone();
    read_only.set_readonly(true);
    fs::set_permissions(at("protected.png"), read_only).unwrap();

    for (name, part) in [
        ("map.jpeg", ".jpeg; the known ones are .npy, .csv, "),
        ("map", "no extension"),
        (".png", "no extension"),
        ("missing/map.png", "missing does not exist"),
        ("file.png/map.png", "is not a folder"),
        ("folder.png", "it is a folder"),
        ("protected.png", "write-protected"),
    ] {
        let line = request_line(render::check(&at(name)));
        assert!(line.contains(part) && line.starts_with(&at(name).display().to_string()), "{line}");
    }
    for name in ["map.png", "map.NPY", "with.dots.csv", "file.png"] {
        render::check(&at(name)).unwrap();
    }
    assert_eq!(fs::read(at("file.png")).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "a check left something behind");
    fs::set_permissions(at("protected.png"), open).unwrap();
    // A name alone lies in the current folder.
    render::check(Path::new("map.png")).unwrap();
}

#[test]
fn an_existing_file_is_replaced_by_a_whole_one_or_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.csv");
    fs::write(&path, "old and longer than what comes".repeat(1000)).unwrap();
    let points = arr2(&[[1.0f32, 2.0], [3.0, 4.0]]);
    render::write(&path, &map(points.view(), None)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "x,y\n1,2\n3,4\n");

    let full = render::replace(&path, |out| {
        out.write_all(&[b'x'; 100_000])?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert!(job_line(full).contains("the disk is full"));
    let failed = render::replace(&path, |_| Err(io::Error::other("a reason")));
    assert!(job_line(failed).contains("a reason"));
    let panicked = std::panic::catch_unwind(|| render::replace(&path, |_| panic!("expected by this test")));
    assert!(panicked.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "x,y\n1,2\n3,4\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a failure left something behind");

    let gone = folder.path().join("missing").join("map.csv");
    job_line(render::write(&gone, &map(points.view(), None)));
    render::replace(&folder.path().join("new.json"), |out| out.write_all(b"{}")).unwrap();
    assert_eq!(fs::read(folder.path().join("new.json")).unwrap(), b"{}");
}

#[test]
fn maps_that_cannot_be_shown_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = arr2(&[[1.0f32, 2.0], [3.0, 4.0], [5.0, 7.0]]);
    for writer in WRITERS {
        let path = folder.path().join(format!("map.{}", writer.extension));
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut bad = good.clone();
            bad[[1, 0]] = poison;
            let line = job_line(render::write(&path, &map(bad.view(), None)));
            assert!(line.contains("row 1, column 0"), "{line}");
        }
        for (points, labels) in [
            (Array2::zeros((0, 2)), None),
            (Array2::zeros((5, 1)), None),
            (Array2::zeros((5, 4)), None),
            (good.clone(), Some(labels(2, vec![0, 1]))),
            (good.clone(), Some(labels(2, vec![0, 1, 2]))),
            (good.clone(), Some(Labels::Numbers(vec![1.0, f64::NAN, 2.0]))),
        ] {
            request_line(render::write(&path, &map(points.view(), labels.as_ref())));
        }
        assert!(!path.exists());
    }
}

/// The k nearest by sorting everything: what the scores should have found.
fn nearest_by_sorting(points: ArrayView2<f32>, i: usize, k: usize) -> Vec<usize> {
    let d2 = |j: &usize| points.row(i).iter().zip(points.row(*j)).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>();
    let mut others: Vec<usize> = (0..points.nrows()).filter(|&j| j != i).collect();
    others.sort_by(|a, b| d2(a).total_cmp(&d2(b)).then(a.cmp(b)));
    others.truncate(k);
    others
}

#[test]
fn label_accuracy_by_hand() {
    // Along a line at 0, 1, 2, 10, 11: the nearest of each is 1, 0 (a tie with 2, smaller index), 1, 11, 10.
    let line = arr2(&[[0.0f32, 0.0], [1.0, 0.0], [2.0, 0.0], [10.0, 0.0], [11.0, 0.0]]);
    assert_eq!(label_accuracy(line.view(), &[0, 0, 0, 1, 1], 1), 1.0);
    assert_eq!(label_accuracy(line.view(), &[0, 0, 1, 1, 1], 1), 0.8);
    // The point itself has no vote: of two different points each is wrong.
    assert_eq!(label_accuracy(line.slice(ndarray::s![..2, ..]), &[0, 1], 1), 0.0);
    // A tie of one vote each goes to the smaller label: 1 and 2 are right by it, 0 is not.
    assert_eq!(label_accuracy(line.slice(ndarray::s![..3, ..]), &[7, 4, 4], 2), 2.0 / 3.0);
    // With all others asked (k beyond n), the majority is 0 for all but label 0's own lack of one vote.
    assert_eq!(label_accuracy(line.view(), &[0, 0, 0, 1, 1], 100), 0.6);
    let mut bad = line.clone();
    bad[[2, 1]] = f32::NAN;
    assert!(label_accuracy(bad.view(), &[0, 0, 0, 1, 1], 1).is_nan());
}

#[test]
fn scores_agree_with_sorting_everything() {
    for dims in [2, 3] {
        let spread = Array2::from_shape_fn((400, dims), |(i, axis)| uniform(i * dims + axis));
        // On a grid of 5 steps nearly all distances are tied, and many points are equal.
        let tied = spread.mapv(|x| (5.0 * x).floor());
        let mut vertical = spread.clone();
        vertical.column_mut(0).fill(1.0);
        for map in [spread, tied, vertical] {
            let labels: Vec<u32> = (0..400).map(|i| (uniform(7777 + i) * 4.0) as u32).collect();
            for k in [1, 2, 10] {
                let right = |&i: &usize| {
                    let votes = nearest_by_sorting(map.view(), i, k);
                    let count = |label: u32| votes.iter().filter(|&&j| labels[j] == label).count();
                    let winner = (0..4).max_by_key(|&label| (count(label), std::cmp::Reverse(label))).unwrap();
                    winner == labels[i]
                };
                let expected = (0..400).filter(right).count() as f64 / 400.0;
                assert_eq!(label_accuracy(map.view(), &labels, k), expected, "k = {k}");

                let data = Array2::from_shape_fn((400, 21), |(i, axis)| (8.0 * uniform(i * 21 + axis)).floor());
                let common = |i: usize| {
                    let in_map = nearest_by_sorting(map.view(), i, k);
                    nearest_by_sorting(data.view(), i, k).iter().filter(|j| in_map.contains(j)).count()
                };
                let expected = (0..400).map(common).sum::<usize>() as f64 / (400 * k) as f64;
                assert_eq!(neighbors_kept(data.view(), map.view(), k, 400), expected, "k = {k}");
            }
        }
    }
}

#[test]
fn a_random_map_scores_badly_and_a_good_one_well() {
    let (good, classes) = groups(2000, 2, 10);
    let random = Array2::from_shape_fn((2000, 2), |(i, axis)| uniform(50_000 + 2 * i + axis));
    let (bad_accuracy, bad_kept) =
        (label_accuracy(random.view(), &classes, 10), neighbors_kept(good.view(), random.view(), 10, 500));
    assert!(bad_accuracy < 0.2 && bad_kept < 0.05, "{bad_accuracy}, {bad_kept}");
    assert_eq!(label_accuracy(good.view(), &classes, 10), 1.0);
    assert_eq!(neighbors_kept(good.view(), good.view(), 10, 500), 1.0);
}

/// What another program makes of a map in Parquet, and our own reader: the same coordinates, labels, names and columns.
#[cfg(feature = "parquet")]
#[test]
fn parquet_reads_back_equal() {
    let (points, of) = groups(500, 3, 4);
    let digits = Labels::Classes { names: ["-1", "0", "9", "10"].map(String::from).to_vec(), of: of.clone() };
    let words = Labels::Classes { names: ["007", "a, b", "ü", ""].map(String::from).to_vec(), of };
    let numbers = Labels::Numbers((0..500).map(|i| f64::from(i) / 3.0).collect());
    let ids: Vec<String> = (0..500).map(|i| format!("point {i}")).collect();
    let columns = [("word", &words), ("number", &numbers)]
        .map(|(name, values)| Column { name: name.into(), values: values.clone() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.parquet").display().to_string();
    for dims in [2, 3] {
        let shown = points.slice(ndarray::s![.., ..dims]);
        let map = Map { labels: Some(&digits), ids: Some(&ids), columns: &columns, ..Map::new(shown) };
        render::write(Path::new(&path), &map).unwrap();
        let axes: Vec<String> = ["x", "y", "z"][..dims].iter().map(|axis| axis.to_string()).collect();
        let carry = ["word".to_string(), "number".to_string()];
        let request = input::Request {
            columns: &axes,
            labels: Some("label"),
            id: Some("id"),
            carry: &carry,
            ..input::Request::new(&path)
        };
        let read = input::open(&request).unwrap();
        let Points::Dense(values) = read.points else { panic!("it is small") };
        assert_eq!(values, shown);
        assert_eq!((read.labels.as_ref(), read.ids.as_ref()), (Some(&digits), Some(&ids)));
        assert_eq!(read.columns[1], columns[1]);
        let texts = |column: &Column| (0..500).map(|i| column.values.text(i)).collect::<Vec<_>>();
        assert_eq!(texts(&read.columns[0]), texts(&columns[0]));
    }
}

#[test]
fn films_have_every_frame_at_one_scale() {
    use image::AnimationDecoder;
    use nearfield::data::Frame;
    use std::io::Cursor;

    // A square that grows to its full size.
    let points = ndarray::array![[0.0_f32, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
    let frame = |k: usize| Frame { iteration: 10 * k, points: &points * (k as f32 / 3.0) };
    let frames: Vec<Frame> = (0..4).map(frame).collect();
    let style = render::Style { side: Some(200), ..Default::default() };
    let map = Map { frames: &frames, style, ..Map::new(points.view()) };
    let folder = tempfile::tempdir().expect("a folder");
    let [apng, gif, pictures] = ["film.png", "film.gif", "film"].map(|name| folder.path().join(name));
    for path in [&apng, &gif, &pictures] {
        render::check_film(path).expect("it can be written");
        render::write_film(path, &map).expect("written");
    }
    let bytes = |path: &Path| Cursor::new(fs::read(path).expect("there"));
    let decoder = image::codecs::png::PngDecoder::new(bytes(&apng)).expect("PNG").apng().expect("animated");
    let from_apng = decoder.into_frames().collect_frames().expect("whole");
    let decoder = image::codecs::gif::GifDecoder::new(bytes(&gif)).expect("GIF");
    let from_gif = decoder.into_frames().collect_frames().expect("whole");
    assert_eq!((from_apng.len(), from_gif.len()), (4, 4));
    // Where there is ink: it reaches farther to the right from frame to frame, and the last frame is the picture of the map.
    let rightmost = |picture: &image::RgbaImage| {
        let blue = |pixel: &image::Rgba<u8>| u32::from(pixel[2]) > u32::from(pixel[0]) + 40;
        picture.enumerate_pixels().filter(|(_, _, pixel)| blue(pixel)).map(|(x, ..)| x).max().expect("ink")
    };
    let reach: Vec<u32> = from_apng.iter().map(|frame| rightmost(frame.buffer())).collect();
    assert!(reach.windows(2).all(|pair| pair[0] + 20 < pair[1]), "{reach:?}");
    for (k, frame) in from_apng.iter().enumerate() {
        let alone = image::open(pictures.join(format!("frame-{k:04}.png"))).expect("there").into_rgba8();
        assert!(&alone == frame.buffer() && alone.dimensions() == from_gif[k].buffer().dimensions());
        assert!(rightmost(from_gif[k].buffer()).abs_diff(reach[k]) <= 1);
    }
    let before = [fs::read(&apng).expect("there"), fs::read(&gif).expect("there")];
    render::write_film(&apng, &map).expect("written");
    render::write_film(&gif, &map).expect("written");
    assert!(before == [fs::read(&apng).expect("there"), fs::read(&gif).expect("there")]);

    // What is no film.
    assert!(render::check_film(&folder.path().join("film.mp4")).is_err());
    assert!(render::check_film(&folder.path().join("none/film.gif")).is_err());
    assert!(render::write_film(&gif, &Map { frames: &[], ..map }).is_err());
}

fn text_of(map: &Map) -> String {
    String::from_utf8(bytes_on(1, "svg", map)).unwrap()
}

#[test]
fn svg_holds_every_point_once_in_few_bytes() {
    for dims in [2, 3] {
        let (points, of) = groups(10_000, dims, 10);
        let labels = labels(10, of);
        let svg = text_of(&map(points.view(), Some(&labels)));
        // The legend has ten more.
        assert_eq!(svg.matches("h0").count(), 10_010, "{dims} dimensions");
        assert!(svg.len() < 250_000, "{} bytes", svg.len());
        assert!(svg.contains("<title>A title</title>") && svg.contains("KL 0.741") && svg.contains(">class 7</text>"));
        assert!(dims == 3 || TEN_COLORS.iter().all(|color| svg.contains(&format!("#{color:06x}"))));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }
    // Other shapes than discs, and text that is no markup.
    let (points, of) = groups(400, 2, 40);
    let names: Vec<String> = (0..40).map(|class| format!("<{class}&\u{1}\"")).collect();
    let svg = text_of(&map(points.view(), Some(&Labels::Classes { names, of })));
    assert!(svg.contains("&lt;7&amp; &quot;") && !svg.contains('\u{1}') && svg.contains('z') && svg.contains("square"));
    let dense = Map { style: Style { marks: Marks::Density, ..Style::default() }, ..Map::new(points.view()) };
    assert!(text_of(&dense).contains("data:image/png;base64,iVBORw0KGgo"));
}

/// Where two classes lie on each other, a density shows both, whichever comes last.
#[test]
fn a_density_hides_nothing() {
    let corners = [[-9.0f32, -9.0], [9.0, 9.0], [-9.0, 9.0], [9.0, -9.0]];
    let points = Array2::from_shape_fn((404, 2), |(i, axis)| if i < 4 { corners[i][axis] } else { 0.0 });
    let middle = |of: Vec<u32>| {
        let labels = labels(2, of);
        let style = Style { marks: Marks::Density, side: Some(400), ..Style::default() };
        let picture = picture(&Map { labels: Some(&labels), style, title: "", ..Map::new(points.view()) });
        // The plot begins at the margin of 30 thousandths, letters being those of at least 650 pixels.
        let (x, y) = (20 + 200, 20 + 200);
        picture.get_pixel(x, y).0
    };
    let first = |share: usize| (0..404).map(|i| u32::from(i % 4 >= share)).collect::<Vec<_>>();
    let last_first = |share: usize| first(share).into_iter().rev().collect::<Vec<_>>();
    let pure = [4, 0].map(|share| middle(first(share)));
    for share in [1, 2, 3] {
        let (mixed, other) = (middle(first(share)), middle(last_first(share)));
        for channel in 0..3 {
            let square = |color: [u8; 3]| f64::from(color[channel]).powi(2);
            let part = share as f64 / 4.0;
            let want = (part * square(pure[0]) + (1.0 - part) * square(pure[1])).sqrt();
            assert!((f64::from(mixed[channel]) - want).abs() <= 3.0, "{mixed:?} for {share} of 4");
            assert!(mixed[channel].abs_diff(other[channel]) <= 1, "the order shows");
        }
    }
}

#[test]
fn densities_begin_at_their_number() {
    let (points, _) = groups(DENSITY_FROM, 2, 3);
    let drawn = |n: usize, marks: Marks| {
        let style = Style { marks, side: Some(300), ..Style::default() };
        bytes_on(2, "png", &Map { style, ..Map::new(points.slice(ndarray::s![..n, ..])) })
    };
    assert!(drawn(DENSITY_FROM, Marks::Auto) == drawn(DENSITY_FROM, Marks::Density));
    assert!(drawn(DENSITY_FROM - 1, Marks::Auto) == drawn(DENSITY_FROM - 1, Marks::Points));
    assert!(drawn(500, Marks::Density) != drawn(500, Marks::Points));
}

#[test]
fn maps_stand_beside_each_other_or_are_refused() {
    let (points, of) = groups(300, 2, 3);
    let (one, other) = (labels(3, of.clone()), labels(4, of));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.png");
    let shown = |labels| map(points.view(), labels);
    render::write_panels(&path, &[shown(Some(&one)), shown(Some(&one))]).unwrap();
    let both = image::open(&path).unwrap();
    assert!(both.width() * 10 > both.height() * 15, "{} by {}", both.width(), both.height());
    render::write_panels(&path, &[shown(None), shown(None), shown(None), shown(None)]).unwrap();
    let four = image::open(&path).unwrap();
    assert!(four.width() * 10 < four.height() * 15, "{} by {}", four.width(), four.height());
    request_line(render::write_panels(&path, &[shown(Some(&one)), shown(Some(&other))]));
    request_line(render::write_panels(&path, &[shown(Some(&one)), shown(None)]));
    request_line(render::write_panels(&path, &[]));
    request_line(render::write_panels(&folder.path().join("both.npy"), &[shown(None), shown(None)]));
}

#[test]
fn pictures_say_how_large_they_are_on_paper() {
    let (points, _) = groups(50, 2, 3);
    let style = Style { dpi: Some(300), side: Some(300), ..Style::default() };
    let bytes = bytes_on(1, "png", &Map { style, ..Map::new(points.view()) });
    // 300 in an inch are 11811 in a metre.
    let chunk = [b"pHYs".as_slice(), &11_811u32.to_be_bytes(), &11_811u32.to_be_bytes(), &[1]].concat();
    assert!(bytes.windows(chunk.len()).any(|window| window == chunk));
    assert!(!bytes_on(1, "png", &Map::new(points.view())).windows(4).any(|window| window == b"pHYs"));
}
