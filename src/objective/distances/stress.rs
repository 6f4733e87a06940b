//! Stress, with powers of the input's distances as weights: metric MDS, Sammon's map, elastic scaling.
//!
//! ```text
//! stress_r = Σ_{i<j} δ_ij^(−r) (δ_ij − d_ij)² / Σ_{i<j} δ_ij^(2−r)
//! ```
//!
//! r = 0 is metric MDS (raw stress over Σ δ²), r = 1 Sammon's map (Sammon 1969, equation 1), r = 2 elastic scaling (McGee
//! 1966). Unlike Kruskal's stress-1 it has no root, and δ in its denominator.
//!
//! With weights w = δ^(−r), half the slope of a pair's loss is w (1 − δ/d) (y_i − y_j). The force is then for r = 0 the step of
//! SMACOF, which minimises a quadratic that touches the stress from above (de Leeuw 1977; Guttman's transform), so a step of this
//! length never raises it; for r > 0 it is the same with the diagonal of the quadratic in place of the whole.
//!
//! Pairs at δ = 0 have weight 0 in both sums where r > 0, and keep weight 1 where r = 0.

use super::{Distances, Form, Pair, PairLoss};
use crate::gpu::Part;
use crate::objective::{Method, Objective};
use crate::real::Real;
use crate::wgsl;

/// stress_r.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stress {
    /// r, at least 0.
    pub exponent: f64,
}

impl PairLoss for Stress {
    const PART: Part = wgsl!("objective/distances/stress.wgsl");

    const METHODS: &'static [Method] = &[
        Method {
            name: "mds",
            what: "metric MDS: squared differences of distances",
            title: "metric MDS",
            objective: Objective::Distances(Distances { form: Form::Stress, parameter: 0.0 }),
        },
        Method {
            name: "sammon",
            what: "Sammon's map: squared differences over the input's distances",
            title: "Sammon's map",
            objective: Objective::Distances(Distances { form: Form::Stress, parameter: 1.0 }),
        },
    ];

    fn new(parameter: f64) -> Self {
        Stress { exponent: parameter }
    }

    #[inline(always)]
    fn pair<T: Real>(self, d2: T, delta2: T) -> Pair<T> {
        let (zero, one, exponent) = (T::of(0.0), T::of(1.0), T::of(self.exponent));
        let known = delta2 > zero || (delta2 == zero && exponent == zero);
        let delta2 = if known { delta2 } else { zero };
        let (d, delta) = (d2.root(), delta2.root());
        let power = if exponent == zero {
            one
        } else if exponent == one {
            one / delta
        } else {
            (T::of(-0.5) * exponent * delta2.log()).exponential()
        };
        let weight = if known { power } else { zero };
        let miss = delta - d;
        let pull = if d2 > zero { weight - weight * delta / d } else { zero };
        Pair { pull, weight, misfit: weight * miss * miss, size: weight * delta2 }
    }
}
