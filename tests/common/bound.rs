//! Comparison by bound: |x − x64| ≤ what rounding alone can explain, value by value.

use nearfield::real::Real;

/// How much of the bound the worst value used up: at most 1.
///
/// # Errors
///
/// Says which value, where lengths differ, nothing was compared, a bound is no bound, or a value misses it. NaN misses
/// every bound.
pub fn within<T: Real>(what: &str, got: &[T], want: &[f64], bound: &[f64]) -> Result<f64, String> {
    if got.len() != want.len() || got.len() != bound.len() {
        return Err(format!("{what}: {} values, {} expected, {} bounds", got.len(), want.len(), bound.len()));
    }
    if got.is_empty() {
        return Err(format!("{what}: nothing was compared"));
    }
    let mut worst = 0.0;
    for (i, ((got, &want), &bound)) in got.iter().zip(want).zip(bound).enumerate() {
        if !(0.0..f64::INFINITY).contains(&bound) {
            return Err(format!("{what}[{i}]: {bound} is no bound"));
        }
        let error = (got.wide() - want).abs();
        // Written so that NaN fails.
        if !(error <= bound) {
            return Err(format!("{what}[{i}]: {got} is {error:e} from {want}; the bound is {bound:e}"));
        }
        if bound > 0.0 {
            worst = f64::max(worst, error / bound);
        }
    }
    Ok(worst)
}

/// [`within`], with one bound for all values relative to each: c·u·|x64|.
pub fn within_roundings<T: Real>(what: &str, got: &[T], want: &[f64], c: f64) -> Result<f64, String> {
    within(what, got, want, &want.iter().map(|want| c * T::ROUNDOFF * want.abs()).collect::<Vec<_>>())
}

/// Equality bit for bit, which rounding cannot excuse: for exact selections and for repetitions.
pub fn identical<T: PartialEq + std::fmt::Debug>(what: &str, got: &[T], want: &[T]) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{what}: {} values, {} expected", got.len(), want.len()));
    }
    if got.is_empty() {
        return Err(format!("{what}: nothing was compared"));
    }
    match got.iter().zip(want).position(|(got, want)| got != want) {
        Some(i) => Err(format!("{what}[{i}]: {:?} instead of {:?}", got[i], want[i])),
        None => Ok(()),
    }
}
