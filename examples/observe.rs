//! Watches a descent and ends it when the objective hardly falls any more; then asks how well the map shows the data.

#![allow(clippy::disallowed_macros, reason = "an example is a program of its own, and talks")]

use nearfield::knn::Metric;
use nearfield::{Embedding, input, score};

fn main() -> nearfield::Result<()> {
    let digits = input::read(&input::Request::new("sample:digits"))?;
    let mut before = f64::INFINITY;
    let fitted = Embedding::ssne().trace_every(25).fit_observed(&digits.points, |reading| {
        println!("iteration {:4}: divergence {:.4}", reading.iteration, reading.objective);
        let falls = reading.iteration <= 300 || reading.objective < 0.999 * before;
        before = reading.objective;
        falls
    })?;
    let scores = score::scores(
        digits.points.view(),
        Metric::Euclidean,
        fitted.map.view(),
        digits.labels.as_ref(),
        &score::Settings { points: Some(500), ..Default::default() },
    )?;
    for score in scores.scores {
        println!("{:<26}{:.3}", score.name, score.estimate.value);
    }
    Ok(())
}
