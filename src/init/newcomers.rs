//! Points that a map to start from does not have, put among those that it has.

use super::{Normal, START_DEVIATION};
use ndarray::{Array2, ArrayView2};

/// Neighbours that have a place, of which one without is put in the middle.
const AMONG: usize = 10;

/// Gives every row of NaN a place: the mean of those of its nearest neighbours that have one, round after round until all have, and the
/// middle of the map where none of them ever has; then as much noise as keeps equals from staying together.
///
/// `start` is `[N, d]`, `neighbors` `[N, k]`, nearest first.
pub fn place(start: &mut Array2<f32>, neighbors: ArrayView2<u32>, seed: u64) {
    let is_new: Vec<bool> = start.outer_iter().map(|y| y.iter().any(|y| y.is_nan())).collect();
    let dims = start.ncols();
    let mean_of = |start: &Array2<f32>, rows: &mut dyn Iterator<Item = usize>| {
        let (mut sum, mut count) = (vec![0.0f64; dims], 0.0f64);
        for row in rows {
            sum.iter_mut().zip(start.row(row)).for_each(|(sum, &y)| *sum += f64::from(y));
            count += 1.0;
        }
        (count > 0.0).then(|| sum.into_iter().map(|sum| (sum / count) as f32).collect::<Vec<f32>>())
    };
    let mut has_place: Vec<bool> = is_new.iter().map(|new| !new).collect();
    let middle = mean_of(start, &mut (0..start.nrows()).filter(|&i| has_place[i])).unwrap_or_else(|| vec![0.0; dims]);
    loop {
        // By the places of the last round, so that the order of the points is of no matter.
        let found: Vec<(usize, Vec<f32>)> = (0..start.nrows())
            .filter(|&i| !has_place[i])
            .filter_map(|i| {
                let mut placed =
                    neighbors.row(i).into_iter().map(|&j| j as usize).filter(|&j| has_place[j]).take(AMONG);
                mean_of(start, &mut placed).map(|place| (i, place))
            })
            .collect();
        if found.is_empty() {
            break;
        }
        for (i, place) in found {
            start.row_mut(i).iter_mut().zip(place).for_each(|(y, x)| *y = x);
            has_place[i] = true;
        }
    }
    for i in (0..start.nrows()).filter(|&i| !has_place[i]) {
        start.row_mut(i).iter_mut().zip(&middle).for_each(|(y, &x)| *y = x);
    }
    for c in 0..dims {
        let mut noise = Normal::new(seed, c as u64).map(|z| (START_DEVIATION * z) as f32);
        for i in (0..start.nrows()).filter(|&i| is_new[i]) {
            start[[i, c]] += noise.next().unwrap_or_default();
        }
    }
}
