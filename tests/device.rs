//! The plumbing: faults are values, what is bound wrongly says so, large work is split without a change of one bit.

mod common;

use common::adapters::{chosen, on_each};
use common::bound::identical;
use common::data;
use ndarray::Array2;
use nearfield::data::Affinities;
use nearfield::engine::{self, Descent, Device, Schedule};
use nearfield::field::{Method, exact};
use nearfield::gpu::{Choice, Gpu, Options, choose};
use nearfield::knn::Metric;
use nearfield::optimizer::Phase;
use nearfield::{Error, affinity, knn};

fn affinities(n: usize) -> Affinities<f32> {
    let points = data::random(n, 5, 31).mapv(|x| x as f32);
    affinity::affinities(&knn::exact(points.view(), 15, Metric::Euclidean).expect("sound"), 5.0).expect("sound")
}

fn start(n: usize, dims: usize) -> Array2<f32> {
    data::random(n, dims, 32).mapv(|y| 1e-4 * y as f32)
}

fn schedule(iterations: usize) -> Schedule {
    let phase = |iterations, exaggeration| Phase { iterations, exaggeration, learning_rate: 50.0, momentum: 0.8 };
    Schedule {
        phases: vec![phase(iterations / 2, 12.0), phase(iterations / 2, 1.0)],
        trace_every: 10,
        stop_below: None,
        max_time: None,
    }
}

fn run(gpu: &Gpu, n: usize, dims: usize, iterations: usize) -> nearfield::Result<engine::Outcome> {
    let affinities = affinities(n);
    let mut device = Device::new(gpu, &affinities, start(n, dims), Method::Exact)?;
    engine::descend(&mut device, &schedule(iterations), &mut |_| true)
}

#[test]
fn a_lost_device_is_an_error_wherever_it_is_lost() {
    on_each(Options::default(), |gpu| {
        let buffer = gpu.upload("values", &[1.0_f32, 2.0]).expect("room");
        assert_eq!(gpu.read(&buffer, 2).expect("sound"), [1.0, 2.0]);
        let affinities = affinities(100);
        let mut device = Device::new(gpu, &affinities, start(100, 2), Method::Exact).expect("sound");
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
fn a_device_lost_in_mid_descent_ends_it() {
    on_each(Options::default(), |gpu| {
        let affinities = affinities(100);
        let mut device = Device::new(gpu, &affinities, start(100, 2), Method::Exact).expect("sound");
        let ended = engine::descend(&mut device, &schedule(100), &mut |progress| {
            if progress.iteration >= 30 {
                gpu.inject_loss();
            }
            true
        });
        assert!(matches!(ended, Err(Error::DeviceLost(_))), "{ended:?}");
    });
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
    on_each(Options { binding_limit: Some(1 << 16) }, |gpu| {
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
    let got = whole(Options { binding_limit: Some(1 << 14) });
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
        pass.split(gpu, &edges, &points, 2, usize::MAX).expect("sound");
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
