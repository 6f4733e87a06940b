//! Every stage by itself: `cargo bench`, or `cargo bench -- "mesh.*70k"` for some of them.
//!
//! A case is prepared, its answer is checked, and only then is it timed; cases that the filter leaves out prepare nothing.
//! Those of a device run on the software adapter or, with `NEARFIELD_BENCH_ADAPTER=NAME`, on one whose name contains NAME;
//! they time what a descent does there, on buffers that stay, from submit to completion.

use criterion::Criterion;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use nearfield::affinity::Law;
use nearfield::data::{Affinities, Neighbors};
use nearfield::field::exact::ExactField;
use nearfield::field::mesh::device::MeshField;
use nearfield::field::mesh::{self, Mesh, Resolution};
use nearfield::field::total::{TotalPass, total};
use nearfield::field::{FieldSums, Method, force_error, lanes};
use nearfield::gpu::{Adapter, Buffer, Gpu, Options, Pace, adapters};
use nearfield::init::{self, Normal, Start};
use nearfield::kernel::{Similarity, Student};
use nearfield::knn::{self, Metric, Recall};
use nearfield::objective::Goal;
use nearfield::objective::attraction::{AttractionPass, attraction};
use nearfield::objective::edges::Edges;
use nearfield::objective::gather::Gathered;
use nearfield::objective::loss::{LossPass, cross};
use nearfield::optimizer::step::{State, StepPass, step};
use nearfield::optimizer::{EXAGGERATION, Phase};
use nearfield::{affinity, engine, input};
use npyz::WriterBuilder;
use std::cell::OnceCell;
use std::hint::black_box;
use std::io::BufWriter;
use std::time::Duration;

/// What is timed; made after its answer was checked.
type Timed<'a> = Box<dyn FnMut() + 'a>;

/// Data sets: name, points, columns. The digits are those in `assets`, the others 100 Gaussians of a fixed seed.
const DATA: [(&str, usize, usize); 3] = [("digits", 1797, 64), ("10k", 10_000, 50), ("70k", 70_000, 50)];

/// Which of [`DATA`] a case runs on.
const ALL: &[usize] = &[0, 1, 2];
const SMALL: &[usize] = &[0, 1];
const DIGITS: &[usize] = &[0];

/// Every case once: stage, data, and how it is prepared and checked. The GPU is there exactly for those that end in `gpu`.
type Prepare = for<'a> fn(&'a Stand, Option<&'a Gpu>) -> Timed<'a>;
const CASES: &[(&str, &[usize], Prepare)] = &[
    ("read npy", ALL, read_npy),
    ("pca", ALL, pca),
    ("knn exact", SMALL, knn_exact),
    ("knn exact gpu", DIGITS, knn_exact),
    ("knn inverted", &[1, 2], knn_inverted),
    ("calibrate", ALL, calibrate),
    ("calibrate gpu", SMALL, calibrate),
    ("symmetrize", ALL, symmetrize),
    ("symmetrize gpu", SMALL, symmetrize),
    ("start", ALL, start),
    ("field exact 2-D", SMALL, |stand, _| field_exact(stand, 2)),
    ("field exact 3-D", SMALL, |stand, _| field_exact(stand, 3)),
    ("field exact 2-D gpu", SMALL, |stand, gpu| field_exact_gpu(stand, gpu, 2)),
    ("field exact 3-D gpu", DIGITS, |stand, gpu| field_exact_gpu(stand, gpu, 3)),
    ("field mesh 2-D", ALL, |stand, _| field_mesh(stand, 2)),
    ("field mesh 3-D", ALL, |stand, _| field_mesh(stand, 3)),
    ("field mesh 2-D gpu", ALL, |stand, gpu| field_mesh_gpu(stand, gpu, 2)),
    ("field mesh 3-D gpu", SMALL, |stand, gpu| field_mesh_gpu(stand, gpu, 3)),
    ("attraction plain", ALL, attraction_plain),
    ("attraction gathered", ALL, attraction_gathered),
    ("attraction gpu", ALL, attraction_gpu),
    ("loss", ALL, loss),
    ("loss gpu", ALL, loss_gpu),
    ("step", ALL, step_once),
    ("step gpu", ALL, step_gpu),
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args();
    let gpu = adapter().map(|adapter| Gpu::open(&adapter, Options::default()).expect("the adapter opens"));
    for data in 0..DATA.len() {
        let stand = Stand::new(data);
        for (stage, _, prepare) in CASES.iter().filter(|(_, on, _)| on.contains(&data)) {
            let gpu = gpu.as_ref().filter(|_| stage.ends_with("gpu"));
            if stage.ends_with("gpu") && gpu.is_none() {
                continue;
            }
            let mut timed = None;
            criterion.bench_function(&format!("{stage}/{}", DATA[data].0), |bencher| {
                let timed = timed.get_or_insert_with(|| prepare(&stand, gpu));
                bencher.iter(timed);
            });
        }
    }
    criterion.final_summary();
}

fn adapter() -> Option<Adapter> {
    let wanted = std::env::var("NEARFIELD_BENCH_ADAPTER");
    adapters().into_iter().find(|adapter| match &wanted {
        Ok(name) => adapter.name.contains(name),
        Err(_) => adapter.is_software(),
    })
}

/// One data set with what the stages make of it, each made when it is first asked for.
struct Stand {
    name: &'static str,
    points: OnceCell<Array2<f32>>,
    neighbors: OnceCell<Neighbors<f32>>,
    affinities: OnceCell<Affinities<f32>>,
    /// In 2 and in 3 dimensions.
    maps: [OnceCell<Array2<f32>>; 2],
}

const PERPLEXITY: f32 = 30.0;
const NEIGHBORS: usize = 90;

/// Iterations that make the maps: half of them exaggerated, then enough for the map to spread.
const ITERATIONS: [usize; 2] = [100, 100];

impl Stand {
    fn new(data: usize) -> Stand {
        let (points, neighbors, affinities, maps) = Default::default();
        Stand { name: DATA[data].0, points, neighbors, affinities, maps }
    }

    fn points(&self) -> &Array2<f32> {
        self.points.get_or_init(|| match DATA.iter().find(|(name, ..)| *name == self.name) {
            Some(&(_, n, columns)) if self.name != "digits" => {
                let centres = normal(100, columns, 0) * 2.0;
                let mut points = normal(n, columns, 1);
                for (i, mut row) in points.axis_iter_mut(Axis(0)).enumerate() {
                    row += &centres.row(i % centres.nrows());
                }
                points
            }
            _ => input::read(&input::Request::new("sample:digits")).expect("it is shipped").points,
        })
    }

    fn neighbors(&self) -> &Neighbors<f32> {
        self.neighbors.get_or_init(|| knn::inverted(self.points().view(), NEIGHBORS, &Recall { wish: 0.95 }, 0))
    }

    fn affinities(&self) -> &Affinities<f32> {
        self.affinities.get_or_init(|| {
            affinity::affinities(self.neighbors(), &Law::Perplexity(f64::from(PERPLEXITY))).expect("a usual perplexity")
        })
    }

    /// A map on its way down: from the start of a job, some iterations of the descent.
    fn map(&self, dims: usize) -> &Array2<f32> {
        self.maps[dims - 2].get_or_init(|| {
            let start = init::start(self.points().view(), &Start::Pca, dims, 0).expect("a start").points;
            let mut descent = engine::Cpu::new(
                Goal::tsne(self.affinities()),
                State::at_rest(start),
                Method::Mesh(Resolution::STANDARD),
            );
            let phases = [EXAGGERATION, 1.0].into_iter().zip(ITERATIONS).map(|(exaggeration, iterations)| Phase {
                iterations,
                exaggeration,
                learning_rate: self.points().nrows() as f64 / exaggeration,
                ..Phase::ONE
            });
            let schedule = engine::Schedule {
                phases: phases.collect(),
                trace_every: ITERATIONS.iter().sum(),
                stop_below: None,
                max_time: None,
            };
            engine::descend(&mut descent, &schedule, &mut |_| true).expect("a descent").embedding.points
        })
    }

    fn late(&self) -> Phase {
        let learning_rate = self.points().nrows() as f64;
        Phase { learning_rate, ..Phase::ONE }
    }
}

fn normal(rows: usize, columns: usize, stream: u64) -> Array2<f32> {
    let mut normal = Normal::new(0, stream);
    Array2::from_shape_simple_fn((rows, columns), || normal.next().expect("endless") as f32)
}

/// Fails if a number is not within a bound; NaN is not.
fn check(what: &str, error: f64, bound: f64) {
    if !(error <= bound) {
        panic!("{what}: {error:.3e} where at most {bound:.3e} was expected; its time would say nothing");
    }
}

/// ‖a − b‖ / ‖b‖.
fn relative<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (wrong, size) = a
        .into_iter()
        .zip(b)
        .fold((0.0, 0.0), |(wrong, size), (&a, &b)| (wrong + (f64::from(a) - b).powi(2), size + b * b));
    (wrong / size).sqrt()
}

fn wide(affinities: &Affinities<f32>) -> Affinities<f64> {
    Affinities {
        offsets: affinities.offsets.clone(),
        indices: affinities.indices.clone(),
        weights: affinities.weights.iter().map(|&weight| weight.into()).collect(),
        unreached: affinities.unreached,
    }
}

fn read_npy<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let file = tempfile::Builder::new().suffix(".npy").tempfile().expect("a place for a file");
    let (rows, columns) = stand.points().dim();
    let options = npyz::WriteOptions::new().default_dtype().shape(&[rows as u64, columns as u64]);
    let mut writer = options.writer(BufWriter::new(file.as_file())).begin_nd().expect("written");
    writer.extend(stand.points().iter().copied()).expect("written");
    writer.finish().expect("written");
    let path = file.path().to_str().expect("a plain path").to_owned();
    let read = move || input::read(&input::Request::new(&path)).expect("an .npy file");
    assert_eq!(&read().points, stand.points());
    Box::new(move || {
        black_box((read(), &file));
    })
}

fn pca<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let run = || init::principal_components(stand.points().view(), 10).expect("components");
    let pca = run();
    for (score, variance) in pca.scores.columns().into_iter().zip(&pca.variances) {
        let found = score.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / score.len() as f64;
        check("variance of a component's scores", (found / variance - 1.0).abs(), 1e-4);
    }
    Box::new(move || {
        black_box(run());
    })
}

fn knn_exact<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>) -> Timed<'a> {
    let points = stand.points().view();
    let run = move || match gpu {
        None => knn::exact(points, NEIGHBORS, Metric::Euclidean).expect("neighbours"),
        Some(gpu) => knn::exact_gpu(gpu, points, NEIGHBORS, Metric::Euclidean).expect("neighbours"),
    };
    check("neighbours missed", 1.0 - knn::recall(points, &run(), 200, 0), 0.0);
    Box::new(move || {
        black_box(run());
    })
}

fn knn_inverted<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let points = stand.points().view();
    let wish = Recall { wish: 0.95 };
    check("neighbours missed", 1.0 - knn::recall(points, stand.neighbors(), 200, 0), 1.0 - wish.wish);
    Box::new(move || {
        black_box(knn::inverted(points, NEIGHBORS, &wish, 0));
    })
}

fn calibrate<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>) -> Timed<'a> {
    let run = move || match gpu {
        None => affinity::calibrate(stand.neighbors(), PERPLEXITY),
        Some(gpu) => affinity::calibrate_gpu(gpu, stand.neighbors(), PERPLEXITY).expect("conditionals"),
    };
    for p in run().p.rows() {
        let entropy: f64 = -p.iter().map(|&p| f64::from(p)).filter(|&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        check("entropy", (entropy - f64::from(PERPLEXITY).ln()).abs(), 1e-4);
    }
    Box::new(move || {
        black_box(run());
    })
}

fn symmetrize<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>) -> Timed<'a> {
    let conditionals = affinity::calibrate(stand.neighbors(), PERPLEXITY);
    let run = move || match gpu {
        None => affinity::symmetrize(stand.neighbors(), &conditionals),
        Some(gpu) => affinity::symmetrize_gpu(gpu, stand.neighbors(), &conditionals).expect("affinities"),
    };
    let affinities = run();
    let sum: f64 = affinities.weights.iter().map(|&weight| f64::from(weight)).sum();
    check("sum of the affinities", (sum / affinities.n_points() as f64 - 1.0).abs(), 1e-5);
    Box::new(move || {
        black_box(run());
    })
}

fn start<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let run = || init::start(stand.points().view(), &Start::Pca, 2, 0).expect("a start").points;
    let map = run().mapv(f64::from);
    check("deviation of the start", (map.column(0).std(0.0) / init::START_DEVIATION - 1.0).abs(), 1e-3);
    Box::new(move || {
        black_box(run());
    })
}

fn field_exact(stand: &Stand, dims: usize) -> Timed<'_> {
    let map = stand.map(dims).view();
    check("force", force_error(map, lanes::exact(map, Student).force.view(), Similarity::TSNE, None), 1e-5);
    Box::new(move || {
        black_box(lanes::exact(map, Student));
    })
}

/// What the standard resolution promises.
const MESH_ERROR: f64 = 0.01;

fn field_mesh(stand: &Stand, dims: usize) -> Timed<'_> {
    let map = stand.map(dims);
    let mut mesh = Mesh::<f32>::new(mesh::Student { alpha: 1.0 }, dims, Resolution::STANDARD, 4 << 30);
    let (mut force, mut weight) = (Array2::zeros(map.dim()), vec![0.0; map.nrows()]);
    let mut run = move |force: &mut Array2<f32>| {
        let (map, force) = (map.as_slice().expect("standard"), force.as_slice_mut().expect("standard"));
        mesh.evaluate(map, None, &mut weight, force).expect("the map fits");
    };
    run(&mut force);
    check("force", force_error(map.view(), force.view(), Similarity::TSNE, None), MESH_ERROR);
    Box::new(move || run(black_box(&mut force)))
}

/// A field's sums on the device.
fn read_force(gpu: &Gpu, sums: &Buffer<[f32; 4]>, segments: usize, n: usize, dims: usize) -> Array2<f32> {
    let sums = gpu.read(sums, segments * n).expect("sums");
    Array2::from_shape_fn((n, dims), |(i, c)| (0..segments).map(|segment| sums[segment * n + i][c]).sum())
}

fn field_exact_gpu<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>, dims: usize) -> Timed<'a> {
    let (gpu, map) = (gpu.expect("a device"), stand.map(dims));
    let n = map.nrows();
    let points = gpu.upload_map("map", map.view()).expect("room");
    let mut field = ExactField::new(gpu, n).expect("room");
    field.split(gpu, &nearfield::field::exact::SHADERS[dims - 2], &points, 1024).expect("room");
    let pace = Pace::guess(1e9);
    let run = move |field: &ExactField| {
        let mut batch = gpu.batch();
        field.record(&mut batch, &pace).expect("recorded");
        batch.run().expect("no fault");
    };
    run(&field);
    let force = read_force(gpu, &field.sums, field.segments, n, dims);
    check("force", force_error(map.view(), force.view(), Similarity::TSNE, None), 1e-5);
    Box::new(move || run(&field))
}

fn field_mesh_gpu<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>, dims: usize) -> Timed<'a> {
    let (gpu, map) = (gpu.expect("a device"), stand.map(dims));
    let n = map.nrows();
    let points = gpu.upload_map("map", map.view()).expect("room");
    let mut field =
        MeshField::new(gpu, &points, n, dims, Resolution::STANDARD, Similarity::TSNE).expect("the map fits");
    let run = move |field: &mut MeshField| {
        let mut batch = gpu.batch();
        field.record(&mut batch, &Pace::guess(1e9)).expect("recorded");
        batch.submit();
        assert_eq!(field.settle(gpu, &points).expect("no fault"), 1, "the grid holds the map");
    };
    run(&mut field);
    check(
        "force",
        force_error(map.view(), read_force(gpu, &field.sums, 1, n, dims).view(), Similarity::TSNE, None),
        MESH_ERROR,
    );
    Box::new(move || run(&mut field))
}

fn attraction_plain<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let (affinities, map) = (stand.affinities(), stand.map(2).view());
    check_attraction(stand, attraction(affinities, map, Student).view());
    Box::new(move || {
        black_box(attraction(affinities, map, Student));
    })
}

fn check_attraction(stand: &Stand, pull: ArrayView2<f32>) {
    let want = attraction(&wide(stand.affinities()), stand.map(2).mapv(f64::from).view(), Student);
    check("attraction", relative(pull, &want), 1e-5);
}

fn attraction_gathered<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let Some(gathered) = Gathered::new(stand.affinities()) else {
        return Box::new(|| ());
    };
    let map: Vec<[f32; 2]> = stand.map(2).rows().into_iter().map(|y| [y[0], y[1]]).collect();
    let mut pull = vec![[0.0; 2]; map.len()];
    gathered.attraction(&map, Similarity::TSNE, &mut pull);
    check_attraction(stand, Array2::from(pull.clone()).view());
    Box::new(move || gathered.attraction(&map, Similarity::TSNE, black_box(&mut pull)))
}

/// Edges a dispatch, as a paced descent would have them on a software adapter.
const EDGES: usize = 4_000_000;

fn attraction_gpu<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>) -> Timed<'a> {
    let (gpu, map) = (gpu.expect("a device"), stand.map(2));
    let points = gpu.upload_map("map", map.view()).expect("room");
    let edges = Edges::upload(gpu, stand.affinities()).expect("room");
    let mut pass = AttractionPass::new(gpu, &points).expect("room");
    pass.split(gpu, &edges, &points, 2, Similarity::TSNE, EDGES).expect("room");
    let run = move |pass: &AttractionPass| {
        let mut batch = gpu.batch();
        pass.record(&mut batch);
        batch.run().expect("no fault");
        // Held as long as the calls use them.
        black_box((&edges, &points));
    };
    run(&pass);
    check_attraction(stand, gpu.read_map(&pass.attraction, 2).expect("read").view());
    Box::new(move || run(&pass))
}

fn check_loss(stand: &Stand, found: f64) {
    let want = cross(&wide(stand.affinities()), stand.map(2).mapv(f64::from).view(), Student);
    check("loss", (found / want - 1.0).abs(), 1e-5);
}

fn loss<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let (affinities, map) = (stand.affinities(), stand.map(2).view());
    check_loss(stand, cross(affinities, map, Student));
    Box::new(move || {
        black_box(cross(affinities, map, Student));
    })
}

fn loss_gpu<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>) -> Timed<'a> {
    let (gpu, map) = (gpu.expect("a device"), stand.map(2));
    let points = gpu.upload_map("map", map.view()).expect("room");
    let edges = Edges::upload(gpu, stand.affinities()).expect("room");
    let mut pass = LossPass::new(gpu, map.nrows()).expect("room");
    pass.split(gpu, &edges, &points, 2, Similarity::TSNE, EDGES).expect("room");
    check_loss(stand, pass.cross(gpu).expect("no fault"));
    Box::new(move || {
        black_box((pass.cross(gpu).expect("no fault"), &edges, &points));
    })
}

/// Attraction and field of a map, by which it takes one step.
fn forces(stand: &Stand) -> (Array2<f32>, FieldSums<f32>) {
    let map = stand.map(2);
    let mut mesh = Mesh::<f32>::new(mesh::Student { alpha: 1.0 }, 2, Resolution::STANDARD, 4 << 30);
    let mut field = FieldSums { force: Array2::zeros(map.dim()), weight: Array1::zeros(map.nrows()) };
    let (weight, force) =
        (field.weight.as_slice_mut().expect("standard"), field.force.as_slice_mut().expect("standard"));
    mesh.evaluate(map.as_slice().expect("standard"), None, weight, force).expect("the map fits");
    (attraction(stand.affinities(), map.view(), Student), field)
}

/// One step from rest in `f64`.
fn check_step(stand: &Stand, pull: &Array2<f32>, field: &FieldSums<f32>, found: ArrayView2<f32>) {
    let mut want = State::at_rest(stand.map(2).mapv(f64::from));
    let totals = total(want.points.view(), field.weight.mapv(f64::from).view());
    step(&mut want, &stand.late(), pull.mapv(f64::from).view(), field.force.mapv(f64::from).view(), &totals);
    check("map after a step", relative(found, &want.points), 1e-5);
}

fn step_once<'a>(stand: &'a Stand, _: Option<&'a Gpu>) -> Timed<'a> {
    let (pull, field) = forces(stand);
    let phase = stand.late();
    let totals = total(stand.map(2).view(), field.weight.view());
    let mut state = State::at_rest(stand.map(2).clone());
    step(&mut state, &phase, pull.view(), field.force.view(), &totals);
    check_step(stand, &pull, &field, state.points.view());
    Box::new(move || step(black_box(&mut state), &phase, pull.view(), field.force.view(), &totals))
}

fn step_gpu<'a>(stand: &'a Stand, gpu: Option<&'a Gpu>) -> Timed<'a> {
    let (gpu, map) = (gpu.expect("a device"), stand.map(2));
    let n = map.nrows();
    let (pull, field) = forces(stand);
    let points = gpu.upload_map("map", map.view()).expect("room");
    let attraction = gpu.upload_map("attraction", pull.view()).expect("room");
    let sums = gpu.zeros("sums", n).expect("room");
    let rows: Vec<[f32; 4]> =
        (0..n).map(|i| [field.force[[i, 0]], field.force[[i, 1]], 0.0, field.weight[i]]).collect();
    gpu.write(&sums, &rows);
    let totals = TotalPass::new(gpu, n, 2, &points, &sums, 1).expect("room");
    let state = State::at_rest(map.clone());
    let pass = StepPass::new(gpu, &state, &points, &attraction, &sums, &totals.totals).expect("room");
    pass.set(gpu, &stand.late());
    let run = move |points: &Buffer<f32>| {
        let mut batch = gpu.batch();
        totals.record(&mut batch);
        pass.record(&mut batch);
        batch.run().expect("no fault");
        black_box((points, &attraction, &sums));
    };
    run(&points);
    check_step(stand, &pull, &field, gpu.read_map(&points, 2).expect("read").view());
    Box::new(move || run(&points))
}
