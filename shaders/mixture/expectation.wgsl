// The E-step: twin of src/mixture/expectation.rs.
//
//   log rho_nk = o_k - |A_k (x_n - c_k)|^2 / 2        r_nk = exp(log rho_nk - log sum_l rho_nl)
//
// `triangles` and `diagonals` form log rho, one invocation a point and component (workgroups along y); `softargmax` turns each
// point's row into responsibilities, one invocation a point, and adds the log evidence of 256 points into one number. Points
// and responsibilities lie transposed, so that neighbouring invocations read neighbouring numbers; A is the same for a whole
// workgroup. Cost: N K M^2 / 2 products for triangles, N K M for diagonals, 2 N K exponentials.

struct ExpectationParams {
    n: u32,           // points of this piece
    dims: u32,        // M
    components: u32,  // K
    first: u32,       // first point of this dispatch, a multiple of 256
    end: u32,         // point after its last
    own: u32,         // 0 if every component has the same A, else 1
}

const GROUP = 64u;
const SOFT_GROUP = 256u;
const ROWS_HELD = 8u;

@group(0) @binding(0) var<uniform> params: ExpectationParams;
@group(0) @binding(1) var<storage, read> points: array<f32>;             // [M, n] x, centred
@group(0) @binding(2) var<storage, read> offsets: array<f32>;            // [K] o, nats
@group(0) @binding(3) var<storage, read> centers: array<f32>;            // [K, M] c
@group(0) @binding(4) var<storage, read> triangle: array<vec4f>;         // [K or 1, ceil(M / 8), M, 2] A, eight rows of a column together
@group(0) @binding(5) var<storage, read> diagonal: array<f32>;           // [K, M] diagonal of A
@group(0) @binding(6) var<storage, read_write> responsibility: array<f32>;  // [K, n] log rho, then r
@group(0) @binding(7) var<storage, read_write> evidence: array<f32>;     // [ceil(n / 256)] log evidence, nats

var<workgroup> parts: array<f32, SOFT_GROUP>;

@compute @workgroup_size(GROUP)
fn triangles(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = params.first + group.x * GROUP + lane;
    let k = group.y;
    if (i >= params.end) {
        return;
    }
    let blocks = (params.dims + ROWS_HELD - 1u) / ROWS_HELD;
    let matrix = params.own * k * blocks * params.dims;
    var d2 = 0.0;
    for (var block = 0u; block < blocks; block++) {
        var low = vec4f();
        var high = vec4f();
        // A is a lower triangle: nothing stands right of the block's last row.
        let width = min(params.dims, (block + 1u) * ROWS_HELD);
        for (var j = 0u; j < width; j++) {
            let d = points[j * params.n + i] - centers[k * params.dims + j];
            let at = 2u * (matrix + block * params.dims + j);
            low += triangle[at] * d;
            high += triangle[at + 1u] * d;
        }
        d2 += dot(low, low) + dot(high, high);
    }
    responsibility[k * params.n + i] = offsets[k] - 0.5 * d2;
}

@compute @workgroup_size(GROUP)
fn diagonals(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = params.first + group.x * GROUP + lane;
    let k = group.y;
    if (i >= params.end) {
        return;
    }
    var d2 = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        let at = k * params.dims + j;
        let y = diagonal[at] * (points[j * params.n + i] - centers[at]);
        d2 += y * y;
    }
    responsibility[k * params.n + i] = offsets[k] - 0.5 * d2;
}

@compute @workgroup_size(SOFT_GROUP)
fn softargmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = params.first + group.x * SOFT_GROUP + lane;
    var own = 0.0;
    if (i < params.end) {
        var top = responsibility[i];
        var sum = 1.0;
        for (var k = 1u; k < params.components; k++) {
            let z = responsibility[k * params.n + i];
            // Whenever the maximum rises, what was summed is scaled down.
            let higher = max(top, z);
            sum = sum * exp(top - higher) + exp(z - higher);
            top = higher;
        }
        own = top + log(sum);
        for (var k = 0u; k < params.components; k++) {
            let at = k * params.n + i;
            responsibility[at] = exp(responsibility[at] - top) / sum;
        }
    }
    parts[lane] = own;
    for (var half = SOFT_GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
    }
    if (lane == 0u) {
        evidence[params.first / SOFT_GROUP + group.x] = parts[0];
    }
}
