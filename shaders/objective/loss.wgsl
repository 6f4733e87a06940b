// The part of the objective that needs every edge: twin of src/objective/loss.rs.
//
//   cross_i = - sum over the row's edges of N p_ij log w(D_ij)
//
// `edges` forms it for each row, eight lanes a row; `partial` adds 256 rows into one number, which the host adds up.

const ROW_LANES = 8u;
const GROUP = 64u;
const ROWS = 256u;

struct EdgeParams {
    base: u32,   // the point of row 0 of these buffers
    first: u32,  // first row of this dispatch
    end: u32,    // row after the last of this dispatch
    alpha: f32,  // of Student's kernel
}

@group(0) @binding(0) var<uniform> params: EdgeParams;
@group(0) @binding(1) var<storage, read> points: array<Stored>;        // [N] map
@group(0) @binding(2) var<storage, read> offsets: array<u32>;          // [rows + 1] first edge of each row
@group(0) @binding(3) var<storage, read> indices: array<u32>;          // [edges] the other point
@group(0) @binding(4) var<storage, read> weights: array<f32>;          // [edges] N p_ij
@group(0) @binding(5) var<storage, read_write> cross: array<f32>;      // [N] nats times N
@group(0) @binding(6) var<storage, read_write> partials: array<f32>;   // [ceil(N / 256)] nats times N

var<workgroup> parts: array<f32, ROWS>;

@compute @workgroup_size(GROUP)
fn edges(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = params.first + group_index(group, groups) * (GROUP / ROW_LANES) + lane / ROW_LANES;
    var sum = 0.0;
    if (row < params.end) {
        let y_i = load_point(points[params.base + row]);
        let end = offsets[row + 1u];
        for (var e = offsets[row] + lane % ROW_LANES; e < end; e += ROW_LANES) {
            let difference = y_i - load_point(points[indices[e]]);
            sum -= weights[e] * kernel_log_weight(dot(difference, difference));
        }
    }
    parts[lane] = sum;
    // All eight parts of a row must be there before its first lane adds them.
    workgroupBarrier();
    if (row < params.end && lane % ROW_LANES == 0u) {
        for (var part = 1u; part < ROW_LANES; part++) {
            sum += parts[lane + part];
        }
        cross[params.base + row] = sum;
    }
}

@compute @workgroup_size(ROWS)
fn partial(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let i = index * ROWS + lane;
    var value = 0.0;
    if (i < arrayLength(&cross)) {
        value = cross[i];
    }
    parts[lane] = value;
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
    }
    if (lane == 0u && index < arrayLength(&partials)) {
        partials[index] = parts[0];
    }
}
