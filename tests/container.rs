//! Maps that are kept: what is written comes back, what was changed is refused, and a run that goes on makes the bytes of one that never
//! stopped, on both backends.

mod common;

use common::adapters::on_each;
use ndarray::{Array1, Array2};
use nearfield::affinity::Calibrated;
use nearfield::container::{self, About, Along, Kept, Moment, Prepared};
use nearfield::data::{Affinities, Column, Dataset, Frame, Labels, Points, Seconds, TracePoint, Treatment};
use nearfield::engine::{Course, Snapshot, Stop};
use nearfield::field::mesh::Resolution;
use nearfield::field::mesh::device::Fitted;
use nearfield::gpu::{Gpu, Options};
use nearfield::init::Projection;
use nearfield::input::{self, Request};
use nearfield::job::{self, Backend, Done, Event, Given};
use nearfield::knn::Order;
use nearfield::objective::methods;
use nearfield::optimizer::step::State;
use nearfield::plan::{Count, Field, Knn, Plan, Settings, Shape};
use std::fs;
use std::path::PathBuf;

/// A folder with a container in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("map.nearfield")
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(), bytes).expect("written");
        self.path()
    }

    fn read(&self, bytes: &[u8]) -> nearfield::Result<Kept> {
        container::read(&self.write(bytes))
    }
}

fn bytes(about: &About, along: &Along, moment: &Moment) -> Vec<u8> {
    let mut bytes = Vec::new();
    container::write(&mut bytes, about, along, moment).expect("memory takes it");
    bytes
}

fn bytes_of(kept: &Kept) -> Vec<u8> {
    bytes(&kept.about, &kept.along, &kept.moment())
}

/// Numbers that differ everywhere.
fn numbers(rows: usize, columns: usize, seed: f32) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, c)| ((i * columns + c) as f32 * 0.37 + seed).sin())
}

/// A container of six points with everything in it that there can be.
fn everything() -> Kept {
    let affinities = Affinities {
        offsets: vec![0, 2, 3, 4, 6, 7, 8],
        indices: vec![1, 3, 0, 3, 0, 2, 5, 4],
        weights: vec![0.5, 0.25, 0.5, 1.0, 0.25, 1.0, 0.75, 0.75],
        unreached: 2,
    };
    let classes = Labels::Classes { names: vec!["a, \"b\"".into(), "ü\n".into()], of: vec![0, 1, 1, 0, 1, 0] };
    Kept {
        about: About {
            version: "9.9.9".into(),
            name: "data \"1\".csv".into(),
            n: 6,
            input_dims: 5,
            dims: 2,
            method: "tsne".into(),
            seed: u64::MAX,
            fingerprint: 0xfedc_ba98_7654_3210,
            options: vec!["--perplexity=2".into(), "--log1p".into()],
            plan: "n = 6\n".into(),
            field: "exact".into(),
            planned: 75,
            objective: Some(0.1 + 0.2),
        },
        along: Along {
            labels: Some(classes),
            ids: Some((0..6).map(|i| format!("point {i}")).collect()),
            columns: vec![
                Column { name: "weight".into(), values: Labels::Numbers(vec![1.0, 2.5, -3.0, 4.0, 5.0, 1e300]) },
                Column {
                    name: "kind".into(),
                    values: Labels::Classes { names: vec!["x".into(), "y".into()], of: vec![0, 1, 0, 1, 0, 1] },
                },
            ],
            treatment: Treatment {
                columns: 5,
                names: ["a", "b", "c, d", "", "ü"].map(String::from).to_vec(),
                shifts: (0..5).map(|c| [c as f64 * 1e18, c as f64 / 3.0]).collect(),
                exponent: -7,
                fills: vec![0.1; 5],
                sum: 1.0 / 3.0,
                means: vec![-0.2; 5],
                scales: vec![0.0, 1.0, 2.0, 3.0, 1e-300],
            },
        },
        prepared: Prepared {
            points: numbers(6, 3, 1.0),
            projection: Some(Projection {
                mean: Array1::from_shape_fn(5, |m| m as f64 / 3.0),
                components: Array2::from_shape_fn((3, 5), |(c, m)| (c * 5 + m) as f64 / 7.0),
            }),
            order: Order::of_rows(vec![3, 1, 0, 2, 5, 4]),
            calibrated: Some(Calibrated {
                affinities,
                beta: Array1::from_vec(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
                row_entropy: -1.0 / 3.0,
            }),
            neighbors: 2,
            recall: 0.987,
        },
        map: numbers(6, 2, 2.0),
        snapshot: Snapshot {
            iterations: 50,
            state: State { points: numbers(6, 2, 3.0), velocity: numbers(6, 2, 4.0), gains: numbers(6, 2, 5.0) },
            resolution: Some(Resolution { order: 4, spacing: 1.0 / 3.0 }),
            grid: Some(Fitted { extent: [1.0 / 3.0, 2.0, 0.0], capacity: 5 }),
        },
        course: Course {
            iterations: 60,
            trace: vec![
                TracePoint { iteration: 50, objective: 1.0 / 3.0, seconds: 0.1 },
                TracePoint { iteration: 60, objective: 0.25, seconds: 0.2 },
            ],
            frames: [0, 60].map(|iteration| Frame { iteration, points: numbers(6, 2, iteration as f32) }).to_vec(),
            seconds_per_iteration: vec![0.001, 0.002],
            seconds: 0.3,
        },
        seconds: Seconds { pca: 0.1, knn: 0.2, affinity: 0.3, init: 0.4, descend: 0.5 },
    }
}

#[test]
fn everything_comes_back() {
    let place = Place::new();
    let kept = everything();
    assert_eq!(place.read(&bytes_of(&kept)).expect("sound"), kept);
    // And what has little in it.
    let bare = Kept {
        along: Along { treatment: Treatment { columns: 5, ..Default::default() }, ..Default::default() },
        prepared: Prepared { projection: None, order: None, calibrated: None, ..kept.prepared.clone() },
        snapshot: Snapshot { resolution: None, grid: None, ..kept.snapshot.clone() },
        course: Course { frames: Vec::new(), ..kept.course.clone() },
        about: About { objective: None, options: Vec::new(), ..kept.about.clone() },
        ..kept.clone()
    };
    assert_eq!(place.read(&bytes_of(&bare)).expect("sound"), bare);
    let head = container::head(&place.write(&bytes_of(&kept))).expect("sound").expect("a container");
    assert_eq!((head.about, head.iterations), (kept.about, 60));
    assert!(head.tensors.iter().any(|(name, bytes)| name == "map" && *bytes == 48));
}

#[test]
fn other_readers_find_the_map() {
    let place = Place::new();
    let kept = everything();
    let path = place.write(&bytes_of(&kept));
    let path = path.to_str().expect("a path");
    let map = input::open_map(&Request::new(path)).expect("a map");
    let Points::Dense(points) = map.points else { panic!("a map is dense") };
    assert_eq!(points, kept.map);
    assert_eq!((map.labels, map.ids), (kept.along.labels.clone(), kept.along.ids.clone()));
    assert_eq!(map.columns, kept.along.columns);
    let data = input::read(&Request::new(path)).expect("readable as data");
    assert_eq!(data.points.dim(), (6, 2));
    let part = input::read(&Request::new(&format!("{path}:data"))).expect("any tensor");
    assert_eq!(part.points, kept.prepared.points);
    // The layout that the format demands: a header that fills eights, tensors in order and without gaps.
    let bytes = bytes_of(&kept);
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    assert!(length.is_multiple_of(8));
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let mut ends: Vec<[u64; 2]> = header
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(_, entry)| [0, 1].map(|end| entry["data_offsets"][end].as_u64().expect("a place")))
        .collect();
    ends.sort_unstable();
    assert!(ends.windows(2).all(|pair| pair[0][1] == pair[1][0]) && ends[0][0] == 0);
    assert_eq!(ends.last().expect("tensors")[1] as usize, bytes.len() - 8 - length);
}

/// The one line of a refusal, which is a wrong request.
fn refusal<T: std::fmt::Debug>(result: nearfield::Result<T>) -> String {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.exit_code(), 2, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains("map.nearfield: "), "{text}");
    text
}

#[test]
fn what_no_run_wrote_is_refused() {
    let place = Place::new();
    let refuses = |change: &dyn Fn(&mut Kept), what: &str| {
        let mut kept = everything();
        change(&mut kept);
        let text = refusal(place.read(&bytes_of(&kept)));
        assert!(text.contains(what), "{text} does not tell of {what}");
    };
    fn edges(kept: &mut Kept) -> &mut Affinities<f32> {
        &mut kept.prepared.calibrated.as_mut().expect("edges").affinities
    }
    refuses(&|kept| kept.snapshot.state.points[[3, 1]] = f32::NAN, "state.points is NaN at row 3, column 1");
    refuses(&|kept| kept.snapshot.state.gains[[0, 0]] = f32::INFINITY, "state.gains is inf");
    refuses(&|kept| kept.map[[0, 0]] = f32::NAN, "tensor map is NaN");
    refuses(&|kept| kept.snapshot.state.velocity = numbers(5, 2, 0.0), "needed");
    refuses(&|kept| kept.snapshot.state.velocity = numbers(6, 3, 0.0), "needed");
    refuses(&|kept| kept.about.n = 7, "needed");
    refuses(&|kept| kept.about.n = 3, "no map");
    refuses(&|kept| kept.about.dims = 4, "no map");
    refuses(&|kept| kept.prepared.points[[1, 1]] = f32::NAN, "tensor data");
    refuses(&|kept| kept.prepared.points = Array2::zeros((6, 0)), "tensor data");
    refuses(&|kept| edges(kept).indices[0] = 6, "edges of point 0");
    refuses(&|kept| edges(kept).indices[0] = 0, "edges of point 0");
    refuses(&|kept| edges(kept).indices.swap(0, 1), "edges of point 0");
    refuses(&|kept| edges(kept).weights[3] = f32::NAN, "edges of point 2");
    refuses(&|kept| edges(kept).weights[3] = -1.0, "edges of point 2");
    refuses(&|kept| edges(kept).indices[1] = 4, "has no edge back");
    refuses(&|kept| edges(kept).offsets[1] = 9, "does not rise");
    refuses(&|kept| edges(kept).offsets[0] = 1, "does not rise");
    refuses(&|kept| edges(kept).offsets[6] = 7, "does not rise");
    refuses(&|kept| edges(kept).offsets.truncate(6), "needed");
    refuses(&|kept| edges(kept).unreached = 7, "width");
    refuses(&|kept| kept.prepared.calibrated.as_mut().expect("edges").beta[2] = f32::NAN, "width");
    refuses(&|kept| kept.prepared.calibrated.as_mut().expect("edges").row_entropy = f64::NAN, "row_entropy");
    refuses(&|kept| kept.prepared.recall = 2.0, "recall");
    refuses(&|kept| kept.prepared.projection.as_mut().expect("components").mean[0] = f64::NAN, "pca");
    refuses(&|kept| kept.snapshot.iterations = 61, "61 iterations lie behind its state and 60");
    refuses(&|kept| kept.snapshot.resolution = Some(Resolution { order: 7, spacing: 0.25 }), "no mesh of order 7");
    refuses(&|kept| kept.snapshot.resolution = Some(Resolution { order: 4, spacing: f64::NAN }), "no mesh");
    refuses(&|kept| kept.snapshot.grid = Some(Fitted { extent: [f64::NAN, 1.0, 1.0], capacity: 0 }), "no length");
    refuses(&|kept| kept.snapshot.grid = Some(Fitted { extent: [1.0; 3], capacity: 7 }), "no length");
    refuses(&|kept| kept.course.trace[0].objective = f64::NAN, "trace");
    refuses(&|kept| kept.course.frames[1].points = numbers(6, 3, 0.0), "frames.1");
    refuses(&|kept| kept.along.ids.as_mut().expect("names").truncate(5), "one name a point");
    refuses(&|kept| kept.along.columns[0].values = Labels::Numbers(vec![f64::NAN; 6]), "columns.0");
    refuses(&|kept| kept.along.columns[1].values = Labels::Numbers(vec![0.0; 5]), "columns.1");
    let classes = |of: u32| Some(Labels::Classes { names: vec!["a".into()], of: vec![of; 6] });
    refuses(&|kept| kept.along.labels = classes(1), "classes that are not there");
    assert!(Order::of_rows(vec![0, 1, 1]).is_none() && Order::of_rows(vec![0, 3, 1]).is_none());
}

/// `bytes` with `old` in place of `new`, both as long, in the header.
fn swapped(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).expect("it is there");
    [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
}

#[test]
fn other_files_and_versions_are_refused() {
    let place = Place::new();
    let whole = bytes_of(&everything());
    let text = refusal(place.read(&swapped(&whole, "\"format_version\":\"1\"", "\"format_version\":\"2\"")));
    assert!(
        text.contains("version \"2\"") && text.contains("nearfield 9.9.9") && text.contains("reads version 1"),
        "{text}"
    );
    assert_eq!(container::head(&place.path()).expect_err("another version").exit_code(), 2);
    for other in [&b""[..], b"x", b"a,b\n1,2\n", b"\x93NUMPY\x01\x00 and so on", &[0; 4096], &[0xff; 4096]] {
        assert!(refusal(place.read(other)).contains("is no map that was kept"));
        assert_eq!(container::head(&place.path()).expect("another file"), None);
    }
    let tensors = b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}      ";
    let plain = [&(tensors.len() as u64).to_le_bytes()[..], tensors, &[0; 4]].concat();
    assert!(refusal(place.read(&plain)).contains("is no map that was kept"));
    // A header that claims more than there is: refused before memory is taken.
    let huge = swapped(&whole, "\"shape\":[6,2]", "\"shape\":[9,9]");
    assert!(refusal(place.read(&huge)).contains("header is not understood"));
    let mut long = whole.clone();
    long[..8].copy_from_slice(&99_000_000_u64.to_le_bytes());
    assert!(refusal(place.read(&long)).contains("cut short within its header"));
    assert!(refusal(container::read(&place.0.path().join("no map.nearfield"))).contains("no such file"));
    assert!(
        refusal(place.read(&swapped(&whole, "\"seed\":\"1", "\"sled\":\"1"))).contains("not those that were written")
    );
}

#[test]
fn whatever_is_cut_off_or_flipped_is_noticed() {
    let place = Place::new();
    let whole = bytes_of(&everything());
    for length in 0..whole.len() {
        // Every length of the header, and some of the rest.
        if length < 3000 || length % 7 == 0 {
            refusal(place.read(&whole[..length]));
            let _ = container::head(&place.path());
        }
    }
    let mut state = 7_u64;
    let mut flips = 0;
    for _ in 0..4000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (at, bit) = ((state >> 33) as usize % whole.len(), (state >> 20) & 7);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        refusal(place.read(&flipped));
        let _ = container::head(&place.path());
        let _ = input::open_map(&Request::new(place.path().to_str().expect("a path")));
        flips += 1;
    }
    assert_eq!(flips, 4000);
    refusal(place.read(&[&whole[..], b"more"].concat()));
    assert!(place.read(&whole).is_ok());
}

/// What is embedded, and how.
struct Case {
    name: &'static str,
    settings: Settings,
    /// Groups, and points in each.
    groups: (usize, usize),
    /// How far points of a group lie apart.
    spread: f32,
    sampled: bool,
}

impl Case {
    fn new(name: &'static str, method: &str) -> Case {
        let method = methods().find(|known| known.name == method).expect("a method");
        let settings = Settings { method, iterations: Some(130), trace_every: 20, keep: true, ..Settings::default() };
        Case { name, settings, groups: (6, 50), spread: 1.0, sampled: false }
    }

    fn with(mut self, change: impl Fn(&mut Case)) -> Case {
        change(&mut self);
        self
    }

    fn data(&self) -> Dataset {
        let (groups, each) = self.groups;
        let points = Array2::from_shape_fn((groups * each, 8), |(i, c)| {
            let (group, noise) =
                (i % groups, ((i * 31 + c * 17) as f32 * 0.618).sin() + ((i * 7 + c) as f32 * 1.3).cos());
            8.0 * ((group * 8 + c) as f32 * 2.4).sin() + self.spread * noise
        });
        Dataset { name: "groups".into(), points, labels: None, notes: Vec::new() }
    }

    fn plan(&self, iterations: usize, gpu: Option<&Gpu>) -> Plan {
        let data = self.data();
        let settings = Settings { iterations: Some(iterations), ..self.settings.clone() };
        let shape = Shape { name: &data.name, n: data.points.nrows(), input_dims: 8 };
        let mut plan = Plan::resolve(&settings, shape, gpu.map(Gpu::adapter)).expect("sound");
        plan.sampled_pairs = self.sampled.then_some(30);
        plan
    }

    /// Runs so many iterations, ended after some if the observer says so.
    fn run(&self, iterations: usize, gpu: Option<&Gpu>, observe: &mut dyn FnMut(Event) -> bool) -> (Done, Plan) {
        let plan = self.plan(iterations, gpu);
        let done = job::run(&plan, &self.settings, &self.data(), Given::default(), backend(gpu), observe);
        (done.unwrap_or_else(|error| panic!("{}: {error}", self.name)), plan)
    }

    fn resume(&self, kept: Kept, iterations: usize, gpu: Option<&Gpu>) -> Done {
        let plan = self.plan(iterations, gpu);
        let done = job::resume(&plan, &self.settings, kept, backend(gpu), &mut |_| true);
        done.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn about(&self, plan: &Plan) -> About {
        About {
            n: plan.n,
            dims: plan.dims,
            method: plan.method.into(),
            field: container::field_of(plan.method_of_field),
            planned: plan.iterations,
            ..everything().about
        }
    }

    /// Kept, through a file.
    fn kept(&self, done: &Done, plan: &Plan) -> Kept {
        self.through_a_file(&done.moment().expect("it is kept"), plan)
    }

    fn through_a_file(&self, moment: &Moment, plan: &Plan) -> Kept {
        Place::new()
            .read(&bytes(
                &self.about(plan),
                &Along { treatment: Treatment { columns: 5, ..Default::default() }, ..Default::default() },
                moment,
            ))
            .expect("sound")
    }
}

fn backend(gpu: Option<&Gpu>) -> Backend<'_> {
    gpu.map_or(Backend::Cpu, Backend::Gpu)
}

/// The bits of a map, in one number that messages can show.
fn bits(map: &Array2<f32>) -> u64 {
    let bits = |hash: u64, y: &f32| (hash ^ u64::from(y.to_bits())).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    map.iter().fold(0xcbf2_9ce4_8422_2325, bits)
}

/// What is compared: the map, and what was read of the objective.
fn outcome(done: &Done) -> (u64, Vec<(usize, f64)>, usize, Stop) {
    let readings = done.outcome.trace.iter().map(|reading| (reading.iteration, reading.objective)).collect();
    (bits(&done.outcome.embedding.points), readings, done.outcome.iterations, done.outcome.stop)
}

/// Every way to stop this run and to go on makes what it makes when it is let alone.
fn holds(case: &Case, gpu: Option<&Gpu>) {
    let total = case.settings.iterations.expect("it is set");
    let (whole, plan) = case.run(total, gpu, &mut |_| true);
    let want = outcome(&whole);
    assert_eq!(want.2, total, "{}", case.name);
    // A plan of fewer iterations, at a reading and between two.
    let fewer = if case.sampled { [60, 67] } else { [40, 67] };
    let mut last = None;
    for stop in fewer {
        let (part, plan) = case.run(stop, gpu, &mut |_| true);
        assert_eq!(part.outcome.iterations, stop);
        let kept = case.kept(&part, &plan);
        assert_ne!(bits(&kept.map), want.0);
        assert_eq!(outcome(&case.resume(kept.clone(), total, gpu)), want, "{} from {stop}", case.name);
        last = Some(kept);
    }
    // Once more after that.
    let second = case.resume(last.expect("a part"), 117, gpu);
    let kept = case.kept(&second, &case.plan(117, gpu));
    assert_eq!(outcome(&case.resume(kept, total, gpu)), want, "{} from 117", case.name);
    // Interrupted where the program looks.
    if gpu.is_none() {
        let mut batches = 0;
        let (part, _) = case.run(total, gpu, &mut |event| {
            batches += usize::from(matches!(event, Event::Progress(_)));
            batches < 3
        });
        assert_eq!(part.outcome.stop, Stop::Interrupted);
        let kept = case.kept(&part, &plan);
        assert_eq!(outcome(&case.resume(kept, total, gpu)), want, "{} interrupted", case.name);
    }
    // From what was kept on the way.
    let eager =
        Case { settings: Settings { checkpoint_seconds: Some(1e-9), ..case.settings.clone() }, ..*case_of(case) };
    let mut kept = Vec::new();
    let (watched, _) = eager.run(total, gpu, &mut |event| {
        if let Event::Checkpoint(moment) = event {
            kept.push(case.through_a_file(moment, &plan));
        }
        true
    });
    assert_eq!(outcome(&watched), want, "{} watched", case.name);
    assert!(kept.len() > 2, "{}: {} checkpoints", case.name, kept.len());
    let last = kept.len() - 1;
    for number in [1, last - 1] {
        let kept = kept[number].clone();
        let from = kept.snapshot.iterations;
        assert_eq!(outcome(&case.resume(kept, total, gpu)), want, "{} from the checkpoint at {from}", case.name);
    }
}

fn case_of(case: &Case) -> Box<Case> {
    Box::new(Case { name: case.name, settings: case.settings.clone(), ..*case })
}

/// The cases of both backends.
fn cases() -> Vec<Case> {
    let mesh = |case: &mut Case| case.settings.field = Field::Mesh;
    vec![
        Case::new("t-SNE by all pairs", "tsne"),
        Case::new("t-SNE by the mesh", "tsne").with(mesh),
        Case::new("t-SNE in space", "tsne").with(mesh).with(|case| case.settings.dims = 3),
        Case::new("SNE by rows of the mesh", "sne").with(mesh),
        Case::new("NeRV", "nerv").with(|case| {
            case.settings.neighbors = Count::All;
            // Its phases with less exaggeration are crossed, too.
            case.settings.exaggeration_iterations = Some(30);
        }),
        Case::new("Sammon's map", "sammon"),
        Case::new("scaling on sampled pairs", "mds").with(|case| case.sampled = true),
        Case::new("in the order of cells", "tsne").with(|case| {
            case.settings.knn = Knn::Inverted;
            case.settings.frames = true;
        }),
    ]
}

/// Groups so tight that the mesh is made finer on the way.
fn tight() -> Case {
    Case::new("a mesh that is made finer", "tsne").with(|case| {
        (case.groups, case.spread) = ((20, 30), 1e-3);
        case.settings.field = Field::Mesh;
    })
}

#[test]
fn a_mesh_that_was_made_finer_stays_so() {
    let refines = |gpu: Option<&Gpu>| {
        let (done, plan) = tight().run(130, gpu, &mut |_| true);
        assert_ne!(field_of(&done), container::field_of(plan.method_of_field), "it was not made finer");
        holds(&tight(), gpu);
    };
    refines(None);
    on_each(Options::default(), |gpu| refines(Some(gpu)));
}

fn field_of(done: &Done) -> String {
    let resolution = done.outcome.snapshot.resolution.expect("a mesh");
    container::field_of(nearfield::field::Method::Mesh(resolution))
}

/// What is lost, and how.
type Change = (&'static str, fn(&mut Snapshot));

/// A test that cannot fail shows nothing: whatever of the state is lost is seen in the map.
#[test]
fn every_part_of_the_state_counts() {
    let seen = |case: &Case, gpu: Option<&Gpu>, stop: usize, changes: &[Change]| {
        let (whole, _) = case.run(130, gpu, &mut |_| true);
        let (part, plan) = case.run(stop, gpu, &mut |_| true);
        for (what, change) in changes {
            let mut kept = case.kept(&part, &plan);
            let before = kept.snapshot.clone();
            change(&mut kept.snapshot);
            assert_ne!(kept.snapshot, before, "{what} is as it was");
            let spoilt = case.resume(kept, 130, gpu);
            assert_ne!(outcome(&spoilt).0, outcome(&whole).0, "{} without its {what}", case.name);
        }
    };
    let of_all: &[Change] = &[
        ("gains", |snapshot| snapshot.state.gains.fill(1.0)),
        ("velocity", |snapshot| snapshot.state.velocity.fill(0.0)),
        ("points", |snapshot| snapshot.state.points[[5, 1]] += 1e-4),
        ("resolution", |snapshot| snapshot.resolution = None),
    ];
    // The mesh is looked at again after a hundred iterations, and not after each.
    let counts: &[Change] = &[("count of iterations", |snapshot| snapshot.iterations -= 3)];
    seen(&tight(), None, 110, of_all);
    seen(&tight(), None, 95, counts);
    let grid: &[Change] = &[("grid", |snapshot| {
        snapshot.grid.as_mut().expect("a mesh on a device").extent.iter_mut().for_each(|side| *side *= 0.7);
    })];
    on_each(Options::default(), |gpu| {
        seen(&tight(), Some(gpu), 110, of_all);
        seen(&cases()[1], Some(gpu), 67, grid);
    });
}

#[test]
fn a_run_that_goes_on_is_one_that_never_stopped() {
    cases().iter().for_each(|case| holds(case, None));
}

#[test]
fn a_run_that_goes_on_is_one_that_never_stopped_on_devices() {
    on_each(Options::default(), |gpu| cases().iter().for_each(|case| holds(case, Some(gpu))));
}
