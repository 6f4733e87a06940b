// The Student kernel with one degree of freedom, the kernel of t-SNE: twin of src/kernel/student.rs.
//   w(D) = 1 / (1 + D),   z = log w,   s(D) = -dz/dD = 1 / (1 + D)
fn kernel_weight(d2: f32) -> f32 {
    return 1.0 / (1.0 + d2);
}

fn kernel_log_weight(d2: f32) -> f32 {
    return -log(1.0 + d2);
}

fn kernel_slope(d2: f32) -> f32 {
    return 1.0 / (1.0 + d2);
}
