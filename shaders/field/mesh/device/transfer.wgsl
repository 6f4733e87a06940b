// Points -> grids and grids -> points with the weights of the B-spline: host in src/field/mesh/device/transfer.rs, the
// same on the CPU in src/field/mesh/transfer.rs.
//
//   spread   charge(node) += w(point, node) for every point, in whole units of 1 / scale: integer sums do not depend on
//            their order, so the same map gives the same bytes
//   gather   phi_i = sum of w(node) potential(node), less what the point feels of itself, plus the constant part;
//            force_i = -1/2 grad phi, by the derivative of w
//   spread_charges, gather_charges   the same for charges 1/Z (field/rows.wgsl), whose unit of the fixed point the device
//            chose; what is gathered joins the force of the unit charges: push_i = (force_i / Z_i + force of 1/Z) / 2
//
// A wide map stands on a coarse grid as well, which carries the far part of the kernel (src/field/mesh/mod.rs); both lie
// one after the other in the same buffers. One invocation a point. Cost: 4^d atomic additions, 4^d reads a grid. The own
// contribution is a polynomial in f (1 - f) along each axis of the fine grid; a point moves as gatherer and not as
// source, so it feels half of that polynomial's slope.

struct TransferParams {
    n: u32,                   // points
    grids: u32,               // 2 with a coarse grid, else 1
    scale: f32,               // units of the fixed point a charge
    constant: f32,            // what the convolved kernels lack of w everywhere, times the other charges
    fine_per_unit: f32,       // one over the spacing
    fine_last_slow: u32,      // last cell along each axis
    fine_last_middle: u32,
    fine_last_fast: u32,
    fine_line: u32,           // numbers from one line to the next
    fine_plane: u32,          // numbers from one plane to the next
    coarse_per_unit: f32,
    coarse_last_slow: u32,
    coarse_last_middle: u32,
    coarse_last_fast: u32,
    coarse_line: u32,
    coarse_plane: u32,
    coarse_first: u32,        // number of the coarse grid's node 0
}

struct Frame {
    halted: u32,
    evaluations: u32,
    strays: atomic<u32>,
    wild: u32,
    low: vec4f,
    high: vec4f,
    alone: u32,
    units: f32,
}

@group(0) @binding(0) var<uniform> params: TransferParams;
@group(0) @binding(1) var<storage, read_write> frame: Frame;
@group(0) @binding(2) var<storage, read> points: array<Stored>;               // [N] map
@group(0) @binding(3) var<storage, read_write> charges: array<atomic<u32>>;   // fine, coarse; fixed point
@group(0) @binding(4) var<storage, read> potential: array<f32>;               // fine, coarse
@group(0) @binding(5) var<storage, read> own: array<vec4f>;                   // [4 MIDDLE] coefficients, fast axis across
@group(0) @binding(6) var<storage, read_write> sums: array<vec4f>;            // [N] force, weight; then push, 1
@group(0) @binding(7) var<storage, read> row_charges: array<f32>;             // [N] 1/Z, or 0

struct Grid {
    per_unit: f32,
    first: u32,
    line: u32,
    plane: u32,
    last: vec3u,
}

fn fine_grid() -> Grid {
    let last = vec3u(params.fine_last_slow, params.fine_last_middle, params.fine_last_fast);
    return Grid(params.fine_per_unit, 0u, params.fine_line, params.fine_plane, last);
}

fn coarse_grid() -> Grid {
    let last = vec3u(params.coarse_last_slow, params.coarse_last_middle, params.coarse_last_fast);
    return Grid(params.coarse_per_unit, params.coarse_first, params.coarse_line, params.coarse_plane, last);
}

// Where a point stands on a grid: the first node that it touches, and the fractions of its cell.
struct Place {
    node: u32,
    f: vec3f,
}

fn place_on(grid: Grid, point: Point) -> Place {
    let v = on_axes((point - point_of(frame.low)) * grid.per_unit);
    let cell = min(vec3u(v), grid.last);
    return Place(grid.first + cell.x * grid.plane + cell.y * grid.line + cell.z, v - vec3f(cell));
}

// `units_of_charge`: how many of the fixed point the point's charge is.
fn spread_on(grid: Grid, at: Place, units_of_charge: f32) {
    let slow = spline_weights(at.f.x);
    let middle = middle_of(spline_weights(at.f.y));
    let fast = units_of_charge * spline_weights(at.f.z);
    for (var a = 0u; a < ORDER; a++) {
        for (var b = 0u; b < MIDDLE; b++) {
            let node = at.node + a * grid.plane + b * grid.line;
            let units = vec4u(round(slow[a] * middle[b] * fast));
            atomicAdd(&charges[node], units.x);
            atomicAdd(&charges[node + 1u], units.y);
            atomicAdd(&charges[node + 2u], units.z);
            atomicAdd(&charges[node + 3u], units.w);
        }
    }
}

fn spread_point(i: u32, units_of_charge: f32) {
    let point = load_point(points[i]);
    let at = place_on(fine_grid(), point);
    if (any(at.f > vec3f(1.0)) || any(at.f < vec3f())) {
        // The frame was found to hold all points, so this is a mistake of ours: the host looks at the count.
        atomicAdd(&frame.strays, 1u);
    }
    spread_on(fine_grid(), at, units_of_charge);
    if (params.grids > 1u) {
        spread_on(coarse_grid(), place_on(coarse_grid(), point), units_of_charge);
    }
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
    spread_point(i, params.scale);
}

@compute @workgroup_size(64)
fn spread_charges(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n || frame.halted != 0u) {
        return;
    }
    spread_point(i, row_charges[i] * frame.units);
}

// The potential of a grid at a place, and its slope along each axis in units of the map.
fn potential_on(grid: Grid, at: Place) -> vec4f {
    let slow = spline_weights(at.f.x);
    let slow_slope = spline_slopes(at.f.x);
    let middle = middle_of(spline_weights(at.f.y));
    let middle_slope = middle_slope_of(spline_slopes(at.f.y));
    let fast = spline_weights(at.f.z);
    // Rows of 4 along the fast axis, weighted along the others: by w w, w' w, w w'.
    var along = vec4f();
    var across = vec4f();
    var beside = vec4f();
    for (var a = 0u; a < ORDER; a++) {
        for (var b = 0u; b < MIDDLE; b++) {
            let node = at.node + a * grid.plane + b * grid.line;
            let row = vec4f(potential[node], potential[node + 1u], potential[node + 2u], potential[node + 3u]);
            along += slow[a] * middle[b] * row;
            across += slow_slope[a] * middle[b] * row;
            beside += slow[a] * middle_slope[b] * row;
        }
    }
    let slope = vec3f(dot(across, fast), dot(beside, fast), dot(along, spline_slopes(at.f.z)));
    return vec4f(grid.per_unit * slope, dot(along, fast));
}

fn powers(x: f32) -> vec4f {
    return vec4f(1.0, x, x * x, x * x * x);
}

fn power_slopes(x: f32) -> vec4f {
    return vec4f(0.0, 1.0, 2.0 * x, 3.0 * x * x);
}

// What a point feels of itself, and half its slope along each axis in units of the map.
fn own_share(f: vec3f) -> vec4f {
    let q = f * (1.0 - f);
    let slow = powers(q.x);
    let slow_slope = power_slopes(q.x);
    let middle = middle_of(powers(q.y));
    let middle_slope = middle_slope_of(power_slopes(q.y));
    let fast = powers(q.z);
    var along = vec4f();
    var across = vec4f();
    var beside = vec4f();
    for (var a = 0u; a < ORDER; a++) {
        for (var b = 0u; b < MIDDLE; b++) {
            let terms = own[a * MIDDLE + b];
            along += slow[a] * middle[b] * terms;
            across += slow_slope[a] * middle[b] * terms;
            beside += slow[a] * middle_slope[b] * terms;
        }
    }
    // dq/df = 1 - 2 f.
    let slope = vec3f(dot(across, fast), dot(beside, fast), dot(along, power_slopes(q.z)));
    return vec4f(params.fine_per_unit * (0.5 - f) * slope, dot(along, fast));
}

// The potential that point i feels of the others, and its slope along each axis; its own charge, and what the grids'
// potentials are to be multiplied by.
fn felt_at(i: u32, charge: f32, scale: f32) -> vec4f {
    let point = load_point(points[i]);
    let at = place_on(fine_grid(), point);
    var potential = potential_on(fine_grid(), at);
    if (params.grids > 1u) {
        potential += potential_on(coarse_grid(), place_on(coarse_grid(), point));
    }
    return scale * potential - charge * own_share(at.f);
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
    let felt = felt_at(i, 1.0, 1.0);
    sums[i] = with_fourth(-0.5 * from_axes(felt.xyz), felt.w + params.constant);
}

@compute @workgroup_size(64)
fn gather_charges(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n) {
        return;
    }
    if (frame.halted != 0u) {
        sums[i] = vec4f();
        return;
    }
    let charge = row_charges[i];
    // The convolution took the units to be params.scale a charge. Without charges there are no units.
    let felt = felt_at(i, charge, select(0.0, params.scale / frame.units, frame.units > 0.0));
    let push = 0.5 * (charge * point_of(sums[i]) - 0.5 * from_axes(felt.xyz));
    // Weights of 1: N / Z is then 1 for the step, which takes the push as it is.
    sums[i] = with_fourth(push, 1.0);
}
