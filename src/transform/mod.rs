//! New points in a map that stands: each placed among the old ones, none of which moves.
//!
//! Given old points x_j with places y_j, and a new point x, its k nearest old points and, by the law that the map was made with, p_j over
//! them; then
//!
//! | family | the place y minimises | by |
//! |---|---|---|
//! | neighbours | a Σ_j p_j (log p_j − log w(D_j)) + log Σ_l w(D_l) | [`descend`](mod@descend) |
//! | distances | Σ_j misfit(d_j, δ_j) | [`stress`] |
//!
//! with the map's own kernel w and objective. The first is KL(p‖q) with q normalised over the old points (Poličar, Stražar and Zupan 2023,
//! "Embedding to reference t-SNE space addresses batch effects in single-cell classification", section 2.3), whatever the map's own q sums to 1
//! over; of methods that mix divergences it is the forward part.
//!
//! Shapes: old data `[N, M]` and new `[n, M]`, both narrowed as the map's were; the map `[N, d]`, d = 2 or 3; places `[n, d]`.
//!
//! A new point's place does not depend on the other new points, nor on the number of threads: neighbours, p, start and steps are its own,
//! and how the field of the old points is computed follows from the old points.

pub mod descend;
pub mod stress;

use crate::affinity::{self, Law};
use crate::field::mesh::{self, Landscape, Mesh, Resolution};
use crate::gpu::Gpu;
use crate::kernel::Similarity;
use crate::knn::{self, Metric};
use crate::objective::Objective;
use crate::plan::Plan;
use crate::{Error, Result};
use descend::Fixed;
use ndarray::{Array2, ArrayView2};

/// Steps where nothing else is asked for: twice as many move the digits of MNIST by less than a hundredth of the distance to their nearest
/// neighbours in the map (benches/notes/transform.md).
pub const ITERATIONS: usize = 50;

/// Old points from which the CPU takes their field from a mesh; below, exact sums take no longer than a mesh for few new points, and leave
/// nothing to doubt. It may not depend on the number of new points, whose places would.
pub const MESH_FROM: usize = 4_000;

/// Old points around whose mean a new one starts in a map of distances.
const NEAR_BY: usize = 10;

/// The most bytes of that mesh; a map too wide for it is summed exactly.
const MESH_BYTES: u64 = 4 << 30;

/// How new points are placed: what the map was made by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The map's.
    pub objective: Objective,
    /// Distance between rows.
    pub metric: Metric,
    /// How neighbours share the affinity of a new point.
    pub law: Law,
    /// Nearest old points of each new one.
    pub neighbors: usize,
    /// Factor on the affinities that the map ended with.
    pub attraction: f64,
    /// Steps.
    pub iterations: usize,
    /// Of what distance methods draw.
    pub seed: u64,
}

impl Settings {
    /// Those of the map that this plan made, whose perplexity may be another for new points.
    ///
    /// # Errors
    /// What [`check`] refuses; a perplexity that is out of reach, or that the map has no use for.
    pub fn of(plan: &Plan, metric: Metric, perplexity: Option<f64>) -> Result<Settings> {
        let of_neighbours = matches!(plan.objective, Objective::Neighbour(_));
        let law = match perplexity {
            None => plan.law.clone(),
            Some(_) if !of_neighbours => {
                let cause = "the map is one of distances, which has no neighbours to hold on to";
                return Err(Error::request("--perplexity", cause, "leave it out"));
            }
            Some(perplexity) => Law::Perplexity(perplexity),
        };
        // What lies beyond three perplexities adds little, even where the map's own points had all others.
        let most = match &law {
            _ if !of_neighbours => NEAR_BY,
            Law::Perplexity(perplexity) => affinity::default_neighbors(plan.n + 1, *perplexity),
            Law::Multiscale(all) => affinity::default_neighbors(plan.n + 1, all.iter().copied().fold(1.0, f64::max)),
            Law::Uniform | Law::Fixed(_) | Law::Given => plan.neighbors,
        };
        let neighbors = if perplexity.is_some() { most } else { most.min(plan.neighbors) }.min(plan.n);
        if let Some(perplexity) = perplexity {
            affinity::check_perplexity(perplexity, neighbors)?;
        }
        let settings = Settings {
            objective: plan.objective,
            metric,
            law,
            neighbors,
            attraction: plan.phases.last().map_or(1.0, |phase| phase.exaggeration),
            iterations: ITERATIONS,
            seed: plan.seed,
        };
        check(&settings)?;
        Ok(settings)
    }
}

/// Where new points lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// `[n, d]`.
    pub points: Array2<f32>,
    /// New points whose perplexity could not be reached.
    pub unreached: usize,
}

/// Places `new` points `[n, M]` among `old` ones `[N, M]`, whose `map` is `[N, d]`; on the device if there is one.
///
/// # Errors
/// Rows of another number of columns; what the metric refuses; a law of given affinities, or given distances, which say nothing of new points;
/// any fault of the device.
pub fn place(
    old: ArrayView2<f32>,
    map: ArrayView2<f32>,
    new: ArrayView2<f32>,
    settings: &Settings,
    gpu: Option<&Gpu>,
) -> Result<Placed> {
    check(settings)?;
    let k = settings.neighbors.clamp(1, old.nrows());
    let neighbors = match gpu {
        Some(gpu) => knn::exact_among_gpu(gpu, new, old, k, settings.metric)?,
        None => knn::exact_among(new, old, k, settings.metric)?,
    };
    let kernel = match settings.objective {
        Objective::Neighbour(method) => method.kernel,
        Objective::Distances(method) => {
            let near = stress::Near { neighbors: &neighbors, old, new, metric: settings.metric, seed: settings.seed };
            return Ok(Placed { points: stress::descend(map, &method, near, settings.iterations)?, unreached: 0 });
        }
    };
    let fixed = Fixed { map, kernel, attraction: settings.attraction };
    let conditionals = match gpu {
        Some(gpu) => affinity::conditionals_gpu(gpu, &neighbors, &settings.law)?,
        None => affinity::conditionals(&neighbors, &settings.law)?,
    };
    let points = match gpu {
        Some(gpu) => descend::descend_gpu(gpu, fixed, &neighbors, &conditionals, settings.iterations)?,
        None => {
            let landscape = landscape(map, kernel);
            descend::descend(fixed, &neighbors, &conditionals, landscape.as_ref(), settings.iterations)
        }
    };
    Ok(Placed { points, unreached: conditionals.unreached })
}

/// Refuses what new points cannot be placed by.
///
/// # Errors
/// See [`place`].
pub fn check(settings: &Settings) -> Result<()> {
    let refuse = |cause: &str| {
        let remedy = "make the map from rows, with affinities of its own";
        Err(Error::request("transform", cause, remedy))
    };
    if settings.metric == Metric::Precomputed {
        return refuse("the map was made of distances as given, which say nothing of new points");
    }
    if matches!((settings.objective, &settings.law), (Objective::Neighbour(_), Law::Given)) {
        return refuse("the map was made of affinities as given, which say nothing of new points");
    }
    Ok(())
}

/// The old points' field from a mesh, where there are many in the plane.
fn landscape(map: ArrayView2<f32>, kernel: Similarity) -> Option<Landscape<f32>> {
    let (n, dims) = map.dim();
    if dims != 2 || n < MESH_FROM {
        return None;
    }
    let flat = map.as_standard_layout();
    let mut mesh = match kernel {
        Similarity::Student(alpha) => Mesh::new(mesh::Student { alpha }, dims, Resolution::FINE, MESH_BYTES),
        Similarity::Gaussian => Mesh::new(mesh::Gaussian, dims, Resolution::FINE, MESH_BYTES),
    };
    mesh.landscape(flat.as_slice().expect("standard layout")).ok().flatten()
}
