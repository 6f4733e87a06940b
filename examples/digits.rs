//! A map of the digits, with its picture.

#![allow(clippy::disallowed_macros, reason = "an example is a program of its own, and talks")]

use nearfield::render::{self, Map};
use nearfield::{Embedding, input};
use std::path::Path;

fn main() -> nearfield::Result<()> {
    let digits = input::read(&input::Request::new("sample:digits"))?;
    let fitted = Embedding::tsne().perplexity(30.0).seed(1).fit(&digits.points)?;
    println!("{} points, KL {:.3} after {} iterations", fitted.map.nrows(), fitted.objective, fitted.iterations);
    let map = Map { labels: digits.labels.as_ref(), title: "digits", ..Map::new(fitted.map.view()) };
    render::write(Path::new("digits.png"), &map)
}
