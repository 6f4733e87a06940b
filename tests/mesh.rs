//! The mesh field against plain sums over all pairs in `f64`.
//!
//! Each comparison is also shown to fail: what was accepted is moved by twice its bound and must then be refused.

use nearfield::field::mesh::{Gaussian, Mesh, MeshError, Profile, Resolution, Student};
use nearfield::real::Real;
use rayon::prelude::*;

/// Bytes allowed to a mesh here.
const LIMIT: u64 = 1 << 30;
/// The force error that [`Resolution::STANDARD`] promises, relative, L2 over points.
const STANDARD_ERROR: f64 = 0.01;
/// That of [`Resolution::FINE`].
const FINE_ERROR: f64 = 0.001;
/// Z = Σφ is a mean over all pairs: it was measured ten times as good as the force and better.
const Z_ERROR: f64 = 0.001;

#[derive(Debug, Clone, Copy)]
enum Kernel {
    Student(f64),
    Gaussian,
}

const KERNELS: [Kernel; 4] = [Kernel::Student(1.0), Kernel::Student(0.5), Kernel::Student(2.0), Kernel::Gaussian];

impl Kernel {
    /// w(D) and w·s.
    fn at(self, d2: f64) -> (f64, f64) {
        match self {
            Kernel::Student(alpha) => {
                let base = 1.0 + d2 / alpha;
                let w = if alpha == 1.0 { 1.0 / base } else { base.powf(-(alpha + 1.0) / 2.0) };
                (w, w * (alpha + 1.0) / (2.0 * alpha) / base)
            }
            Kernel::Gaussian => ((-d2).exp(), (-d2).exp()),
        }
    }

    fn mesh<T: Real>(self, dims: usize, resolution: Resolution) -> Mesh<T> {
        match self {
            Kernel::Student(alpha) => Mesh::new(Student { alpha }, dims, resolution, LIMIT),
            Kernel::Gaussian => Mesh::new(Gaussian, dims, resolution, LIMIT),
        }
    }
}

/// Numbers in [0, 1), the same ones for a seed.
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `n` points spread evenly over a cube whose side is `extent`, not centred.
fn cube(n: usize, dims: usize, extent: f64, seed: u64) -> Vec<f64> {
    let mut u = uniform(seed);
    (0..n * dims).map(|_| (u() - 0.3) * extent).collect()
}

fn charges(n: usize) -> Vec<f64> {
    let mut u = uniform(7);
    (0..n).map(|_| 0.1 + u()).collect()
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::of(x)).collect()
}

/// What `f32` makes of the values.
fn rounded(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&x| x as f32 as f64).collect()
}

/// A field at some of the points.
struct Field {
    phi: Vec<f64>,
    force: Vec<f64>,
}

/// Sums over all pairs at every `step`-th point.
fn exact(points: &[f64], dims: usize, charges: Option<&[f64]>, kernel: Kernel, step: usize) -> Field {
    let n = points.len() / dims;
    let rows: Vec<(f64, [f64; 3])> = (0..n.div_ceil(step))
        .into_par_iter()
        .map(|row| {
            let (i, mut phi, mut force) = (row * step, 0.0, [0.0; 3]);
            for j in (0..n).filter(|&j| j != i) {
                let mut apart = [0.0; 3];
                for d in 0..dims {
                    apart[d] = points[i * dims + d] - points[j * dims + d];
                }
                let (w, ws) = kernel.at(apart.iter().map(|x| x * x).sum());
                let charge = charges.map_or(1.0, |c| c[j]);
                phi += charge * w;
                for d in 0..dims {
                    force[d] += charge * ws * apart[d];
                }
            }
            (phi, force)
        })
        .collect();
    Field {
        phi: rows.iter().map(|row| row.0).collect(),
        force: rows.iter().flat_map(|row| row.1[..dims].to_vec()).collect(),
    }
}

/// The mesh's field at every `step`-th point, and Σ c φ over all. Outputs are filled with NaN beforehand.
fn by_mesh<T: Real>(
    mesh: &mut Mesh<T>,
    points: &[f64],
    dims: usize,
    charges: Option<&[f64]>,
    step: usize,
) -> (Field, f64) {
    let n = points.len() / dims;
    let (mut phi, mut force) = (vec![T::of(f64::NAN); n], vec![T::of(f64::NAN); n * dims]);
    let charges = charges.map(narrow);
    let z = mesh.evaluate(&narrow(points), charges.as_deref(), &mut phi, &mut force).expect("the map fits");
    let field = Field {
        phi: phi.iter().step_by(step).map(|x| x.wide()).collect(),
        force: force.chunks(dims).step_by(step).flatten().map(|x| x.wide()).collect(),
    };
    (field, z)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    assert!(!a.is_empty(), "nothing was compared");
    norm(a.iter().zip(b).map(|(a, b)| a - b)) / norm(b.iter().copied())
}

/// Whether `got` lies within `bound` of `want`; NaN does not.
fn accepts(got: &[f64], want: &[f64], bound: f64) -> bool {
    distance(got, want) <= bound
}

/// That `got` is accepted; and that it is refused once it is moved by twice the bound, or lost.
fn hold(name: &str, got: &[f64], want: &[f64], bound: f64) {
    assert!(accepts(got, want, bound), "{name}: error {:.3e} exceeds {bound:.1e}", distance(got, want));
    // The error that is there may point the other way: one of both signs must leave the bound.
    let moved = |by: f64| got.iter().zip(want).map(|(x, w)| x + by * w).collect::<Vec<_>>();
    let both = accepts(&moved(2.0 * bound), want, bound) && accepts(&moved(-2.0 * bound), want, bound);
    assert!(!both, "{name}: accepted what is wrong by twice the bound");
    let mut lost = got.to_vec();
    lost[0] = f64::NAN;
    assert!(!accepts(&lost, want, bound), "{name}: accepted NaN");
}

/// The standard mesh in `f32` at `points` against the sums over pairs.
fn agrees(name: &str, points: &[f64], dims: usize, charges: Option<&[f64]>, kernel: Kernel, step: usize) {
    agrees_within(STANDARD_ERROR, name, points, dims, charges, kernel, step);
}

fn agrees_within(
    bound: f64,
    name: &str,
    points: &[f64],
    dims: usize,
    charges: Option<&[f64]>,
    kernel: Kernel,
    step: usize,
) {
    let points = rounded(points);
    let charges = charges.map(rounded);
    let want = exact(&points, dims, charges.as_deref(), kernel, step);
    let mut mesh = kernel.mesh::<f32>(dims, Resolution::STANDARD);
    let (got, z) = by_mesh(&mut mesh, &points, dims, charges.as_deref(), step);
    hold(&format!("{name}, force"), &got.force, &want.force, bound);
    hold(&format!("{name}, potential"), &got.phi, &want.phi, bound);
    if step == 1 {
        let charge = |i: usize| charges.as_ref().map_or(1.0, |c| c[i]);
        let total: f64 = want.phi.iter().enumerate().map(|(i, phi)| charge(i) * phi).sum();
        hold(&format!("{name}, Z"), &[z], &[total], Z_ERROR);
    }
}

fn matches_sums_over_pairs(dims: usize, kernel: Kernel, extents: &[f64]) {
    let n = 3000;
    for &extent in extents {
        let points = cube(n, dims, extent, 3);
        let name = |charge| format!("{kernel:?} in {dims}-D, extent {extent}, {charge} charges");
        agrees(&name("unit"), &points, dims, None, kernel, 1);
        agrees(&name("random"), &points, dims, Some(&charges(n)), kernel, 7);
    }
}

#[test]
fn matches_sums_over_pairs_in_the_plane() {
    for kernel in KERNELS {
        matches_sums_over_pairs(2, kernel, &[1e-3, 1e-2, 0.1, 1.0, 10.0, 30.0, 100.0]);
    }
    matches_sums_over_pairs(2, Kernel::Student(1.0), &[300.0]);
}

#[test]
fn matches_sums_over_pairs_in_space() {
    for kernel in KERNELS {
        matches_sums_over_pairs(3, kernel, &[1e-3, 0.1, 3.0, 15.0]);
    }
    matches_sums_over_pairs(3, Kernel::Student(1.0), &[30.0]);
}

#[test]
#[ignore = "100,000 points on grids of some 3072²: seconds"]
fn matches_sums_over_pairs_on_a_map_1000_wide() {
    for kernel in KERNELS {
        agrees(&format!("{kernel:?}, 1000 wide"), &cube(100_000, 2, 1000.0, 5), 2, None, kernel, 100);
    }
}

#[test]
fn the_fine_resolution_keeps_its_promise() {
    for kernel in KERNELS {
        for extent in [1.0, 30.0, 100.0] {
            let points = rounded(&cube(4000, 2, extent, 11));
            let want = exact(&points, 2, None, kernel, 5);
            let (got, _) = by_mesh(&mut kernel.mesh::<f32>(2, Resolution::FINE), &points, 2, None, 5);
            hold(&format!("{kernel:?}, extent {extent}"), &got.force, &want.force, FINE_ERROR);
            let (got, _) = by_mesh(&mut kernel.mesh::<f32>(2, Resolution::PLANE), &points, 2, None, 5);
            hold(&format!("{kernel:?}, extent {extent}, plane"), &got.force, &want.force, STANDARD_ERROR / 2.0);
        }
    }
}

#[test]
fn any_profile_will_do() {
    // A kernel that has no far part to split off is padded to twice the map instead, and errs alike.
    let profile = |d2: f64| -d2 / (1.0 + d2);
    assert!(profile.far(1.0, 1.0).is_none());
    let points = cube(2000, 2, 60.0, 1);
    let want = exact(&points, 2, None, Kernel::Student(1.0), 3);
    let (whole, _) = by_mesh(&mut Mesh::<f64>::new(profile, 2, Resolution::STANDARD, LIMIT), &points, 2, None, 3);
    hold("whole", &whole.force, &want.force, STANDARD_ERROR);
    let (split, _) = by_mesh(&mut Kernel::Student(1.0).mesh::<f64>(2, Resolution::STANDARD), &points, 2, None, 3);
    hold("split against whole", &split.force, &whole.force, 0.05 * STANDARD_ERROR);
}

#[test]
fn boundary_cases() {
    for kernel in KERNELS {
        for dims in [2, 3] {
            let check_within = |bound: f64, what: &str, points: &[f64]| {
                agrees_within(bound, &format!("{kernel:?} in {dims}-D, {what}"), points, dims, None, kernel, 1);
            };
            let check = |what: &str, points: &[f64]| check_within(STANDARD_ERROR, what, points);
            let cell = cube(1000, dims, 0.1, 2);
            check("all in what is one cell of a wide map", &cell);
            let mut bulk = cube(1000, dims, 3.0, 2);
            bulk.extend(vec![30.0; dims]);
            check("one far away", &bulk);
            let wide = if dims == 2 { 200.0 } else { 40.0 };
            let (one, other) = (cube(800, dims, 3.0, 4), cube(800, dims, 3.0, 5));
            let moved = |axes: usize| {
                let by = |(at, x): (usize, &f64)| if at % dims < axes { x + wide } else { *x };
                one.iter().copied().chain(other.iter().enumerate().map(by)).collect::<Vec<_>>()
            };
            check("two clusters at opposite corners", &moved(dims));
            // Where a grid that is padded too little would let them meet.
            check("two clusters at the ends of an axis", &moved(1));
            // Thinner than a cell: forces along it nearly cancel and what the cell makes of them does not.
            check_within(
                5.0 * STANDARD_ERROR,
                "a line",
                &cube(500, 1, 25.0, 3).iter().flat_map(|&x| vec![x; dims]).collect::<Vec<_>>(),
            );
            check("far from the origin", &cube(1000, dims, 20.0, 6).iter().map(|x| x + 5000.0).collect::<Vec<_>>());
            for n in [2, 3, 4] {
                check(&format!("{n} points"), &cube(n, dims, 1.5, n as u64));
            }
        }
    }
}

#[test]
fn one_point_and_coincident_points_feel_no_force() {
    for dims in [2, 3] {
        for n in [0, 1, 5, 1000] {
            let mut mesh = Kernel::Student(1.0).mesh::<f32>(dims, Resolution::STANDARD);
            let (field, z) = by_mesh(&mut mesh, &vec![0.25; n * dims], dims, None, 1);
            let pairs = (n * n) as f64 - n as f64;
            assert!((z - pairs).abs() <= 1e-5 * pairs.max(1.0), "{n} points: Z = {z}");
            assert!(field.force.iter().all(|f| f.abs() <= 1e-5 * n as f64), "{n} points: {:?}", field.force);
        }
    }
}

#[test]
fn a_map_too_wide_is_an_error_that_says_what_it_takes() {
    let mut mesh = Kernel::Student(1.0).mesh::<f32>(2, Resolution::STANDARD);
    let (mut phi, mut force) = (vec![0.0; 3], vec![0.0; 6]);
    for wide in [1e6, 1e15, 3e38] {
        let error = mesh.evaluate(&[0.0, 0.0, 1.0, 0.5, wide, wide], None, &mut phi, &mut force).unwrap_err();
        let MeshError::TooLarge { bytes, limit, extent } = error else { panic!("{error}") };
        assert!(bytes > limit && limit == LIMIT.into() && extent > 0.9 * wide as f64, "{error}");
    }
    for bad in [f32::NAN, f32::INFINITY] {
        let error = mesh.evaluate(&[0.0, 0.0, 1.0, bad, 2.0, 0.0], None, &mut phi, &mut force).unwrap_err();
        assert_eq!(error, MeshError::NotFinite);
    }
    // And it goes on working.
    mesh.evaluate(&[0.0, 0.0, 1.0, 0.5, 2.0, 0.0], None, &mut phi, &mut force).unwrap();
    assert!(phi.iter().all(|x| x.is_finite() && *x > 0.0));
}

#[test]
fn the_error_falls_at_the_order_of_the_spline() {
    // In f64, where spacings are small against the kernel: a spline of order p has degree p − 1, so that its gradient
    // errs by h^(p−1) at least.
    let points = cube(3000, 2, 20.0, 9);
    let kernel = Kernel::Student(1.0);
    let want = exact(&points, 2, None, kernel, 5);
    for order in [3, 4, 5, 6] {
        let error = |spacing| {
            let mut mesh = kernel.mesh::<f64>(2, Resolution { order, spacing });
            distance(&by_mesh(&mut mesh, &points, 2, None, 5).0.force, &want.force)
        };
        let (wide, narrow) = (error(0.2), error(0.1));
        let rate = (wide / narrow).log2();
        assert!(rate > order as f64 - 1.3, "order {order}: {wide:.2e} at 0.2, {narrow:.2e} at 0.1, rate {rate:.2}");
    }
}

#[test]
fn forces_sum_to_nothing() {
    for dims in [2, 3] {
        for extent in [1e-3, 1.0, 20.0, 60.0] {
            let points = cube(5000, dims, extent, 8);
            let mut mesh = Kernel::Student(1.0).mesh::<f32>(dims, Resolution::STANDARD);
            let force = by_mesh(&mut mesh, &points, dims, None, 1).0.force;
            // One force of average size left out of the 5000 would be seen.
            let bound = 2e-4 * force.iter().map(|f| f.abs()).sum::<f64>() / dims as f64;
            for d in 0..dims {
                let sum: f64 = force.iter().skip(d).step_by(dims).sum();
                assert!(sum.abs() <= bound, "{dims}-D, extent {extent}: {sum:.2e}, allowed {bound:.2e}");
            }
        }
    }
}

#[test]
fn the_same_bytes_for_any_number_of_threads_and_any_history() {
    let (standard, fine) = (Resolution::STANDARD, Resolution::FINE);
    for (dims, extent, resolution) in [(2, 60.0, standard), (2, 60.0, fine), (3, 20.0, standard), (3, 60.0, standard)] {
        let n = 30_000;
        let points: Vec<f32> = narrow(&cube(n, dims, extent, 12));
        let charge: Vec<f32> = narrow(&charges(n));
        let run = |threads: usize, mesh: &mut Mesh<f32>| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut phi, mut force) = (vec![f32::NAN; n], vec![f32::NAN; n * dims]);
            let z = pool.install(|| mesh.evaluate(&points, Some(&charge), &mut phi, &mut force).unwrap());
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            (bits(&phi), bits(&force), z.to_bits())
        };
        let mut mesh = Kernel::Student(1.0).mesh::<f32>(dims, resolution);
        let first = run(1, &mut mesh);
        assert_eq!(mesh.pairs_within().is_some(), dims == 3 && extent == 60.0);
        assert!(first == run(2, &mut mesh), "{dims}-D: two threads, used mesh");
        assert!(first == run(3, &mut mesh), "{dims}-D: three threads, used mesh");
        // Other points in between, on another grid.
        let half: Vec<f32> = points[..n / 2 * dims].iter().map(|x| x * 0.1).collect();
        mesh.evaluate(&half, None, &mut vec![0.0; n / 2], &mut vec![0.0; n / 2 * dims]).unwrap();
        assert!(first == run(2, &mut mesh), "{dims}-D: after other points");
        // The comparison sees a single bit.
        let mut other = first.clone();
        other.1[5] ^= 1;
        assert!(first != other);
    }
}

/// Groups far narrower than a cell, wherever they stand in it, among single points: what the mesh gives each of a group is the same false push
/// times their number. The fine resolution takes it off.
#[test]
fn crowds_feel_what_they_are_at_the_fine_resolution() {
    for kernel in KERNELS {
        for (group, width) in [(30, 0.02), (30, 0.3), (500, 0.1), (100, 0.0)] {
            let mut points = cube(300, 2, 100.0, 21);
            let centres = cube(10, 2, 100.0, 22);
            for centre in centres.chunks(2) {
                let within = cube(group, 2, width, 23 + group as u64);
                points.extend(within.chunks(2).flat_map(|at| [centre[0] + at[0], centre[1] + at[1]]));
            }
            let points = rounded(&points);
            let charge = rounded(&charges(points.len() / 2));
            for charges in [None, Some(&charge[..])] {
                let want = exact(&points, 2, charges, kernel, 1);
                let name = format!("{kernel:?}, groups of {group}, {width} wide");
                let (got, z) = by_mesh(&mut kernel.mesh::<f32>(2, Resolution::FINE), &points, 2, charges, 1);
                hold(&format!("{name}, force"), &got.force, &want.force, FINE_ERROR);
                hold(&format!("{name}, potential"), &got.phi, &want.phi, FINE_ERROR);
                let total: f64 = want.phi.iter().zip(&charge).map(|(phi, c)| charges.map_or(1.0, |_| *c) * phi).sum();
                hold(&format!("{name}, Z"), &[z], &[total], Z_ERROR);
                // The mesh alone is far off, or there were nothing to mend.
                let (alone, _) = by_mesh(&mut kernel.mesh::<f32>(2, Resolution::PLANE), &points, 2, charges, 1);
                let [mended, alone] = [&got, &alone].map(|field| distance(&field.force, &want.force));
                assert!(alone > 0.005 && alone > 50.0 * mended, "{name}: {mended:.1e}, {alone:.1e} by the mesh alone");
            }
        }
    }
}

#[test]
fn several_charges_at_one_placement() {
    let n = 2000;
    for (dims, resolution) in [(2, Resolution::STANDARD), (2, Resolution::FINE), (3, Resolution::STANDARD)] {
        // In the plane a third of them in ten crowds.
        let mut points = cube(n, dims, 40.0, 13);
        if dims == 2 {
            let centres = points[..20].to_vec();
            for (i, point) in points.chunks_mut(2).enumerate().filter(|(i, _)| i % 3 == 0) {
                point.iter_mut().zip(&centres[i / 3 % 10 * 2..]).for_each(|(x, at)| *x = at + 0.003 * *x);
            }
        }
        let points: Vec<f32> = narrow(&points);
        let charge: Vec<f32> = narrow(&charges(n));
        let mut mesh = Kernel::Student(1.0).mesh::<f32>(dims, resolution);
        mesh.place(&points).unwrap();
        let field = |mesh: &mut Mesh<f32>, charges: Option<&[f32]>| {
            let (mut phi, mut force) = (vec![f32::NAN; n], vec![f32::NAN; dims * n]);
            mesh.field(charges, &mut phi, &mut force);
            (phi, force)
        };
        let unit = field(&mut mesh, None);
        let charged = field(&mut mesh, Some(&charge));
        assert_ne!(unit, charged);
        let (mut phi, mut force) = (vec![f32::NAN; n], vec![f32::NAN; dims * n]);
        mesh.evaluate(&points, Some(&charge), &mut phi, &mut force).unwrap();
        assert_eq!(charged, (phi, force));
        // Unit charges given one by one are unit charges.
        assert_eq!(unit, field(&mut mesh, Some(&vec![1.0; n])));
    }
}

#[test]
fn near_pairs_over_a_mesh_match_sums_over_pairs() {
    let n = 3000;
    let cases = [
        (Kernel::Student(1.0), [25.0, 60.0, 300.0]),
        (Kernel::Student(0.75), [25.0, 60.0, 150.0]),
        (Kernel::Student(0.5), [25.0, 60.0, 150.0]),
    ];
    for (kernel, extents) in cases {
        for extent in extents {
            let points = rounded(&cube(n, 3, extent, 3));
            for charges in [None, Some(rounded(&charges(n)))] {
                let want = exact(&points, 3, charges.as_deref(), kernel, 3);
                let mut mesh = kernel.mesh::<f32>(3, Resolution::STANDARD);
                let (got, _) = by_mesh(&mut mesh, &points, 3, charges.as_deref(), 3);
                let name = format!("{kernel:?}, extent {extent}, pairs within {:?}", mesh.pairs_within());
                assert!(mesh.pairs_within().is_some(), "{name}");
                hold(&format!("{name}, force"), &got.force, &want.force, STANDARD_ERROR);
                hold(&format!("{name}, potential"), &got.phi, &want.phi, STANDARD_ERROR);
            }
        }
    }
}

#[test]
fn lighter_tails_are_left_to_the_mesh() {
    let points = cube(3000, 3, 40.0, 3);
    for kernel in [Kernel::Student(2.0), Kernel::Gaussian] {
        let mut mesh = kernel.mesh::<f32>(3, Resolution::STANDARD);
        by_mesh(&mut mesh, &points, 3, None, 1);
        assert_eq!(mesh.pairs_within(), None, "{kernel:?}");
    }
}

#[test]
fn the_error_of_near_pairs_over_a_mesh_falls_with_the_resolution() {
    for extent in [40.0, 120.0] {
        let points = cube(4000, 3, extent, 9);
        for kernel in [Kernel::Student(1.0), Kernel::Student(0.5)] {
            let want = exact(&points, 3, None, kernel, 5);
            let error = |order, spacing| {
                let mut mesh = kernel.mesh::<f64>(3, Resolution { order, spacing });
                let (got, _) = by_mesh(&mut mesh, &points, 3, None, 5);
                assert!(mesh.pairs_within().is_some());
                distance(&got.force, &want.force)
            };
            let (standard, fine, finer) = (error(4, 1.0 / 3.0), error(6, 0.25), error(6, 0.2));
            let errors = format!("{kernel:?}, extent {extent}: {standard:.2e} {fine:.2e} {finer:.2e}");
            assert!(fine <= FINE_ERROR && fine < standard / 4.0 && finer < fine / 1.5, "{errors}");
        }
    }
}

#[test]
fn awkward_maps_in_space_with_near_pairs() {
    let kernel = Kernel::Student(1.0);
    let check = |what: &str, pairs: bool, points: &[f64], step: usize| {
        let points = rounded(points);
        let want = exact(&points, 3, None, kernel, step);
        let mut mesh = kernel.mesh::<f32>(3, Resolution::STANDARD);
        let (got, _) = by_mesh(&mut mesh, &points, 3, None, step);
        assert_eq!(mesh.pairs_within().is_some(), pairs, "{what}: {:?}", mesh.pairs_within());
        hold(&format!("{what}, force"), &got.force, &want.force, STANDARD_ERROR);
        hold(&format!("{what}, potential"), &got.phi, &want.phi, STANDARD_ERROR);
    };
    let with_one_at = |x: f64, mut points: Vec<f64>| {
        points.extend([x, x, x]);
        points
    };
    check("one far away from a few", true, &with_one_at(200.0, cube(1000, 3, 3.0, 2)), 1);
    // All pairs of the clump would take minutes: the mesh alone is chosen.
    check("one far away from a clump", false, &with_one_at(25.0, cube(30_000, 3, 3.0, 2)), 50);
    let (one, other) = (cube(800, 3, 3.0, 4), cube(800, 3, 3.0, 5));
    let apart = |axes: usize| {
        let moved = other.iter().enumerate().map(|(at, x)| if at % 3 < axes { x + 200.0 } else { *x });
        one.iter().copied().chain(moved).collect::<Vec<_>>()
    };
    check("two far clusters at the corners", true, &apart(3), 1);
    check("two far clusters along an axis", true, &apart(1), 1);
    let thrice: Vec<f64> = cube(1500, 3, 40.0, 6).chunks(3).flat_map(|at| at.repeat(3)).collect();
    check("three at each place", true, &thrice, 1);
    check("far from the origin", true, &cube(3000, 3, 60.0, 6).iter().map(|x| x + 2000.0).collect::<Vec<_>>(), 1);
}
