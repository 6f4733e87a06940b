// Cardinal B-splines of order 4: the weights of the 4 nodes that a point touches, at fraction f of its cell.
const ORDER = 4u;

fn spline_weights(f: f32) -> vec4f {
    let g = 1.0 - f;
    return vec4f(g * g * g, 4.0 - 3.0 * f * f * (2.0 - f), 4.0 - 3.0 * g * g * (2.0 - g), f * f * f) / 6.0;
}

// Their derivatives, in units of one over the spacing.
fn spline_slopes(f: f32) -> vec4f {
    let g = 1.0 - f;
    return vec4f(-0.5 * g * g, f * (1.5 * f - 2.0), g * (2.0 - 1.5 * g), 0.5 * f * f);
}
