//! Kernels in the map: how similar two points are, from their squared distance D alone.
//!
//! A kernel is its weight w(D), the score z = log w(D) and the slope s(D) = −∂z/∂D. Objectives and fields stand on these
//! three and know nothing else of it; for every kernel ∇_i w(D_ij) = −2 w s (y_i − y_j), with D_ij = ‖y_i − y_j‖².
//!
//! [`Student`] is the kernel of t-SNE, [`Tail`] the same family at any tail exponent, [`Gaussian`] that of SNE. Inner loops are
//! compiled for each of them; [`Similarity`] is the one chosen at run time.

mod gaussian;
mod student;
mod tail;

pub use gaussian::Gaussian;
pub use student::Student;
pub use tail::Tail;

use crate::gpu::Part;
use crate::real::Real;

/// A similarity of map points.
pub trait Kernel<T: Real>: Copy + Send + Sync {
    /// w(D), at most w(0) = 1.
    fn weight(self, d2: T) -> T;
    /// z = log w(D), finite where w underflows.
    fn log_weight(self, d2: T) -> T;
    /// s(D) = −∂z/∂D.
    fn slope(self, d2: T) -> T;
}

/// A kernel, chosen at run time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Similarity {
    /// w = (1 + D/α)^(−(α+1)/2), α > 0: [`Student`] at α = 1, else [`Tail`].
    Student(f64),
    /// w = exp(−D).
    Gaussian,
}

impl Similarity {
    /// The kernel of t-SNE.
    pub const TSNE: Similarity = Similarity::Student(1.0);

    /// Every kernel's shader text, in the order of [`Similarity::number`].
    pub const PARTS: [Part; 3] = [Student::PART, Tail::PART, Gaussian::PART];

    /// Which of [`Similarity::PARTS`] it is.
    pub fn number(self) -> usize {
        match self {
            Similarity::Student(1.0) => 0,
            Similarity::Student(_) => 1,
            Similarity::Gaussian => 2,
        }
    }

    /// The tail exponent; 0 for the Gaussian, which has none.
    pub fn alpha(self) -> f64 {
        match self {
            Similarity::Student(alpha) => alpha,
            Similarity::Gaussian => 0.0,
        }
    }

    /// (a, b) of s(D) = a / (1 + bD), the slope of every kernel here; log w = −(a/b) log(1 + bD), or −aD where b = 0.
    pub fn slope(self) -> (f64, f64) {
        match self {
            Similarity::Student(alpha) => ((alpha + 1.0) / (2.0 * alpha), 1.0 / alpha),
            Similarity::Gaussian => (1.0, 0.0),
        }
    }
}

/// The assemblies of a driver for each kernel ([`Similarity::number`]) in 2 and in 3 dimensions: `$lib`s before the kernel's
/// text, the driver after it.
macro_rules! kernel_shaders {
    ($params:ty, [$($lib:literal),*], $driver:literal) => {{
        macro_rules! shader {
            ($point:literal, $number:literal) => {
                $crate::gpu::Shader {
                    parts: &[
                        $crate::wgsl!("lib/dispatch.wgsl"),
                        $crate::wgsl!($point),
                        $($crate::wgsl!($lib),)*
                        $crate::kernel::Similarity::PARTS[$number],
                        $crate::wgsl!($driver),
                    ],
                    params: <$params as $crate::gpu::Params>::STRUCTURE,
                }
            };
        }
        [
            [shader!("lib/point2.wgsl", 0), shader!("lib/point3.wgsl", 0)],
            [shader!("lib/point2.wgsl", 1), shader!("lib/point3.wgsl", 1)],
            [shader!("lib/point2.wgsl", 2), shader!("lib/point3.wgsl", 2)],
        ]
    }};
}
pub(crate) use kernel_shaders;

/// Evaluates `$body` with `$kernel` bound to the kernel that `$similarity` stands for.
#[macro_export]
macro_rules! with_kernel {
    ($similarity:expr, $kernel:ident => $body:expr) => {
        match $similarity {
            $crate::kernel::Similarity::Student(1.0) => {
                let $kernel = $crate::kernel::Student;
                $body
            }
            $crate::kernel::Similarity::Student(alpha) => {
                let $kernel = $crate::kernel::Tail { alpha };
                $body
            }
            $crate::kernel::Similarity::Gaussian => {
                let $kernel = $crate::kernel::Gaussian;
                $body
            }
        }
    };
}
