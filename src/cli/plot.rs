//! `nearfield plot`: saved maps drawn again, one by itself or several beside each other.

use super::args::{AlignChoice, Plot};
use super::{End, host, outputs, progress};
use crate::data::{Input, Labels, Points};
use crate::score::Superposition;
use crate::{Error, Result, input, render};
use ndarray::{Array2, Axis};
use std::collections::HashMap;

/// A saved map, read.
struct Saved {
    name: String,
    points: Array2<f32>,
    input: Input,
    title: String,
}

/// Runs the command.
pub fn run(arguments: &Plot) -> Result<End> {
    let check = if arguments.maps.len() > 1 { render::check_panels } else { outputs::check };
    arguments.outputs.iter().try_for_each(|path| check(path))?;
    let read = arguments.maps.iter().chain(arguments.labels.as_ref()).chain(arguments.id.as_ref());
    outputs::check_distinct(arguments.outputs.iter(), &read.map(|path| Some(path.as_str())).collect::<Vec<_>>())?;
    if arguments.titles.len() > arguments.maps.len() {
        let cause = format!("{} titles for {} maps", arguments.titles.len(), arguments.maps.len());
        return Err(Error::request("--titles", cause, "give one for each map"));
    }
    let mut maps = Vec::new();
    for (i, path) in arguments.maps.iter().enumerate() {
        maps.push(saved(arguments, i, path)?);
    }
    let matched = match maps.len() {
        1 => Vec::new(),
        _ => beside(arguments, &mut maps)?,
    };
    let notes: Vec<String> = maps.iter().flat_map(|map| &map.input.notes).cloned().collect();
    notes.iter().chain(&matched).for_each(|note| progress::line(note));
    let counts = match maps.iter().map(|map| map.points.nrows()).collect::<Vec<_>>()[..] {
        [n] => format!("{n} points"),
        ref counts if counts.iter().all(|n| *n == counts[0]) => format!("{} points each", counts[0]),
        ref counts => format!("{} points", counts.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let caption = [vec![counts], matched].concat().join(" · ");
    let drawn: Vec<render::Map> = maps
        .iter()
        .map(|map| render::Map {
            labels: map.input.labels.as_ref(),
            ids: map.input.ids.as_deref(),
            columns: &map.input.columns,
            title: &map.title,
            caption: &caption,
            style: arguments.style.style(),
            ..render::Map::new(map.points.view())
        })
        .collect();
    let written = arguments.outputs.iter().map(|path| match drawn[..] {
        [ref map] => outputs::write(path, map),
        ref maps => render::write_panels(path, maps),
    });
    // One full disk does not keep a picture from another.
    written.collect::<Vec<_>>().into_iter().collect::<Result<()>>()?;
    let written: Vec<String> = arguments.outputs.iter().map(|path| path.display().to_string()).collect();
    progress::line(&format!("wrote {}", written.join(", ")));
    Ok(End::Done)
}

fn saved(arguments: &Plot, i: usize, path: &str) -> Result<Saved> {
    let request = input::Request {
        labels: arguments.color_by.as_deref().or(arguments.labels.as_deref()),
        id: arguments.id.as_deref(),
        columns: &arguments.columns,
        header: arguments.header.into(),
        memory: host::memory_budget(),
        ..input::Request::new(path)
    };
    let mut input = input::open_map(&request).map_err(|error| match &arguments.color_by {
        // What is no column is taken for a file, which is not what this option means.
        Some(color) if error.to_string().starts_with("--labels ") => {
            let remedy = "name a column of every map, or give a file by --labels";
            Error::request(format!("--color-by {color}"), format!("{path} has no such column"), remedy)
        }
        _ => error,
    })?;
    let points = match std::mem::replace(&mut input.points, Points::Dense(Array2::zeros((0, 0)))) {
        Points::Dense(points) => points,
        Points::Sparse(sparse) => sparse.dense(),
        Points::Stored(_) => return Err(Error::request(path, "does not fit in memory", "give a smaller map")),
    };
    let title = match (arguments.titles.get(i), &arguments.title) {
        (Some(title), _) => title.clone(),
        (None, Some(title)) if arguments.maps.len() == 1 => title.clone(),
        _ => outputs::title(path),
    };
    Ok(Saved { name: path.to_owned(), points, input, title })
}

/// Makes maps comparable: aligned to the first, in the same colours. Says how alike they are.
fn beside(arguments: &Plot, maps: &mut [Saved]) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let (first, others) = maps.split_at_mut(1);
    let first = &first[0];
    for map in others {
        let pairs = pairs(first, map)?;
        if arguments.align == AlignChoice::Procrustes {
            let pairs = pairs.as_ref().ok_or_else(|| unmatched(first, map))?;
            if first.points.ncols() != map.points.ncols() {
                let cause =
                    format!("has {} dimensions, and {} has {}", map.points.ncols(), first.name, first.points.ncols());
                return Err(Error::request(&map.name, cause, "give --align none"));
            }
            let (here, there): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
            let (fixed, moved) = (first.points.select(Axis(0), &here), map.points.select(Axis(0), &there));
            let way = Superposition::new(fixed.view(), moved.view()).map_err(|_| {
                Error::request(
                    &map.name,
                    "all points of a map coincide, which has no shape to align",
                    "give --align none",
                )
            })?;
            map.points = way.apply(map.points.view());
            let common = match pairs.len() {
                n if n == map.points.nrows() => String::new(),
                n => format!(" by {n} points in common"),
            };
            said.push(format!("{} aligned{common}, disparity {:.3}", map.title, way.disparity));
        }
        // A map that says nothing of its points' classes has those of the first.
        if map.input.labels.is_none()
            && let (Some(labels), Some(pairs)) = (&first.input.labels, &pairs)
            && pairs.len() == map.points.nrows()
        {
            let mut of = vec![0; pairs.len()];
            pairs.iter().for_each(|&(here, there)| of[there] = here);
            map.input.labels = Some(match labels {
                Labels::Classes { names, of: classes } => {
                    Labels::Classes { names: names.clone(), of: of.iter().map(|&i| classes[i]).collect() }
                }
                Labels::Numbers(values) => Labels::Numbers(of.iter().map(|&i| values[i]).collect()),
            });
        }
    }
    if let Some(bare) = maps.iter().find(|map| map.input.labels.is_none())
        && let Some(labelled) = maps.iter().find(|map| map.input.labels.is_some())
    {
        let cause = format!("has no labels, where {} has", labelled.name);
        return Err(Error::request(&bare.name, cause, "give --labels FILE, or a column that all maps have"));
    }
    share_labels(maps)?;
    Ok(said)
}

/// Pairs of rows of the two maps that are the same point: of one name where both have names, else all in turn where there are as many.
fn pairs(first: &Saved, other: &Saved) -> Result<Option<Vec<(usize, usize)>>> {
    let (Some(here), Some(there)) = (&first.input.ids, &other.input.ids) else {
        let (n, m) = (first.points.nrows(), other.points.nrows());
        return Ok((n == m).then(|| (0..n).map(|i| (i, i)).collect()));
    };
    let index = |saved: &Saved, ids: &[String]| -> Result<HashMap<String, usize>> {
        let mut index = HashMap::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            if index.insert(id.clone(), row).is_some() {
                let cause = format!("two of its points are called {id:?}, by which maps are matched");
                return Err(Error::request(&saved.name, cause, "give every point a name of its own"));
            }
        }
        Ok(index)
    };
    index(first, here)?;
    let there = index(other, there)?;
    let pairs: Vec<(usize, usize)> =
        here.iter().enumerate().filter_map(|(row, id)| Some((row, *there.get(id)?))).collect();
    Ok((pairs.len() > first.points.ncols()).then_some(pairs))
}

fn unmatched(first: &Saved, other: &Saved) -> Error {
    let cause = match (&first.input.ids, &other.input.ids) {
        (Some(_), Some(_)) => format!("hardly any of its points have the names of those of {}", first.name),
        _ => format!("has {} points, and {} has {}", other.points.nrows(), first.name, first.points.nrows()),
    };
    Error::request(&other.name, cause, "maps of the same points can be aligned; give --align none for others")
}

/// The same class has the same number in all maps, and numbers are a quantity in all or in none.
fn share_labels(maps: &mut [Saved]) -> Result<()> {
    let labels: Vec<&Labels> = maps.iter().filter_map(|map| map.input.labels.as_ref()).collect();
    let names = |labels: &Labels| match labels {
        Labels::Classes { names, .. } => Some(names.clone()),
        Labels::Numbers(_) => None,
    };
    if labels.is_empty() || labels.iter().all(|other| names(other) == names(labels[0])) {
        return Ok(());
    }
    let texts = labels.iter().flat_map(|labels| (0..labels.len()).map(|i| labels.text(i))).collect();
    let all = input::labels_of("the labels of all maps", texts)?;
    let mut start = 0;
    for map in maps {
        let range = start..start + map.points.nrows();
        start = range.end;
        map.input.labels = Some(match &all {
            Labels::Classes { names, of } => Labels::Classes { names: names.clone(), of: of[range].to_vec() },
            Labels::Numbers(values) => Labels::Numbers(values[range].to_vec()),
        });
    }
    Ok(())
}
