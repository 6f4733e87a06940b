//! The library's one call against the command line: the same options, the same defaults, the same bytes.

use ndarray::{Array2, ShapeBuilder};
use nearfield::embedding::{METHODS, OPTIONS};
use nearfield::engine::Stop;
use nearfield::gpu::Choice;
use nearfield::knn::Metric;
use nearfield::objective;
use nearfield::plan::Count;
use nearfield::{Embedding, Error};
use std::process::Command;

fn points(n: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, 5), |(i, c)| ((i * 7919 + c * 104_729) % 1009) as f32 / 100.0 + 10.0 * (i % 3) as f32)
}

fn help() -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_nearfield")).args(["embed", "--help"]).output().expect("it runs");
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn every_option_has_its_twin_on_the_command_line() {
    let help = help();
    // Options that choose what is computed stand under these headings, those of files and of the machine elsewhere.
    let mut listed = Vec::new();
    let mut heading = String::new();
    for line in help.lines() {
        if !line.starts_with(' ') && line.ends_with(':') {
            heading = line.trim_end_matches(':').to_owned();
        }
        let option = line.trim_start();
        let ours = ["What the map is to keep", "Which points attract", "How the map is made"];
        if line.starts_with("      --") && ours.contains(&heading.as_str()) {
            listed.push(option.split([' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    assert!(listed.len() > 20, "{listed:?}");
    let built: Vec<&str> = OPTIONS.iter().map(|(_, option)| *option).collect();
    for option in &listed {
        // The method is the constructor; neighbours of a file are read by the command line alone.
        let elsewhere = ["--method", "--neighbors-file"].contains(&option.as_str());
        assert!(elsewhere || built.contains(&option.as_str()), "the builder has no {option}");
    }
    for (name, option) in OPTIONS {
        assert!(help.contains(&format!("{option} ")), "{name}: there is no {option}");
        assert_eq!(format!("--{}", name.replace('_', "-")), *option, "a method has its option's name");
    }
    assert_eq!(
        METHODS.to_vec(),
        objective::methods().map(|method| method.name).filter(|n| METHODS.contains(n)).collect::<Vec<_>>()
    );
    assert_eq!(METHODS.len(), 7);
}

#[test]
fn the_same_map_as_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let points = points(60);
    let text: String =
        points.outer_iter().map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n").collect();
    std::fs::write(folder.path().join("points.csv"), text).expect("written");
    let fitted =
        Embedding::tnerv().perplexity(7.0).iterations(60).seed(3).device(Choice::Cpu).fit(&points).expect("a map");
    let ran = Command::new(env!("CARGO_BIN_EXE_nearfield"))
        .current_dir(folder.path())
        .args(
            "embed points.csv --method tnerv --perplexity 7 --iterations 60 --seed 3 --device cpu -o map.csv"
                .split(' '),
        )
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let written = std::fs::read_to_string(folder.path().join("map.csv")).expect("a map");
    let rows: Vec<String> = fitted.map.outer_iter().map(|y| format!("{},{}", y[0], y[1])).collect();
    assert_eq!(written.lines().skip(1).collect::<Vec<_>>(), rows);
    assert!(fitted.kl.is_some_and(|kl| kl > 0.0) && fitted.iterations == 60 && fitted.stop == Stop::Iterations);
}

#[test]
fn arrays_of_any_numbers_and_layouts() {
    let points = points(40).mapv(|x| x.round());
    let embedding = Embedding::tsne().perplexity(5.0).iterations(30).device(Choice::Cpu);
    let of = |fitted: nearfield::Result<nearfield::Fitted>| fitted.expect("a map").map;
    let want = of(embedding.fit(&points));
    assert_eq!(of(embedding.fit(&points.mapv(f64::from))), want);
    assert_eq!(of(embedding.fit(&points.mapv(|x| x as u8))), want);
    let mut turned = Array2::<f32>::zeros((40, 5).f());
    turned.assign(&points);
    assert!(!turned.is_standard_layout());
    assert_eq!(of(embedding.fit(&turned.view())), want);
    assert_ne!(of(embedding.clone().seed(9).random_init().fit(&points)), want);
    assert_eq!(of(embedding.clone().dims(3).fit(&points)).dim(), (40, 3));
    let from = Array2::from_shape_fn((40, 2), |(i, c)| (i * (c + 1)) as f32 * 1e-4);
    assert_ne!(of(embedding.init(from).fit(&points)), want);
}

#[test]
fn an_observer_hears_every_reading_and_may_end_it() {
    let embedding = Embedding::sammon().iterations(100).trace_every(10).device(Choice::Cpu);
    let mut heard = Vec::new();
    let all = embedding
        .fit_observed(&points(50), |reading| {
            heard.push(reading.iteration);
            true
        })
        .expect("a map");
    assert_eq!(heard, (1..=10).map(|n| 10 * n).collect::<Vec<_>>());
    assert_eq!(all.trace.len(), 10);
    let some = embedding.fit_observed(&points(50), |reading| reading.iteration < 30).expect("a map");
    assert!(some.iterations >= 30 && some.iterations < 100 && some.stop == Stop::Interrupted, "{}", some.iterations);
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let refused = |fitted: nearfield::Result<nearfield::Fitted>| match fitted {
        Err(error @ Error::Request(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let tsne = || Embedding::tsne().device(Choice::Cpu);
    assert!(refused(tsne().fit(&points(3))).contains("3 rows of 5 columns; give at least 4"));
    let mut spoilt = points(20);
    spoilt[[4, 1]] = f32::NAN;
    assert!(refused(tsne().fit(&spoilt)).contains("the value at row 4, column 1 is NaN"));
    assert!(refused(tsne().fit(&points(20).mapv(|x| 1e39 * f64::from(x + 1.0)))).contains("within 32 bits"));
    assert!(refused(tsne().fit(&Array2::<f32>::ones((20, 2)))).contains("all 20 rows are equal"));
    assert!(refused(tsne().perplexity(30.0).fit(&points(20))).contains("perplexity: 30 is out of reach"));
    assert!(refused(tsne().init(Array2::zeros((19, 2))).fit(&points(20))).contains("a map of 19 points"));
    assert!(refused(tsne().neighbors(Count::Of(20)).fit(&points(20))).contains("--neighbors"));
    assert!(refused(tsne().metric(Metric::Precomputed).fit(&points(20))).contains("square"));
    let mut uneven = Array2::from_shape_fn((20, 20), |(i, j)| (i as f32 - j as f32).abs());
    uneven[[3, 4]] = 7.0;
    assert!(refused(tsne().metric(Metric::Precomputed).fit(&uneven)).contains("row 3, column 4"));
}
