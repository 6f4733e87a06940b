//! The descent on the CPU, in `f32` (the racer) or `f64` (the oracle).

use super::{Descent, centre};
use crate::Result;
use crate::data::{Affinities, Embedding};
use crate::field::total::total;
use crate::field::{FieldSums, lanes};
use crate::kernel::Student;
use crate::objective::attraction::attraction;
use crate::objective::forward_kl;
use crate::objective::loss::{cross, entropy};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, step};
use crate::real::Real;
use ndarray::Array2;
use std::time::{Duration, Instant};

/// How long [`Descent::step`] goes on before it returns to be asked whether to stop.
const BATCH: Duration = Duration::from_millis(250);

/// t-SNE on the CPU.
pub struct Cpu<'a, T> {
    affinities: &'a Affinities<T>,
    entropy: f64,
    state: State<T>,
}

impl<'a, T: Real> Cpu<'a, T> {
    /// Starts at rest from a map [N, d] for N points' affinities.
    pub fn new(affinities: &'a Affinities<T>, start: Array2<T>) -> Cpu<'a, T> {
        Cpu { affinities, entropy: entropy(affinities), state: State::at_rest(start) }
    }

    /// The map as it is, not centred.
    pub fn points(&self) -> &Array2<T> {
        &self.state.points
    }

    fn field(&self) -> FieldSums<T> {
        lanes::exact(self.state.points.view(), Student)
    }
}

impl<T: Real> Descent for Cpu<'_, T> {
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize> {
        let started = Instant::now();
        for done in 1..=count {
            let field = self.field();
            let totals = total(self.state.points.view(), field.weight.view());
            let pull = attraction(self.affinities, self.state.points.view(), Student);
            step(&mut self.state, phase, pull.view(), &field, &totals);
            if started.elapsed() >= BATCH {
                return Ok(done);
            }
        }
        Ok(count)
    }

    fn embedding(&mut self) -> Result<Embedding<f32>> {
        Ok(centre(self.state.points.mapv(|y| y.wide() as f32)))
    }

    fn objective(&mut self) -> Result<f64> {
        let points = self.state.points.view();
        let z = total(points, self.field().weight.view()).z;
        Ok(forward_kl(self.entropy, cross(self.affinities, points, Student), z.wide(), points.nrows()))
    }
}
