//! The plumbing: faults are values, what is bound wrongly says so, large work is split without a change of one bit.

mod common;

use common::adapters::{chosen, on_each};
use common::bound::identical;
use common::data;
use ndarray::Array2;
use nearfield::affinity::Law;
use nearfield::data::{Affinities, Dataset};
use nearfield::engine::{self, Descent, Device, Schedule, Stop};
use nearfield::field::{Method, exact};
use nearfield::gpu::{Choice, Gpu, Options, choose};
use nearfield::job::{Backend, Done, Event, Given};
use nearfield::kernel::Similarity;
use nearfield::knn::Metric;
use nearfield::objective::{Goal, methods};
use nearfield::optimizer::Phase;
use nearfield::plan::{Plan, Settings, Shape};
use nearfield::{Error, affinity, knn};

fn affinities(n: usize) -> Affinities<f32> {
    let points = data::random(n, 5, 31).mapv(|x| x as f32);
    affinity::affinities(&knn::exact(points.view(), 15, Metric::Euclidean).expect("sound"), &Law::Perplexity(5.0))
        .expect("sound")
}

fn start(n: usize, dims: usize) -> Array2<f32> {
    data::random(n, dims, 32).mapv(|y| 1e-4 * y as f32)
}

fn schedule(iterations: usize) -> Schedule {
    let phase = |iterations, exaggeration| Phase { iterations, exaggeration, learning_rate: 50.0, ..Phase::ONE };
    Schedule {
        phases: vec![phase(iterations / 2, 12.0), phase(iterations / 2, 1.0)],
        trace_every: 10,
        stop_below: None,
        max_time: None,
        frame_every: None,
        checkpoint_every: None,
    }
}

fn run(gpu: &Gpu, n: usize, dims: usize, iterations: usize) -> nearfield::Result<engine::Outcome> {
    let affinities = affinities(n);
    let mut device = Device::new(gpu, Goal::tsne(&affinities), start(n, dims), Method::Exact)?;
    let outcome = engine::descend(&mut device, &schedule(iterations), &mut |_| true)?;
    outcome.fault.clone().map_or(Ok(outcome), Err)
}

#[test]
fn a_lost_device_is_an_error_wherever_it_is_lost() {
    on_each(Options::default(), |gpu| {
        let buffer = gpu.upload("values", &[1.0_f32, 2.0]).expect("room");
        assert_eq!(gpu.read(&buffer, 2).expect("sound"), [1.0, 2.0]);
        let affinities = affinities(100);
        let mut device = Device::new(gpu, Goal::tsne(&affinities), start(100, 2), Method::Exact).expect("sound");
        let phase = schedule(10).phases[0];
        device.step(&phase, 3).expect("sound");
        gpu.inject_loss();
        let lost = |result: Result<(), Error>, what: &str| match result {
            Err(Error::DeviceLost(message)) => assert!(message.to_string().contains("lost"), "{what}: {message}"),
            other => panic!("{what} of a lost device gave {other:?}"),
        };
        lost(gpu.read(&buffer, 2).map(|_| ()), "a read");
        lost(device.step(&phase, 3).map(|_| ()), "a step");
        lost(device.embedding().map(|_| ()), "the map");
        lost(device.objective().map(|_| ()), "the objective");
        let points = data::random(50, 3, 1).mapv(|x| x as f32);
        lost(knn::exact_gpu(gpu, points.view(), 5, Metric::Euclidean).map(|_| ()), "a search");
    });
}

#[test]
fn a_device_lost_in_mid_descent_ends_it_with_the_last_map() {
    on_each(Options::default(), |gpu| {
        let affinities = affinities(100);
        let until_30 = |gpu: &Gpu, then: &dyn Fn() -> bool| {
            let mut device = Device::new(gpu, Goal::tsne(&affinities), start(100, 2), Method::Exact).expect("sound");
            let observe = &mut |progress: &engine::Progress| progress.iteration < 30 || then();
            engine::descend(&mut device, &schedule(100), observe).expect("a fault is told by the outcome")
        };
        let interrupted = until_30(gpu, &|| false);
        assert_eq!((interrupted.iterations, interrupted.stop), (30, Stop::Interrupted));
        let lost = until_30(gpu, &|| {
            gpu.inject_loss();
            true
        });
        let fault = lost.fault.as_ref().expect("a lost device");
        assert!(matches!(fault, Error::DeviceLost(_)), "{fault}");
        assert_eq!((lost.iterations, lost.stop, lost.trace.len()), (30, Stop::Fault, 3));
        let [kept, whole] =
            [&lost, &interrupted].map(|outcome| outcome.embedding.points.as_slice().expect("contiguous"));
        identical("the last map", kept, whole).unwrap_or_else(|why| panic!("{why}"));
    });
}

/// A job of 100 iterations on the digits' first rows, with what was said.
fn job(backend: Backend, gpu: Option<&Gpu>, event: &mut dyn FnMut(&Event)) -> nearfield::Result<Done> {
    let whole = nearfield::input::read(&nearfield::input::Request::new("sample:digits"))?;
    let points = whole.points.slice(ndarray::s![..150, ..]).to_owned();
    let data = Dataset { points, labels: None, ..whole };
    let settings = Settings { iterations: Some(100), trace_every: 10, ..Settings::default() };
    let shape = Shape { name: "digits", n: 150, input_dims: 64 };
    let plan = Plan::resolve(&settings, shape, gpu.map(Gpu::adapter))?;
    nearfield::job::run(&plan, &settings, &data, Given::default(), backend, &mut |now| {
        event(&now);
        true
    })
}

#[test]
fn the_cpu_goes_on_from_the_last_reading_where_it_may() {
    on_each(Options::default(), |_| {});
    let Some(adapter) = chosen().into_iter().next() else { return };
    let open = || Gpu::open(&adapter, Options::default()).expect("opens");
    let alone = job(Backend::Cpu, None, &mut |_| ()).expect("sound");
    let objective = |done: &Done| done.outcome.trace.last().expect("a reading").objective;
    let whole = |done: &Done, what: &str| {
        assert_eq!((done.outcome.iterations, done.outcome.stop), (100, Stop::Iterations), "{what}");
        assert!(done.outcome.fault.is_none() && done.outcome.field.is_some(), "{what}");
        let iterations: Vec<usize> = done.outcome.trace.iter().map(|reading| reading.iteration).collect();
        assert_eq!(iterations, (10..=100).step_by(10).collect::<Vec<_>>(), "{what}");
        assert!(done.outcome.trace.is_sorted_by_key(|reading| reading.seconds), "{what}");
        assert!((objective(done) - objective(&alone)).abs() <= 0.05 * objective(&alone), "{what}: {}", objective(done));
    };
    whole(&alone, "the CPU alone");
    for stage in ["neighbours", "affinities", "descent"] {
        let gpu = open();
        let lose = &mut |event: &Event| {
            if matches!(event, Event::Stage(name) if *name == stage) {
                gpu.inject_loss();
            }
        };
        let done = job(Backend::GpuElseCpu(&gpu), Some(&gpu), lose).expect("the CPU takes over");
        whole(&done, stage);
        assert_eq!(done.notes.len(), 1, "{stage}: {:?}", done.notes);
        assert!(done.notes[0].contains("was lost"), "{stage}: {:?}", done.notes);
        let gpu = open();
        let lose = &mut |event: &Event| {
            if matches!(event, Event::Stage(name) if *name == stage) {
                gpu.inject_loss();
            }
        };
        let ended = job(Backend::Gpu(&gpu), Some(&gpu), lose);
        assert!(matches!(ended, Err(Error::DeviceLost(_))), "{stage}: {ended:?}");
    }
    let gpu = open();
    let mut told = Vec::new();
    let lose = &mut |event: &Event| match event {
        Event::Progress(progress) if progress.iteration == 60 => gpu.inject_loss(),
        Event::Note(note) => told.push((*note).to_owned()),
        _ => (),
    };
    let done = job(Backend::GpuElseCpu(&gpu), Some(&gpu), lose).expect("the CPU takes over");
    whole(&done, "iteration 60");
    assert!(told == done.notes && told.len() == 1 && told[0].contains("from iteration 60"), "{told:?}");
    // Wherever the device is full, the job is done all the same.
    let mut taken_over = 0;
    for count in (0..200).step_by(7) {
        let gpu = open();
        gpu.inject_exhaustion(count);
        let done = job(Backend::GpuElseCpu(&gpu), Some(&gpu), &mut |_| ()).expect("the CPU takes over");
        whole(&done, &format!("allocation {count}"));
        if done.notes.is_empty() {
            break;
        }
        taken_over += 1;
    }
    assert!((3..25).contains(&taken_over), "{taken_over} jobs were taken over");
}

#[test]
fn a_device_that_is_lost_on_fresh_pairs_leaves_the_map_before() {
    on_each(Options::default(), |_| {});
    let Some(adapter) = chosen().into_iter().next() else { return };
    let points = data::random(150, 6, 71).mapv(|x| x as f32);
    let data = Dataset { name: "drawn".into(), points, labels: None, notes: Vec::new() };
    let method = methods().find(|method| method.name == "mds").expect("it is listed");
    let settings = Settings { method, iterations: Some(80), ..Settings::default() };
    // Thirty iterations on one sample, then fifty on a fresh one each; the device leaves among these.
    let run = |replaceable: bool| {
        let gpu = Gpu::open(&adapter, Options::default()).expect("opens");
        let shape = Shape { name: "drawn", n: 150, input_dims: 6 };
        let mut plan = Plan::resolve(&settings, shape, Some(&adapter)).expect("sound");
        plan.sampled_pairs = Some(40);
        let backend = if replaceable { Backend::GpuElseCpu(&gpu) } else { Backend::Gpu(&gpu) };
        nearfield::job::run(&plan, &settings, &data, Given::default(), backend, &mut |event| {
            if matches!(event, Event::Progress(progress) if progress.iteration == 50) {
                gpu.inject_loss();
            }
            true
        })
        .expect("there is a map")
    };
    let kept = run(false);
    assert_eq!((kept.outcome.iterations, kept.outcome.stop), (50, Stop::Fault));
    assert!(matches!(kept.outcome.fault, Some(Error::DeviceLost(_))));
    assert!(kept.outcome.embedding.points.iter().all(|y| y.is_finite()));
    let taken_over = run(true);
    assert_eq!((taken_over.outcome.iterations, taken_over.outcome.stop), (80, Stop::Iterations));
    assert!(taken_over.outcome.fault.is_none() && taken_over.notes.len() == 1, "{:?}", taken_over.notes);
    let stress = |done: &Done| done.estimate.expect("of drawn pairs").objective;
    assert!(stress(&taken_over) <= stress(&kept), "{} after {}", stress(&taken_over), stress(&kept));
}

#[test]
fn a_full_device_is_an_error_at_every_allocation() {
    on_each(Options::default(), |_| {});
    // Each number of allocations that succeed before one fails, until the whole job passes.
    let Some(adapter) = chosen().into_iter().next() else { return };
    let mut refused = 0;
    for count in 0..200 {
        let gpu = Gpu::open(&adapter, Options::default()).expect("opens");
        gpu.inject_exhaustion(count);
        match run(&gpu, 60, 2, 20) {
            Err(Error::DeviceMemory(message)) => {
                assert!(message.to_string().contains("memory"), "{message}");
                refused += 1;
            }
            Ok(_) => break,
            other => panic!("allocation {count} gave {other:?}"),
        }
    }
    assert!((10..199).contains(&refused), "{refused} allocations of a job were made to fail");
}

#[test]
fn what_is_bound_wrongly_is_named() {
    on_each(Options::default(), |gpu| {
        let kernel = gpu.kernel(&exact::SHADERS[0], "exact").expect("compiles");
        let points = gpu.zeros::<f32>("points", 8).expect("room");
        let message = |result: nearfield::Result<_>| match result {
            Err(Error::Job(message)) => message.to_string(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was bound"),
        };
        let text = message(kernel.bind(gpu, &[("points", &points)]).map(|_| ()));
        assert!(text.contains("field/exact.wgsl") && text.contains("`params`"), "{text}");
        let text = message(kernel.bind(gpu, &[("pionts", &points)]).map(|_| ()));
        assert!(text.contains("field/exact.wgsl") && text.contains("`pionts`"), "{text}");
        let text = message(gpu.kernel(&exact::SHADERS[0], "inexact").map(|_| ()));
        assert!(text.contains("inexact"), "{text}");
        // A storage buffer where a uniform belongs is found by wgpu, and is a value all the same.
        let text =
            message(kernel.bind(gpu, &[("params", &points), ("points", &points), ("sums", &points)]).map(|_| ()));
        assert!(text.contains("field/exact.wgsl"), "{text}");
        gpu.check().expect("a refused binding is not a fault of the device");
    });
}

#[test]
fn memory_is_counted_and_given_back() {
    on_each(Options::default(), |gpu| {
        let before = gpu.memory().0;
        let buffer = gpu.zeros::<f32>("values", 1000).expect("room");
        assert_eq!(gpu.memory().0, before + 4000);
        drop(buffer);
        assert_eq!(gpu.memory().0, before);
        assert!(gpu.memory().1 >= before + 4000);
    });
}

#[test]
fn a_buffer_larger_than_a_binding_is_refused() {
    on_each(Options { binding_limit: Some(1 << 16), ..Default::default() }, |gpu| {
        assert!(gpu.zeros::<f32>("fits", 1 << 14).is_ok());
        let Err(error) = gpu.zeros::<f32>("too large", (1 << 14) + 1) else { panic!("it was allocated") };
        assert!(error.to_string().contains("`too large`"), "{error}");
    });
}

#[test]
fn splitting_changes_no_bit() {
    let n = 700;
    let points = data::random(n, 9, 33).mapv(|x| x as f32);
    let whole = |options: Options| {
        let mut results = Vec::new();
        for adapter in chosen() {
            let gpu = Gpu::open(&adapter, options).expect("opens");
            let neighbors = knn::exact_gpu(&gpu, points.view(), 40, Metric::Euclidean).expect("sound");
            let conditionals = affinity::calibrate_gpu(&gpu, &neighbors, 10.0).expect("sound");
            let joint = affinity::symmetrize_gpu(&gpu, &neighbors, &conditionals).expect("sound");
            results.push((neighbors, conditionals, joint));
        }
        results
    };
    let want = whole(Options::default());
    // 16 KiB: 455 rows of points, 102 rows of neighbours, 4,096 edges a binding.
    let got = whole(Options { binding_limit: Some(1 << 14), ..Default::default() });
    on_each(Options::default(), |_| assert!(!want.is_empty()));
    for ((near, conditional, joint), (near_w, conditional_w, joint_w)) in got.iter().zip(&want) {
        let flat = |array: &Array2<f32>| array.iter().copied().collect::<Vec<_>>();
        identical("indices", near.indices.as_slice().expect("standard"), near_w.indices.as_slice().expect("standard"))
            .expect("same");
        identical("distances", &flat(&near.d2), &flat(&near_w.d2)).expect("same");
        identical("conditionals", &flat(&conditional.p), &flat(&conditional_w.p)).expect("same");
        identical("joint indices", &joint.indices, &joint_w.indices).expect("same");
        identical("joint weights", &joint.weights, &joint_w.weights).expect("same");
    }
}

#[test]
fn a_long_row_of_groups_is_laid_out_in_two_dimensions() {
    // 65,535 groups of 8 rows fill one dimension; 600,000 rows need a second. Every row has one edge, to row 0.
    let n = 600_000;
    let joint = Affinities {
        offsets: (0..=n).collect(),
        indices: (0..n).map(|i| u32::from(i == 0)).collect(),
        weights: vec![2.0; n],
        unreached: 0,
    };
    on_each(Options::default(), |gpu| {
        let map = Array2::from_shape_fn((n, 2), |(i, c)| if c == 0 { i as f32 * 1e-6 } else { 0.0 });
        let points = gpu.upload_map("map", map.view()).expect("room");
        let edges = nearfield::objective::edges::Edges::upload(gpu, &joint).expect("room");
        let mut pass = nearfield::objective::attraction::AttractionPass::new(gpu, &points).expect("room");
        pass.split(gpu, &edges, &points, 2, Similarity::TSNE, usize::MAX).expect("sound");
        let mut batch = gpu.batch();
        pass.record(&mut batch);
        batch.run().expect("sound");
        let got = gpu.read_map(&pass.attraction, 2).expect("sound");
        for i in [1, 65_535 * 8 - 1, 65_535 * 8, 65_536 * 8, n - 1] {
            let y = i as f32 * 1e-6;
            let want = 2.0 * y / (1.0 + y * y);
            assert!((got[[i, 0]] - want).abs() <= 1e-6 * want, "row {i}: {} instead of {want}", got[[i, 0]]);
        }
    });
}

#[test]
fn the_same_seed_and_adapter_give_the_same_bytes() {
    on_each(Options::default(), |gpu| {
        for dims in [2, 3] {
            let first = run(gpu, 300, dims, 60).expect("sound").embedding;
            let second = run(gpu, 300, dims, 60).expect("sound").embedding;
            identical("map", first.points.as_slice().expect("standard"), second.points.as_slice().expect("standard"))
                .expect("same");
            assert!(first.points.iter().any(|y| y.abs() > 1e-2), "the map has moved");
        }
    });
}

#[test]
fn a_device_that_does_not_exist_is_refused_with_those_that_do() {
    let found = chosen();
    for choice in ["gpu:99", "no such adapter"] {
        let choice: Choice = choice.parse().expect("a choice");
        let error = choose(&choice, &found).expect_err("there is none");
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        match found.first() {
            Some(adapter) => assert!(text.contains(&adapter.name) && text.contains("cpu"), "{text}"),
            None => assert!(text.contains("cpu"), "{text}"),
        }
    }
    assert!(choose(&Choice::Cpu, &found).expect("always there").is_none());
    let software: Vec<_> = found.into_iter().filter(|adapter| adapter.is_software()).collect();
    assert!(choose(&Choice::Auto, &software).expect("always there").is_none(), "auto leaves software adapters alone");
}
