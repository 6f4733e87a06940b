//! t-SNE's objective of any map.

use crate::Result;
use crate::affinity;
use crate::data::Dataset;
use crate::engine::{Cpu, Descent};
use crate::init::principal_components;
use crate::knn;
use crate::objective::Goal;
use crate::optimizer::step::State;
use crate::plan::{Plan, Settings, Shape};
use ndarray::ArrayView2;
use std::borrow::Cow;

/// KL(p‖q) in nats of t-SNE's p at this perplexity and the q of `map`, `[N, d]`, d = 2 or 3, as it stands: what `nearfield embed` would
/// report of it as its objective, with the reduction by principal components and the neighbours that it takes by default.
///
/// # Errors
/// As for [`Plan::resolve`]; [`crate::Error::Job`] where a map is too wide for the mesh.
pub fn kl(data: &Dataset, map: ArrayView2<f32>, settings: &Settings) -> Result<f64> {
    let (n, input_dims) = data.points.dim();
    let plan = Plan::resolve(settings, Shape { name: &data.name, n, input_dims }, None)?;
    let points = match plan.pca {
        Some(components) => Cow::Owned(principal_components(data.points.view(), components)?.scores),
        None => Cow::Borrowed(&data.points),
    };
    let (neighbors, _) = knn::neighbors(points.view(), plan.neighbors, settings.metric, plan.search, plan.seed, None)?;
    let affinities = affinity::affinities(&neighbors, &plan.law)?;
    let state = State::at_rest(map.to_owned());
    Cpu::new(Goal::tsne(&affinities), state, plan.method_of_field).objective()
}
