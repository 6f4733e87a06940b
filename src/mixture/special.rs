//! ln Γ and its derivative ψ, which the standard library does not have, for arguments above 0.
//!
//! Both are shifted upwards by Γ(x + 1) = x Γ(x) until Stirling's series (Abramowitz and Stegun 1964, 6.1.41 and 6.3.18)
//! is good to the last digits; Bernardo's AS 103 (1976) does so for ψ.

/// From here on the terms kept below give all digits of `f64`: the first one left out is 0.03/x¹⁵ < 1e-17.
const SHIFTED: f64 = 12.0;

/// ln Γ(x), x > 0.
pub fn ln_gamma(x: f64) -> f64 {
    // ln Γ(x) = ln Γ(x + n) − ln(x (x+1) … (x+n−1)); the product of at most 12 factors below 13 stays finite.
    let (mut x, mut product) = (x, 1.0);
    while x < SHIFTED {
        product *= x;
        x += 1.0;
    }
    // B_2k / (2k (2k−1)) for k = 1 to 7.
    const SERIES: [f64; 7] =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    let inverse2 = 1.0 / (x * x);
    let tail = SERIES.iter().rev().fold(0.0, |sum, term| sum * inverse2 + term) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + tail - product.ln()
}

/// ψ(x) = d ln Γ(x)/dx, x > 0.
pub fn digamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < SHIFTED {
        sum -= 1.0 / x;
        x += 1.0;
    }
    // B_2k / 2k for k = 1 to 7.
    const SERIES: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32_760.0, 1.0 / 12.0];
    let inverse2 = 1.0 / (x * x);
    let tail = SERIES.iter().rev().fold(0.0, |sum, term| (sum + term) * inverse2);
    sum + x.ln() - 0.5 / x - tail
}
