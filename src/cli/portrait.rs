//! Points and the Gaussians fitted to them on a page: two columns as they are, more on their first two principal components.

use crate::Result;
use crate::init::principal_components;
use crate::mixture::Mixture;
use crate::render::Ellipse;
use ndarray::{Array2, ArrayView2, Axis, array};

/// How points lie on a page: P (x − origin).
pub struct Portrait {
    /// `[N, 2]` places on the page.
    pub points: Array2<f32>,
    /// What a reader of the picture must know of its axes; empty if they are the data's own.
    pub note: String,
    /// `[2, M]` P.
    axes: Array2<f64>,
    /// `[M]`
    origin: Vec<f64>,
}

/// Two columns whose ranges differ more than this are drawn each to its own scale: on one scale they would be a line.
const MOST_UNEQUAL: f64 = 3.0;

impl Portrait {
    /// Of `[N, M]` points.
    ///
    /// # Errors
    /// Principal components that cannot be found.
    pub fn new(points: ArrayView2<f32>) -> Result<Portrait> {
        let m = points.ncols();
        if m > 2 {
            let pca = principal_components(points, 2)?;
            let total: f64 = points.axis_iter(Axis(1)).map(|column| column.mapv(f64::from).var(0.0)).sum();
            let share = 100.0 * pca.variances.sum() / total;
            let note = format!("shown on the first two principal components ({share:.0} % of the variance)");
            return Ok(Portrait { points: pca.scores, note, axes: pca.components, origin: pca.mean.to_vec() });
        }
        let range = |column: ndarray::ArrayView1<f32>| {
            let ends = |(low, high): (f32, f32), &x: &f32| (low.min(x), high.max(x));
            let (low, high) = column.iter().fold((f32::INFINITY, f32::NEG_INFINITY), ends);
            f64::from(high) - f64::from(low)
        };
        let mut axes = if m == 1 { array![[1.0], [0.0]] } else { Array2::eye(2) };
        let mut note = String::new();
        if m == 2 {
            let (x, y) = (range(points.column(0)), range(points.column(1)));
            if x > 0.0 && y > 0.0 && x.max(y) > MOST_UNEQUAL * x.min(y) {
                axes = array![[1.0 / x, 0.0], [0.0, 1.0 / y]];
                note = "each axis to its own scale".into();
            }
        }
        let place =
            |(i, c): (usize, usize)| (0..m).map(|j| axes[[c, j]] * f64::from(points[[i, j]])).sum::<f64>() as f32;
        Ok(Portrait { points: Array2::from_shape_fn((points.nrows(), 2), place), note, axes, origin: vec![0.0; m] })
    }

    /// The Gaussians of a mixture as they lie on the page: N(P (μ − origin), P Σ Pᵀ). Those without a point are left out.
    pub fn ellipses(&self, mixture: &Mixture, labels: &[u32]) -> Vec<Ellipse> {
        let held = |k: &usize| labels.contains(&(*k as u32));
        let ellipse = |k: usize| {
            let offset = &mixture.means.row(k) - &ndarray::ArrayView1::from(&self.origin);
            let center = self.axes.dot(&offset);
            let on_page = self.axes.dot(&mixture.covariance_of(k)).dot(&self.axes.t());
            let (a, b, c) = (on_page[[0, 0]], on_page[[0, 1]], on_page[[1, 1]]);
            // Eigenvalues and the turn of the first axis, of a symmetric matrix of two rows.
            let (middle, apart) = ((a + c) / 2.0, ((a - c) / 2.0).hypot(b));
            let (long, short) = ((middle + apart).max(0.0).sqrt(), (middle - apart).max(0.0).sqrt());
            let (sin, cos) = (0.5 * (2.0 * b).atan2(a - c)).sin_cos();
            let axes = [[long * cos, long * sin], [-short * sin, short * cos]];
            Ellipse { center: [center[0], center[1]], axes, class: k }
        };
        (0..mixture.n_components()).filter(held).map(ellipse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::Covariance;
    use ndarray::Array3;

    #[test]
    fn an_ellipse_has_the_covariance_of_its_gaussian() {
        let points = Array2::from_shape_fn((40, 3), |(i, j)| (((i * 7 + j * 5) % 13) as f32) * [1.0, 4.0, 0.5][j]);
        let portrait = Portrait::new(points.view()).expect("sound");
        let sigma = array![[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 0.5]];
        let mixture = Mixture {
            covariance: Covariance::Full,
            weights: vec![1.0],
            means: array![[1.0, 2.0, 3.0]],
            covariances: Array3::from_shape_fn((1, 3, 3), |(_, i, j)| sigma[[i, j]]),
        };
        let [ellipse] = portrait.ellipses(&mixture, &[0])[..] else { panic!("one ellipse") };
        let want = portrait.axes.dot(&sigma).dot(&portrait.axes.t());
        for i in 0..2 {
            for j in 0..2 {
                let got: f64 = ellipse.axes.iter().map(|axis| axis[i] * axis[j]).sum();
                assert!((got - want[[i, j]]).abs() < 1e-12, "{got} instead of {}", want[[i, j]]);
            }
        }
        assert!(portrait.ellipses(&mixture, &[1]).is_empty(), "it holds no point");
        assert!(portrait.note.contains("principal components"));
    }

    #[test]
    fn two_columns_stay_as_they_are_unless_they_would_be_a_line() {
        let map = Array2::from_shape_fn((9, 2), |(i, j)| (i % 3 * (j + 1)) as f32);
        let portrait = Portrait::new(map.view()).expect("sound");
        assert_eq!((portrait.points, portrait.note.as_str()), (map.clone(), ""));
        let tall = Array2::from_shape_fn((9, 2), |(i, j)| if j == 0 { i as f32 } else { 100.0 * i as f32 });
        let portrait = Portrait::new(tall.view()).expect("sound");
        assert!(!portrait.note.is_empty() && portrait.points.iter().all(|&x| (0.0..=1.0).contains(&x)));
        assert_eq!(Portrait::new(map.slice(ndarray::s![.., ..1])).expect("sound").points.ncols(), 2);
    }
}
