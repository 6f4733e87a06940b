//! What must be true of the nouns whatever the data, by name. Each says what is wrong and where.

use nearfield::data::{Affinities, Conditionals, Neighbors};
use nearfield::real::Real;

/// Rows of [N, k] ascend strictly, hold neither the row itself nor an index of N or more; δ² is finite and not negative.
pub fn neighbors_are_others_in_order<T: Real>(neighbors: &Neighbors<T>) -> Result<(), String> {
    let (n, k) = neighbors.indices.dim();
    if neighbors.d2.dim() != (n, k) || n == 0 || k == 0 {
        return Err(format!("{:?} indices, {:?} distances", neighbors.indices.dim(), neighbors.d2.dim()));
    }
    for (i, row) in neighbors.indices.outer_iter().enumerate() {
        if row.iter().zip(row.iter().skip(1)).any(|(a, b)| a >= b) {
            return Err(format!("row {i} does not ascend: {row}"));
        }
        if row.iter().any(|&j| j as usize == i || j as usize >= n) {
            return Err(format!("row {i} holds itself or a stranger: {row}"));
        }
    }
    match neighbors.d2.indexed_iter().find(|(_, d2)| !(d2.wide() >= 0.0 && d2.finite())) {
        Some((at, d2)) => Err(format!("a squared distance of {d2} at {at:?}")),
        None => Ok(()),
    }
}

/// Σ_j p_j|i = 1 for every i, and no p is negative. `bound` is absolute.
pub fn rows_of_p_sum_to_one<T: Real>(conditionals: &Conditionals<T>, bound: f64) -> Result<(), String> {
    if conditionals.p.is_empty() {
        return Err("no rows".into());
    }
    for (i, row) in conditionals.p.outer_iter().enumerate() {
        let sum: f64 = row.iter().map(|p| p.wide()).sum();
        if !((sum - 1.0).abs() <= bound) || row.iter().any(|p| p.wide() < 0.0) {
            return Err(format!("row {i} of p sums to {sum}"));
        }
    }
    Ok(())
}

/// −Σ_j p_j|i ln p_j|i = ln(perplexity), for all rows but `unreached` of them. `bound` is absolute, in nats.
pub fn entropy_is_log_perplexity<T: Real>(
    conditionals: &Conditionals<T>,
    perplexity: f64,
    bound: f64,
) -> Result<(), String> {
    let mut missed = Vec::new();
    for (i, row) in conditionals.p.outer_iter().enumerate() {
        let entropy: f64 = row.iter().map(|p| p.wide()).filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
        if !((entropy - perplexity.ln()).abs() <= bound) {
            missed.push((i, entropy));
        }
    }
    if conditionals.p.is_empty() || missed.len() != conditionals.unreached {
        let first = missed.first();
        return Err(format!(
            "{} rows miss ln {perplexity}, {} are counted; {first:?}",
            missed.len(),
            conditionals.unreached
        ));
    }
    Ok(())
}

/// Offsets ascend to the number of entries, rows ascend strictly, the diagonal is empty, (i, j) and (j, i) have the same
/// bits, and nothing is negative or NaN.
pub fn affinities_are_symmetric<T: Real>(joint: &Affinities<T>) -> Result<(), String> {
    let n = joint.n_points();
    let ascends = joint.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let entries = joint.offsets[n];
    if n == 0 || !ascends || joint.offsets[0] != 0 || entries != joint.indices.len() || entries != joint.weights.len() {
        return Err("the offsets do not fit the entries".into());
    }
    for i in 0..n {
        let (columns, weights) = joint.row(i);
        if columns.windows(2).any(|pair| pair[0] >= pair[1]) || columns.contains(&(i as u32)) {
            return Err(format!("row {i} does not ascend or holds its own diagonal: {columns:?}"));
        }
        for (&j, &weight) in columns.iter().zip(weights) {
            let (back, back_weights) = joint.row(j as usize);
            let mirrored = back.binary_search(&(i as u32)).map(|at| back_weights[at]);
            if mirrored != Ok(weight) || !(weight.wide() >= 0.0) {
                return Err(format!("({i}, {j}) holds {weight} and ({j}, {i}) {mirrored:?}"));
            }
        }
    }
    Ok(())
}

/// Σ_ij N p_ij = N. `bound` is relative.
pub fn affinities_sum_to_n<T: Real>(joint: &Affinities<T>, bound: f64) -> Result<(), String> {
    // Row by row, so that this sum's own rounding stays small.
    let sum: f64 = (0..joint.n_points()).map(|i| joint.row(i).1.iter().map(|weight| weight.wide()).sum::<f64>()).sum();
    let n = joint.n_points() as f64;
    if (sum - n).abs() <= bound * n { Ok(()) } else { Err(format!("the weights sum to {sum}, not {n}")) }
}

/// The entries are exactly the edges (i, j) for which j is among i's neighbours or i among j's.
pub fn union_of_edges_is_kept<T: Real>(joint: &Affinities<T>, neighbors: &Neighbors<T>) -> Result<(), String> {
    let edges = neighbors.indices.indexed_iter().map(|((i, _), &j)| (i as u32, j));
    let mut expected: Vec<_> = edges.flat_map(|(i, j)| [(i, j), (j, i)]).collect();
    expected.sort_unstable();
    expected.dedup();
    let kept: Vec<_> = (0..joint.n_points()).flat_map(|i| joint.row(i).0.iter().map(move |&j| (i as u32, j))).collect();
    if expected.is_empty() {
        return Err("no edges".into());
    }
    match expected.iter().zip(&kept).find(|(expected, kept)| expected != kept) {
        Some((expected, kept)) => Err(format!("edge {kept:?} stands where {expected:?} is expected")),
        None if expected.len() != kept.len() => Err(format!("{} edges, {} expected", kept.len(), expected.len())),
        None => Ok(()),
    }
}
