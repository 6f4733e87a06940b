// The precision of every point at which its neighbours have the perplexity asked for: twin of src/affinity/calibrate.rs.
//
//   H(beta) = ln Z + beta sum_j e_j w_j / Z,   w_j = exp(-beta e_j),   e_j = (delta_j^2 - min) / (max - min)
//   dH / d ln beta = -beta^2 Var(e)
//
// H - ln(perplexity) falls in ln beta: Newton's steps, and a halving of the bracket wherever they leave it or are slow.
// One invocation a point; neighbours lie transposed, so that neighbouring invocations read neighbouring numbers.
// Cost: about 12 passes over [k] neighbours, k exponentials each.

struct CalibrateParams {
    rows: u32,    // points of this tile
    k: u32,       // neighbours
    target_entropy: f32,  // ln(perplexity)
}

@group(0) @binding(0) var<uniform> params: CalibrateParams;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;          // [k, rows] in: delta^2, out: p_j|i
@group(0) @binding(2) var<storage, read_write> beta_of: array<f32>;    // [rows] precision, per unit of delta^2
@group(0) @binding(3) var<storage, read_write> reached: array<u32>;    // [rows] 1 if the perplexity was reached

const LARGEST = 1e30;
const SMALLEST = 1e-12;
// Entropies are sums of k terms and of a logarithm that is good to about 1e-6.
const TOLERANCE = 1e-6;
const ACCEPTED = 1e-3;
const LONGEST_SEARCH = 128u;

struct Moments {
    z: f32,
    entropy: f32,
    slope: f32,  // -dH / d ln beta
}

fn moments(row: u32, nearest: f32, scale: f32, beta: f32) -> Moments {
    var z = 0.0;
    var first = 0.0;
    var second = 0.0;
    for (var j = 0u; j < params.k; j++) {
        let e = (p[j * params.rows + row] - nearest) / scale;
        let w = exp(-beta * e);
        z += w;
        first += w * e;
        second += w * e * e;
    }
    let mean = beta * first / z;
    return Moments(z, log(z) + mean, beta * beta * (second / z) - mean * mean);
}

fn fill(row: u32, nearest: f32, tied: f32, only_nearest: bool) {
    for (var j = 0u; j < params.k; j++) {
        let at = j * params.rows + row;
        p[at] = select(1.0 / tied, 0.0, only_nearest && p[at] != nearest);
    }
}

@compute @workgroup_size(64)
fn calibrate(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group_index(group, groups) * 64u + lane;
    if (row >= params.rows) {
        return;
    }
    let k = f32(params.k);
    let goal = params.target_entropy;
    var nearest = p[row];
    var farthest = p[row];
    for (var j = 1u; j < params.k; j++) {
        let d2 = p[j * params.rows + row];
        nearest = min(nearest, d2);
        farthest = max(farthest, d2);
    }
    let scale = farthest - nearest;
    if (scale == 0.0 || goal >= log(k)) {
        fill(row, nearest, k, false);
        beta_of[row] = 0.0;
        reached[row] = u32(scale == 0.0 && abs(goal - log(k)) < TOLERANCE);
        return;
    }
    var tied = 0.0;
    var next = 1.0;
    var sum = 0.0;
    for (var j = 0u; j < params.k; j++) {
        let e = (p[j * params.rows + row] - nearest) / scale;
        tied += select(0.0, 1.0, e == 0.0);
        next = select(next, min(next, e), e > 0.0);
        sum += e;
    }
    if (goal <= log(tied)) {
        fill(row, nearest, tied, true);
        beta_of[row] = min(LARGEST, 177.0 / next / scale);
        reached[row] = u32(abs(goal - log(tied)) < TOLERANCE);
        return;
    }
    var low = SMALLEST;
    var high = LARGEST;
    var beta = k / sum;
    var last_error = LARGEST;
    var found = Moments();
    for (var round = 0u; round < LONGEST_SEARCH; round++) {
        found = moments(row, nearest, scale, beta);
        let error = found.entropy - goal;
        if (abs(error) <= TOLERANCE * (1.0 + goal) || round + 1u == LONGEST_SEARCH) {
            break;
        }
        if (error > 0.0) {
            low = beta;
        } else {
            high = beta;
        }
        // A step that does not at least halve the error is followed by a halving of the bracket.
        let newton = beta * exp(clamp(error / max(found.slope, 1e-20), -60.0, 60.0));
        let slow = abs(error) > 0.5 * last_error;
        last_error = abs(error);
        let tried = select(sqrt(low) * sqrt(high), newton, newton > low && newton < high && !slow);
        if (tried == beta || tried <= low || tried >= high) {
            break;
        }
        beta = tried;
    }
    for (var j = 0u; j < params.k; j++) {
        let at = j * params.rows + row;
        p[at] = exp(-beta * ((p[at] - nearest) / scale)) / found.z;
    }
    beta_of[row] = min(LARGEST, beta / scale);
    reached[row] = u32(abs(found.entropy - goal) <= ACCEPTED);
}
