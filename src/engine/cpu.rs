//! The descent on the CPU, in `f32` (the racer) or `f64` (the oracle).

use super::{Descent, centre};
use crate::data::{Affinities, Embedding};
use crate::field::mesh::{self, Mesh};
use crate::field::total::{Totals, total};
use crate::field::{Account, FieldSums, Method, force_error, lanes};
use crate::kernel::Student;
use crate::objective::attraction::attraction_into;
use crate::objective::forward_kl;
use crate::objective::gather::Gathered;
use crate::objective::loss::{cross, entropy};
use crate::optimizer::Phase;
use crate::optimizer::step::{State, step};
use crate::real::Real;
use crate::{Error, Result};
use ndarray::{Array1, Array2};
use std::time::{Duration, Instant};

/// How long [`Descent::step`] goes on before it returns to be asked whether to stop.
const BATCH: Duration = Duration::from_millis(250);

/// The most bytes that a mesh may take: enough for maps some 10,000 units wide.
const MESH_BYTES: u64 = 8 << 30;

const CONTIGUOUS: &str = "matrices are made in standard layout";

/// t-SNE on the CPU.
pub struct Cpu<'a, T: Real> {
    affinities: &'a Affinities<T>,
    gathered: Option<Gathered<'a>>,
    entropy: f64,
    state: State<T>,
    mesh: Option<Mesh<T>>,
    sums: FieldSums<T>,
    pull: Array2<T>,
}

impl<'a, T: Real> Cpu<'a, T> {
    /// Goes on from a state of N points, for their affinities.
    pub fn new(affinities: &'a Affinities<T>, state: State<T>, field: Method) -> Cpu<'a, T> {
        let (n, dims) = state.points.dim();
        let zero = T::of(0.0);
        Cpu {
            affinities,
            gathered: Gathered::new(affinities),
            entropy: entropy(affinities),
            mesh: match field {
                Method::Exact => None,
                Method::Mesh(resolution) => Some(Mesh::new(mesh::Student { alpha: 1.0 }, dims, resolution, MESH_BYTES)),
            },
            sums: FieldSums { force: Array2::from_elem((n, dims), zero), weight: Array1::from_elem(n, zero) },
            pull: Array2::from_elem((n, dims), zero),
            state,
        }
    }

    /// Brings the attraction up to date with the map.
    fn attract(&mut self) {
        match &self.gathered {
            None => attraction_into(self.affinities, self.state.points.view(), Student, &mut self.pull),
            Some(gathered) => {
                // Only `f32` is gathered, so these casts keep the type.
                let map: &[f32] = bytemuck::cast_slice(self.state.points.as_slice().expect(CONTIGUOUS));
                let pull: &mut [f32] = bytemuck::cast_slice_mut(self.pull.as_slice_mut().expect(CONTIGUOUS));
                match self.state.points.ncols() {
                    2 => gathered.attraction::<2>(map.as_chunks().0, pull.as_chunks_mut().0),
                    _ => gathered.attraction::<3>(map.as_chunks().0, pull.as_chunks_mut().0),
                }
            }
        }
    }

    /// Brings the field up to date with the map.
    fn field(&mut self) -> Result<Totals<T>> {
        let points = self.state.points.view();
        match &mut self.mesh {
            None => self.sums = lanes::exact(points, Student),
            Some(mesh) => {
                let evaluated = mesh.evaluate(
                    points.as_slice().expect(CONTIGUOUS),
                    None,
                    self.sums.weight.as_slice_mut().expect(CONTIGUOUS),
                    self.sums.force.as_slice_mut().expect(CONTIGUOUS),
                );
                evaluated.map_err(|error| {
                    Error::job(
                        "mesh field",
                        error,
                        "lower --learning-rate, start from a smaller map, or use --field exact",
                    )
                })?;
            }
        }
        Ok(total(points, self.sums.weight.view()))
    }
}

impl<T: Real> Descent for Cpu<'_, T> {
    fn step(&mut self, phase: &Phase, count: usize) -> Result<usize> {
        let started = Instant::now();
        for done in 1..=count {
            let totals = self.field()?;
            self.attract();
            step(&mut self.state, phase, self.pull.view(), self.sums.force.view(), &totals);
            if started.elapsed() >= BATCH {
                return Ok(done);
            }
        }
        Ok(count)
    }

    fn embedding(&mut self) -> Result<Embedding<f32>> {
        Ok(centre(self.state.points.mapv(|y| y.wide() as f32)))
    }

    fn checkpoint(&mut self) -> Result<Option<State<f32>>> {
        Ok(None)
    }

    fn objective(&mut self) -> Result<f64> {
        let z = self.field()?.z;
        let points = self.state.points.view();
        let cross = match &self.gathered {
            None => cross(self.affinities, points, Student),
            Some(gathered) => {
                // Only `f32` is gathered, so this cast keeps the type.
                let map: &[f32] = bytemuck::cast_slice(points.as_slice().expect(CONTIGUOUS));
                match points.ncols() {
                    2 => gathered.cross::<2>(map.as_chunks().0),
                    _ => gathered.cross::<3>(map.as_chunks().0),
                }
            }
        };
        Ok(forward_kl(self.entropy, cross, z.wide(), points.nrows()))
    }

    fn account(&mut self) -> Result<Account> {
        if self.mesh.is_none() {
            return Ok(Account::exact());
        }
        self.field()?;
        let narrow = |values: &Array2<T>| values.mapv(|x| x.wide() as f32);
        let grid = self.mesh.as_ref().and_then(Mesh::grid);
        Ok(Account {
            grid: grid.map(|(size, _)| size.into_iter().filter(|&side| side > 1).collect()),
            spacing: grid.map(|(_, spacing)| spacing),
            force_error: force_error(narrow(&self.state.points).view(), narrow(&self.sums.force).view()),
        })
    }
}
