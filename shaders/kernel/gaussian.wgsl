// The Gaussian kernel of SNE: twin of src/kernel/gaussian.rs.
//   w(D) = exp(-D),   z = -D,   s(D) = 1
fn kernel_weight(d2: f32) -> f32 {
    return exp(-d2);
}

fn kernel_log_weight(d2: f32) -> f32 {
    return -d2;
}

fn kernel_slope(d2: f32) -> f32 {
    return 1.0;
}
