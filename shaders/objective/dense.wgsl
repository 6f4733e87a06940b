// All pairs of any neighbour method, in two passes: twin of src/objective/dense.rs, where the formulas stand.
//
// `scores` sums exp(z - m) and exp(z - m) (z - log p) of each row over a segment of columns, with the running maximum m;
// `rows` joins the segments of each row to (log Z, KL(q||p)), and 256 rows to one; `joint` joins those. `push` sums what q
// contributes to the gradient. One invocation a point i and a segment of points j; a workgroup shares each tile of j.
// Cost: N^2 pairs of some 30 operations and two exponentials, and where lambda < 1 the dissimilarity of each pair.

const TILE = 128u;
const GROUP = 256u;
const NONE = -1e30;  // a score that no pair has

struct DenseStage {
    lambda: f32,  // share of the forward divergence
}

// Whether log p is asked for: a constant of the pipeline, as `stored` is.
override reverse: bool = false;
// Least log p; the most negative number where none was asked for.
override floor_of_log_p: f32 = -3.4e38;

@group(0) @binding(0) var<uniform> params: TileParams;
@group(0) @binding(1) var<uniform> stage: DenseStage;
@group(0) @binding(2) var<storage, read> points: array<Stored>;          // [N] map
@group(0) @binding(3) var<storage, read> reference: array<f32>;          // see lib/dissimilarity.wgsl
@group(0) @binding(4) var<storage, read> widths: array<vec2f>;           // [N] beta, offset: log p_j|i = offset_i - beta_i delta2
@group(0) @binding(5) var<storage, read_write> partial: array<vec4f>;    // [segments, N] m, sum, excess; segment 0 then holds all
@group(0) @binding(6) var<storage, read_write> normalizers: array<vec2f>;  // [N + 1] log Z, KL(q||p); the last is that of all pairs
@group(0) @binding(7) var<storage, read_write> sums: array<vec4f>;       // [segments, N] push, 1

var<workgroup> tile: array<Stored, TILE>;
var<workgroup> tile_widths: array<vec2f, TILE>;
var<workgroup> tile_rows: array<vec2f, TILE>;
var<workgroup> values: array<vec3f, GROUP>;

// log p of i -> j and of j -> i; both that of the pair where q sums to 1 over all pairs.
fn log_p(i: u32, j: u32, width_i: vec2f, width_j: vec2f) -> vec2f {
    let delta2 = dissimilarity(i, j);
    let both = vec2f(width_i.y - width_i.x * delta2, width_j.y - width_j.x * delta2);
    if (params.by_rows == 1u) {
        return max(both, vec2f(floor_of_log_p));
    }
    let most = max(both.x, both.y);
    let joint = most + log(1.0 + exp(min(both.x, both.y) - most)) - log(2.0 * f32(params.n));
    return max(vec2f(joint), vec2f(floor_of_log_p));
}

// Two sums of exponentials under their common maximum.
fn joined(a: vec3f, b: vec3f) -> vec3f {
    let most = max(a.x, b.x);
    let sums = a.yz * exp(a.x - most) + b.yz * exp(b.x - most);
    return vec3f(most, sums);
}

fn normalizer(value: vec3f) -> vec2f {
    let log_z = value.x + log(value.y);
    return vec2f(log_z, select(0.0, value.z / value.y - log_z, reverse));
}

@compute @workgroup_size(TILE)
fn scores(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let segment = index % params.segments;
    let i = params.first + index / params.segments * TILE + lane;
    let i_held = min(i, params.n - 1u);
    let y_i = load_point(points[i_held]);
    let width_i = widths[select(0u, i_held, reverse)];
    let begin = params.base + segment * params.segment;
    let end = min(begin + params.segment, params.stop);
    var total = vec3f(NONE, 0.0, 0.0);
    for (var start = begin; start < end; start += TILE) {
        // The tile of the round before must have been read by all before it is overwritten.
        workgroupBarrier();
        let j_held = min(start + lane, params.n - 1u);
        tile[lane] = points[j_held];
        tile_widths[lane] = widths[select(0u, j_held, reverse)];
        // ... and this one written by all before it is read.
        workgroupBarrier();
        let count = min(TILE, end - start);
        // The largest score of a tile first, then its sums: one exponential a pair.
        var most = total.x;
        for (var t = 0u; t < count; t++) {
            let difference = y_i - load_point(tile[t]);
            let z = kernel_log_weight(dot(difference, difference));
            most = max(most, select(z, NONE, start + t == i_held));
        }
        total = joined(total, vec3f(most, 0.0, 0.0));
        var sum = vec2f();
        for (var t = 0u; t < count; t++) {
            let j = start + t;
            let difference = y_i - load_point(tile[t]);
            let z = kernel_log_weight(dot(difference, difference));
            let weight = select(exp(z - most), 0.0, j == i_held);
            var excess = 0.0;
            if (reverse) {
                excess = weight * (z - log_p(i_held, j, width_i, tile_widths[t]).x);
            }
            sum += vec2f(weight, excess);
        }
        total += vec3f(0.0, sum);
    }
    if (i < params.end) {
        partial[(params.segment_first + segment) * params.n + i] = vec4f(total, 0.0);
    }
}

// Joins `values` into values[0]; every lane must call it.
fn join(lane: u32) {
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            values[lane] = joined(values[lane], values[lane + half]);
        }
    }
}

@compute @workgroup_size(GROUP)
fn rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * GROUP + lane;
    var value = vec3f(NONE, 0.0, 0.0);
    if (i < params.n) {
        for (var segment = 0u; segment < params.segments_all; segment++) {
            value = joined(value, partial[segment * params.n + i].xyz);
        }
        normalizers[i] = normalizer(value);
    }
    values[lane] = value;
    join(lane);
    // The segments of these rows have been read by those who own them: the first row's place holds what all of them join to.
    if (lane == 0u && i < params.n) {
        partial[i] = vec4f(values[0], 0.0);
    }
}

@compute @workgroup_size(GROUP)
fn joint(@builtin(local_invocation_index) lane: u32) {
    var value = vec3f(NONE, 0.0, 0.0);
    for (var i = lane * GROUP; i < params.n; i += GROUP * GROUP) {
        value = joined(value, partial[i].xyz);
    }
    values[lane] = value;
    join(lane);
    if (lane == 0u) {
        normalizers[params.n] = normalizer(values[0]);
    }
}

@compute @workgroup_size(TILE)
fn push(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let segment = index % params.segments;
    let i = params.first + index / params.segments * TILE + lane;
    let i_held = min(i, params.n - 1u);
    let y_i = load_point(points[i_held]);
    let width_i = widths[select(0u, i_held, reverse)];
    let row_i = normalizers[select(params.n, i_held, params.by_rows == 1u)];
    let mixed = 1.0 - stage.lambda;
    let begin = params.base + segment * params.segment;
    let end = min(begin + params.segment, params.stop);
    var total = Point();
    for (var start = begin; start < end; start += TILE) {
        // The tile of the round before must have been read by all before it is overwritten.
        workgroupBarrier();
        let j_held = min(start + lane, params.n - 1u);
        tile[lane] = points[j_held];
        tile_widths[lane] = widths[select(0u, j_held, reverse)];
        tile_rows[lane] = normalizers[select(params.n, j_held, params.by_rows == 1u)];
        // ... and this one written by all before it is read.
        workgroupBarrier();
        var force = Point();
        let count = min(TILE, end - start);
        for (var t = 0u; t < count; t++) {
            let j = start + t;
            let difference = y_i - load_point(tile[t]);
            let d2 = dot(difference, difference);
            let z = kernel_log_weight(d2);
            let log_q = vec2f(z) - vec2f(row_i.x, tile_rows[t].x);
            var h = exp(log_q);
            if (reverse) {
                let surplus = log_q - log_p(i_held, j, width_i, tile_widths[t]) - vec2f(row_i.y, tile_rows[t].y);
                h *= stage.lambda + mixed * surplus;
            }
            let both = select(h.x * f32(params.n), 0.5 * (h.x + h.y), params.by_rows == 1u);
            force += select(both * kernel_slope(d2), 0.0, j == i_held) * difference;
        }
        total += force;
    }
    if (i < params.end) {
        let number = params.segment_first + segment;
        // Weights of 1: N / Z is then 1 for the step, which takes the push as it is.
        sums[number * params.n + i] = with_fourth(total, select(0.0, 1.0, number == 0u));
    }
}
