//! The descent on the CPU, in `f32` (the racer) or `f64` (the oracle).

use super::{Descent, LOOK_EVERY, LOOKED_AT, Made, Part, REFINE_ABOVE, Snapshot, centre};
use crate::data::{Affinities, Embedding};
use crate::field::mesh::Resolution;
use crate::field::mesh::{self, Mesh, MeshError};
use crate::field::rows::RowField;
use crate::field::total::{Totals, total};
use crate::field::{Account, FieldSums, Method, lanes, sample_of, sampled_error};
use crate::kernel::{Similarity, Student};
use crate::objective::attraction::attraction_into;
use crate::objective::dense::{Row, partition, push_into};
use crate::objective::distances::{self, Misfit};
use crate::objective::gather::Gathered;
use crate::objective::loss::{cross, entropy, forward_kl};
use crate::objective::{Goal, Neighbour, Normalization};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, step};
use crate::real::Real;
use crate::{Error, Result, with_kernel};
use ndarray::{Array1, Array2, ArrayView1};
use std::time::{Duration, Instant};

/// How long [`Descent::step`] goes on before it returns to be asked whether to stop.
const BATCH: Duration = Duration::from_millis(250);

/// The most bytes that a mesh may take, but for that of t-SNE in space: enough for maps some 10,000 units wide.
const MESH_BYTES: u64 = 8 << 30;

const CONTIGUOUS: &str = "matrices are made in standard layout";

/// A descent on the CPU.
pub struct Cpu<'a, T: Real> {
    goal: Goal<'a, T>,
    attraction: Option<Attraction<'a, T>>,
    field: Field<T>,
    state: State<T>,
    sums: FieldSums<T>,
    /// Of the field as it last was.
    totals: Totals<T>,
    /// The λ of the field as it last was, if the map has not moved since.
    fresh: Option<f64>,
    pull: Array2<T>,
    /// As it last was.
    cross: f64,
    /// Iterations done.
    steps: usize,
    /// Of the mesh, if there is one, and what is made of a mesh that errs too much.
    resolution: Option<Resolution>,
}

/// The edges, and what of the objective the map does not change.
struct Attraction<'a, T: Real> {
    affinities: &'a Affinities<T>,
    gathered: Option<Gathered<'a>>,
    kernel: Similarity,
    entropy: f64,
}

/// How the rest of the gradient is computed.
enum Field<T: Real> {
    /// All pairs of t-SNE.
    Pairs,
    /// Unit charges on a mesh.
    Mesh(Mesh<T>),
    /// Two charges on a mesh.
    Rows(RowField<T>),
    /// All pairs of any other neighbour method.
    Dense(Vec<Row<T>>),
    /// All pairs of a distance method.
    Distances(Vec<Misfit<T>>),
}

impl<T: Real> Field<T> {
    fn by_mesh(method: &Neighbour, resolution: Resolution, n: usize, dims: usize) -> Field<T> {
        let mesh = match method.kernel {
            kernel if dims == 3 && kernel == Similarity::Student(1.0) => {
                Mesh::new(mesh::Student { alpha: 1.0 }, dims, resolution, mesh::bytes_in_space(n))
            }
            Similarity::Student(alpha) => Mesh::new(mesh::Student { alpha }, dims, resolution, MESH_BYTES),
            Similarity::Gaussian => Mesh::new(mesh::Gaussian, dims, resolution, MESH_BYTES),
        };
        match method.normalization {
            Normalization::Global => Field::Mesh(mesh),
            Normalization::Row => Field::Rows(RowField::new(mesh)),
        }
    }
}

impl<'a> Cpu<'a, f32> {
    /// Goes on from where another descent towards this goal was; `field` is what that began with.
    pub fn resumed(goal: Goal<'a, f32>, snapshot: Snapshot, field: Method) -> Cpu<'a, f32> {
        let (field, steps) = (snapshot.field(field, false), snapshot.iterations);
        Cpu { steps, ..Cpu::new(goal, snapshot.state, field) }
    }
}

impl<'a, T: Real> Cpu<'a, T> {
    /// Goes on from a state of N points towards their goal.
    ///
    /// The mesh serves forward divergences only (`plan` refuses the rest).
    pub fn new(goal: Goal<'a, T>, state: State<T>, field: Method) -> Cpu<'a, T> {
        let (n, dims) = state.points.dim();
        let zero = T::of(0.0);
        let resolution = match field {
            Method::Mesh(resolution) => Some(resolution),
            Method::Exact => None,
        };
        let field = match (&goal, field) {
            (Goal::Distances { .. }, _) => Field::Distances(Vec::new()),
            (Goal::Neighbour { method, .. }, Method::Mesh(resolution)) => Field::by_mesh(method, resolution, n, dims),
            (Goal::Neighbour { method, .. }, Method::Exact) if method.is_plain() => Field::Pairs,
            (Goal::Neighbour { .. }, Method::Exact) => Field::Dense(Vec::new()),
        };
        let attraction = match goal {
            Goal::Neighbour { method, affinities, row_entropy, .. } => Some(Attraction {
                affinities,
                gathered: Gathered::new(affinities),
                kernel: method.kernel,
                entropy: match method.normalization {
                    Normalization::Global => entropy(affinities),
                    Normalization::Row => row_entropy,
                },
            }),
            Goal::Distances { .. } => None,
        };
        Cpu {
            goal,
            attraction,
            field,
            sums: FieldSums { force: Array2::from_elem((n, dims), zero), weight: Array1::from_elem(n, T::of(1.0)) },
            totals: Totals { z: zero, sum: [zero; 3] },
            fresh: None,
            pull: Array2::from_elem((n, dims), zero),
            cross: 0.0,
            steps: 0,
            resolution,
            state,
        }
    }

    /// Makes the mesh finer if it errs too much at the map as it is now.
    fn refine(&mut self, lambda: f64) -> Result<()> {
        let (n, dims) = self.state.points.dim();
        let finer = self.resolution.filter(|_| dims == 2).and_then(|resolution| resolution.finer(false));
        let (Some(finer), Goal::Neighbour { method, .. }) = (finer, self.goal) else { return Ok(()) };
        self.field(lambda)?;
        if self.force_error(method.kernel, LOOKED_AT) > REFINE_ABOVE {
            self.field = Field::by_mesh(&method, finer, n, dims);
            self.fresh = None;
            self.resolution = Some(finer);
        }
        Ok(())
    }

    /// Of the field as it last was, over so many points.
    fn force_error(&self, kernel: Similarity, sample: usize) -> f64 {
        let narrow = |values: &Array2<T>| values.mapv(|x| x.wide() as f32);
        let log_z: Option<Vec<f32>> = match &self.field {
            Field::Rows(rows) => Some(rows.log_z.iter().map(|z| z.wide() as f32).collect()),
            _ => None,
        };
        let (points, force) = (narrow(&self.state.points), narrow(&self.sums.force));
        sampled_error(points.view(), force.view(), kernel, log_z.as_deref().map(ArrayView1::from), sample)
    }

    /// Brings the attraction up to date with the map.
    fn attract(&mut self) {
        if let Some(attraction) = &self.attraction {
            attraction.pull(&self.state.points, &mut self.pull);
        }
    }

    /// Brings the field up to date with the map, at this λ.
    fn field(&mut self, lambda: f64) -> Result<Totals<T>> {
        if self.fresh == Some(lambda) {
            return Ok(self.totals);
        }
        let points = self.state.points.view();
        let force = &mut self.sums.force;
        match (&mut self.field, self.goal) {
            (Field::Pairs, _) => self.sums = lanes::exact(points, Student),
            (Field::Mesh(mesh), _) => {
                let (flat, phi) = (points.as_slice(), self.sums.weight.as_slice_mut());
                mesh.evaluate(
                    flat.expect(CONTIGUOUS),
                    None,
                    phi.expect(CONTIGUOUS),
                    force.as_slice_mut().expect(CONTIGUOUS),
                )
                .map_err(no_mesh)?;
            }
            (Field::Rows(rows), Goal::Neighbour { method, .. }) => {
                let force = force.as_slice_mut().expect(CONTIGUOUS);
                with_kernel!(method.kernel, kernel => rows.evaluate(points, kernel, force)).map_err(no_mesh)?;
            }
            (Field::Dense(rows), Goal::Neighbour { method, reference, .. }) => {
                let method = Neighbour { lambda, ..method };
                let reference = reference.filter(|_| lambda < 1.0);
                with_kernel!(method.kernel, kernel => {
                    *rows = partition(points, kernel, &method, reference);
                    push_into(points, kernel, &method, reference, rows, force);
                });
            }
            (Field::Distances(rows), Goal::Distances { method, delta }) => {
                *rows = method.pull_into(points, delta, force);
            }
            _ => unreachable!("a field is made for its goal"),
        }
        // The pushes of rows, of the dense pass and of distances are the gradient's own: with weights of 1, N / Z is 1.
        self.totals = total(points, self.sums.weight.view());
        self.fresh = Some(lambda);
        Ok(self.totals)
    }

    /// Moves the map by one step.
    fn advance(&mut self, phase: &Phase) {
        step(&mut self.state, phase, self.pull.view(), self.sums.force.view(), &self.totals);
        self.fresh = None;
    }

    /// The objective and the forward divergence at the map as it is now.
    fn loss(&mut self) -> Result<(f64, Option<f64>)> {
        let n = self.state.points.nrows();
        let Goal::Neighbour { method, reference, .. } = self.goal else {
            self.field(1.0)?;
            let Field::Distances(rows) = &self.field else { unreachable!("a field is made for its goal") };
            return Ok((distances::objective(rows), None));
        };
        let mean = |values: &mut dyn Iterator<Item = T>| values.map(Real::wide).sum::<f64>() / n as f64;
        let points = self.state.points.view();
        let (log_z, reverse) = if matches!(self.field, Field::Dense(_)) {
            let rows = with_kernel!(method.kernel, kernel => partition(points, kernel, &method, reference));
            (mean(&mut rows.iter().map(|row| row.log_z)), mean(&mut rows.iter().map(|row| row.reverse)))
        } else {
            let z = self.field(1.0)?.z;
            match &self.field {
                Field::Rows(rows) => (mean(&mut rows.log_z.iter().copied()), 0.0),
                _ => (z.wide().ln(), 0.0),
            }
        };
        let attraction = self.attraction.as_ref().expect("a neighbour method has edges");
        let forward = forward_kl(attraction.entropy, attraction.cross(&self.state.points), log_z, n);
        Ok((method.lambda * forward + (1.0 - method.lambda) * reverse, Some(forward)))
    }
}

fn no_mesh(error: MeshError) -> Error {
    Error::job("mesh field", error, "lower --learning-rate, start from a smaller map, or use --field exact")
}

impl<T: Real> Attraction<'_, T> {
    fn pull(&self, points: &Array2<T>, pull: &mut Array2<T>) {
        match &self.gathered {
            None => {
                with_kernel!(self.kernel, kernel => attraction_into(self.affinities, points.view(), kernel, pull));
            }
            Some(gathered) => {
                // Only `f32` is gathered, so these casts keep the type.
                let map: &[f32] = bytemuck::cast_slice(points.as_slice().expect(CONTIGUOUS));
                let pull: &mut [f32] = bytemuck::cast_slice_mut(pull.as_slice_mut().expect(CONTIGUOUS));
                match points.ncols() {
                    2 => gathered.attraction::<2>(map.as_chunks().0, self.kernel, pull.as_chunks_mut().0),
                    _ => gathered.attraction::<3>(map.as_chunks().0, self.kernel, pull.as_chunks_mut().0),
                }
            }
        }
    }

    /// −Σ N p_ij log w(D_ij).
    fn cross(&self, points: &Array2<T>) -> f64 {
        match &self.gathered {
            None => with_kernel!(self.kernel, kernel => cross(self.affinities, points.view(), kernel)),
            Some(gathered) => {
                // Only `f32` is gathered, so this cast keeps the type.
                let map: &[f32] = bytemuck::cast_slice(points.as_slice().expect(CONTIGUOUS));
                match points.ncols() {
                    2 => gathered.cross::<2>(map.as_chunks().0, self.kernel),
                    _ => gathered.cross::<3>(map.as_chunks().0, self.kernel),
                }
            }
        }
    }
}

impl<T: Real> Descent for Cpu<'_, T> {
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize> {
        let started = Instant::now();
        for done in 1..=count {
            if self.steps > 0 && self.steps.is_multiple_of(LOOK_EVERY) {
                self.refine(phase.lambda)?;
            }
            self.steps += 1;
            self.field(phase.lambda)?;
            self.attract();
            self.advance(phase);
            if started.elapsed() >= BATCH {
                return Ok(done);
            }
        }
        Ok(count)
    }

    fn embedding(&mut self) -> Result<Embedding<f32>> {
        Ok(centre(self.state.points.mapv(|y| y.wide() as f32)))
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let narrow = |values: &Array2<T>| values.mapv(|x| x.wide() as f32);
        let State { points, velocity, gains } = &self.state;
        let state = State { points: narrow(points), velocity: narrow(velocity), gains: narrow(gains) };
        Ok(Snapshot { iterations: self.steps, state, resolution: self.resolution, grid: None })
    }

    fn objective(&mut self) -> Result<f64> {
        Ok(self.loss()?.0)
    }

    fn part(&mut self, part: Part, phase: &Phase, count: usize) -> Result<()> {
        for _ in 0..count {
            match part {
                Part::Field => {
                    self.fresh = None;
                    self.field(phase.lambda)?;
                }
                Part::Attraction => self.attract(),
                Part::Step => self.advance(phase),
                Part::Loss => {
                    let points = self.state.points.view();
                    if let (Field::Dense(rows), Goal::Neighbour { method, reference, .. }) =
                        (&mut self.field, self.goal)
                    {
                        *rows = with_kernel!(method.kernel, kernel => partition(points, kernel, &method, reference));
                    }
                    if let Some(attraction) = &self.attraction {
                        self.cross = attraction.cross(&self.state.points);
                    }
                }
            }
        }
        Ok(())
    }

    fn made(&mut self) -> Result<Made> {
        let narrow = |values: &Array2<T>| values.mapv(|x| x.wide() as f32);
        Ok(Made {
            points: narrow(&self.state.points),
            force: narrow(&self.sums.force),
            weight: self.sums.weight.mapv(|x| x.wide() as f32),
            pull: narrow(&self.pull),
            cross: self.cross,
        })
    }

    fn account(&mut self) -> Result<Account> {
        let (_, kl) = self.loss()?;
        let (mesh, isolated) = match &self.field {
            Field::Mesh(mesh) => (mesh, 0),
            Field::Rows(rows) => (&rows.mesh, rows.isolated),
            _ => return Ok(Account { kl, ..Account::exact() }),
        };
        let Goal::Neighbour { method, .. } = self.goal else { unreachable!("only these have a mesh") };
        let grid = mesh.grid();
        Ok(Account {
            grid: grid.map(|(size, _)| size.into_iter().filter(|&side| side > 1).collect()),
            spacing: grid.map(|(_, spacing)| spacing),
            order: self.resolution.map(|resolution| resolution.order),
            force_error: self.force_error(method.kernel, sample_of(self.state.points.nrows())),
            isolated,
            kl,
        })
    }
}
