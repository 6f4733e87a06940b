// Points -> grid and grid -> points with the weights of the B-spline: host in src/field/mesh/device/transfer.rs, the same
// on the CPU in src/field/mesh/transfer.rs.
//
//   spread   charge(node) += w(point, node) for every point, in whole units of 1 / scale: integer sums do not depend on
//            their order, so the same map gives the same bytes
//   gather   phi_i = sum of w(node) potential(node), less what the point feels of itself, plus the constant part;
//            force_i = -1/2 grad phi, by the derivative of w
//
// One invocation a point. Cost: 4^d atomic additions, 4^d reads. The own contribution is a polynomial in f (1 - f) along
// each axis; a point moves as gatherer and not as source, so it feels half of that polynomial's slope.

struct TransferParams {
    n: u32,          // points
    last_slow: u32,  // last cell along each axis
    last_middle: u32,
    last_fast: u32,
    line: u32,       // numbers from one line to the next
    plane: u32,      // numbers from one plane to the next
    per_unit: f32,   // one over the spacing
    scale: f32,      // units of the fixed point a charge
    constant: f32,   // what the convolved kernel lacks of w everywhere, times the other charges
}

struct Frame {
    halted: u32,
    evaluations: u32,
    strays: atomic<u32>,
    wild: u32,
    low: vec4f,
    high: vec4f,
}

@group(0) @binding(0) var<uniform> params: TransferParams;
@group(0) @binding(1) var<storage, read_write> frame: Frame;
@group(0) @binding(2) var<storage, read> points: array<Stored>;               // [N] map
@group(0) @binding(3) var<storage, read_write> charges: array<atomic<u32>>;   // [planes, lines, line] fixed point
@group(0) @binding(4) var<storage, read> potential: array<f32>;               // [planes, lines, line]
@group(0) @binding(5) var<storage, read> own: array<vec4f>;                   // [4 MIDDLE] coefficients, fast axis across
@group(0) @binding(6) var<storage, read_write> sums: array<vec4f>;            // [N] force, weight

// Where a point stands in grid units from node 0.
fn position(i: u32) -> vec3f {
    return on_axes((load_point(points[i]) - point_of(frame.low)) * params.per_unit);
}

fn cell_of(v: vec3f) -> vec3u {
    return min(vec3u(v), vec3u(params.last_slow, params.last_middle, params.last_fast));
}

@compute @workgroup_size(64)
fn spread(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n || frame.halted != 0u) {
        return;
    }
    let v = position(i);
    let cell = cell_of(v);
    let f = v - vec3f(cell);
    if (any(f > vec3f(1.0)) || any(v < vec3f())) {
        // The frame was found to hold all points, so this is a mistake of ours: the host looks at the count.
        atomicAdd(&frame.strays, 1u);
    }
    let slow = spline_weights(f.x);
    let middle = middle_of(spline_weights(f.y));
    let fast = params.scale * spline_weights(f.z);
    let base = cell.x * params.plane + cell.y * params.line + cell.z;
    for (var a = 0u; a < ORDER; a++) {
        for (var b = 0u; b < MIDDLE; b++) {
            let at = base + a * params.plane + b * params.line;
            let units = vec4u(round(slow[a] * middle[b] * fast));
            atomicAdd(&charges[at], units.x);
            atomicAdd(&charges[at + 1u], units.y);
            atomicAdd(&charges[at + 2u], units.z);
            atomicAdd(&charges[at + 3u], units.w);
        }
    }
}

fn powers(x: f32) -> vec4f {
    return vec4f(1.0, x, x * x, x * x * x);
}

fn power_slopes(x: f32) -> vec4f {
    return vec4f(0.0, 1.0, 2.0 * x, 3.0 * x * x);
}

@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n) {
        return;
    }
    if (frame.halted != 0u) {
        // Weights of 0 make Z = 0: the step then leaves the map as it is.
        sums[i] = vec4f();
        return;
    }
    let v = position(i);
    let cell = cell_of(v);
    let f = v - vec3f(cell);
    let slow = spline_weights(f.x);
    let slow_slope = spline_slopes(f.x);
    let middle = middle_of(spline_weights(f.y));
    let middle_slope = middle_slope_of(spline_slopes(f.y));
    let fast = spline_weights(f.z);
    let base = cell.x * params.plane + cell.y * params.line + cell.z;
    let q = f * (1.0 - f);
    let slow_power = powers(q.x);
    let slow_power_slope = power_slopes(q.x);
    let middle_power = middle_of(powers(q.y));
    let middle_power_slope = middle_slope_of(power_slopes(q.y));
    let fast_power = powers(q.z);
    // Rows of 4 along the fast axis, weighted along the others: by w w, w' w, w w'. The same of the own contribution.
    var along = vec4f();
    var across = vec4f();
    var beside = vec4f();
    var own_along = vec4f();
    var own_across = vec4f();
    var own_beside = vec4f();
    for (var a = 0u; a < ORDER; a++) {
        for (var b = 0u; b < MIDDLE; b++) {
            let at = base + a * params.plane + b * params.line;
            let row = vec4f(potential[at], potential[at + 1u], potential[at + 2u], potential[at + 3u]);
            along += slow[a] * middle[b] * row;
            across += slow_slope[a] * middle[b] * row;
            beside += slow[a] * middle_slope[b] * row;
            let term = own[a * MIDDLE + b];
            own_along += slow_power[a] * middle_power[b] * term;
            own_across += slow_power_slope[a] * middle_power[b] * term;
            own_beside += slow_power[a] * middle_power_slope[b] * term;
        }
    }
    let phi = dot(along, fast) - dot(own_along, fast_power);
    let slope = vec3f(dot(across, fast), dot(beside, fast), dot(along, spline_slopes(f.z)));
    let own_slope = vec3f(
        dot(own_across, fast_power),
        dot(own_beside, fast_power),
        dot(own_along, power_slopes(q.z)),
    );
    let total = slope - (0.5 - f) * own_slope;
    sums[i] = with_fourth(-0.5 * params.per_unit * from_axes(total), phi + params.constant);
}
