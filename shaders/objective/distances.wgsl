// The distance family, all pairs: twin of src/objective/distances.rs. What a pair adds is the part before this one.
//
//   force_i = - sum over j of pull (y_i - y_j) / sum over j of weight
//   misfit_i = sum over j of misfit,   size_i = sum over j of size
//
// `pull` and `pull_sampled` sum a segment of columns, one invocation a point i; `finish` joins the segments of each row. Cost: N^2 pairs of some
// 20 operations and three roots or so, and the dissimilarity of each pair.

const TILE = 128u;

@group(0) @binding(0) var<uniform> params: TileParams;
@group(0) @binding(1) var<storage, read> points: array<Stored>;        // [N] map
@group(0) @binding(2) var<storage, read> reference: array<f32>;        // see lib/dissimilarity.wgsl
@group(0) @binding(3) var<storage, read_write> sums: array<vec4f>;     // [segments, N] pull, weight; then force, 1
@group(0) @binding(4) var<storage, read_write> misfits: array<vec2f>;  // [segments, N] misfit, size; segment 0 then holds all

var<workgroup> tile: array<Stored, TILE>;

// The pair, or nothing where its dissimilarity is not known: some drivers take NaN for 0, so the host sends -1.
fn known(d2: f32, delta2: f32) -> Pair {
    if (delta2 < 0.0) {
        return Pair(0.0, 0.0, 0.0, 0.0);
    }
    return pair(d2, delta2);
}

@compute @workgroup_size(TILE)
fn pull(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let segment = index % params.segments;
    let i = params.first + index / params.segments * TILE + lane;
    let i_held = min(i, params.n - 1u);
    let y_i = load_point(points[i_held]);
    let begin = params.base + segment * params.segment;
    let end = min(begin + params.segment, params.stop);
    var total = vec4f();
    var losses = vec2f();
    for (var start = begin; start < end; start += TILE) {
        // The tile of the round before must have been read by all before it is overwritten.
        workgroupBarrier();
        tile[lane] = points[min(start + lane, params.n - 1u)];
        // ... and this one written by all before it is read.
        workgroupBarrier();
        var force = Point();
        var weight = 0.0;
        var loss = vec2f();
        let count = min(TILE, end - start);
        for (var t = 0u; t < count; t++) {
            let j = start + t;
            if (j != i_held) {
                let difference = y_i - load_point(tile[t]);
                let pair = known(dot(difference, difference), dissimilarity(i_held, j));
                force += pair.pull * difference;
                weight += pair.weight;
                loss += vec2f(pair.misfit, pair.size);
            }
        }
        total += with_fourth(force, weight);
        losses += loss;
    }
    if (i < params.end) {
        let at = (params.segment_first + segment) * params.n + i;
        sums[at] = total;
        misfits[at] = losses;
    }
}

// The same over pairs that were drawn: columns are their numbers, and the reference holds [pairs, N].
@compute @workgroup_size(TILE)
fn pull_sampled(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let segment = index % params.segments;
    let i = params.first + index / params.segments * TILE + lane;
    if (i >= params.end) {
        return;
    }
    let y_i = load_point(points[i]);
    let begin = params.base + segment * params.segment;
    let end = min(begin + params.segment, params.stop);
    var force = Point();
    var weight = 0.0;
    var loss = vec2f();
    for (var k = begin; k < end; k++) {
        let difference = y_i - load_point(points[partner(i, k)]);
        let pair = known(dot(difference, difference), reference[(k - params.base) * params.n + i]);
        force += pair.pull * difference;
        weight += pair.weight;
        loss += vec2f(pair.misfit, pair.size);
    }
    let at = (params.segment_first + segment) * params.n + i;
    sums[at] = with_fourth(force, weight);
    misfits[at] = loss;
}

@compute @workgroup_size(64)
fn finish(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n) {
        return;
    }
    var total = sums[i];
    var losses = misfits[i];
    for (var segment = 1u; segment < params.segments_all; segment++) {
        let at = segment * params.n + i;
        total += sums[at];
        losses += misfits[at];
        sums[at] = vec4f();
    }
    // Weights of 1: N / Z is then 1 for the step, which takes the force as it is.
    let scale = select(0.0, -1.0 / total.w, total.w > 0.0);
    sums[i] = with_fourth(scale * point_of(total), 1.0);
    misfits[i] = losses;
}
