// Student's kernel at the tail exponent params.alpha of the driver: twin of src/kernel/tail.rs.
//   w(D) = (1 + D/alpha)^(-(alpha+1)/2),   z = log w,   s(D) = (alpha+1)/(2 alpha) / (1 + D/alpha)
fn kernel_weight(d2: f32) -> f32 {
    return exp(kernel_log_weight(d2));
}

fn kernel_log_weight(d2: f32) -> f32 {
    return -0.5 * (params.alpha + 1.0) * log(1.0 + d2 / params.alpha);
}

fn kernel_slope(d2: f32) -> f32 {
    return 0.5 * (params.alpha + 1.0) / (params.alpha + d2);
}
