// The totals that every point needs: Z = sum of weight_i, and the sum of the map's points: twin of src/field/total.rs.
//
// `partial` adds up the segments of each row (leaving the row's sum in segment 0) and reduces 256 rows to one number;
// `total` reduces those to one, in one workgroup. Fixed trees: the same bytes every time. Cost: N * segments reads.

const GROUP = 256u;

struct TotalParams {
    n: u32,         // points
    segments: u32,
    partials: u32,  // ceil(N / 256)
}

@group(0) @binding(0) var<uniform> params: TotalParams;
@group(0) @binding(1) var<storage, read> points: array<Stored>;         // [N] map
@group(0) @binding(2) var<storage, read_write> sums: array<vec4f>;      // [segments, N] force, weight
@group(0) @binding(3) var<storage, read_write> partials: array<vec4f>;  // [partials] sum of points, sum of weights
@group(0) @binding(4) var<storage, read_write> totals: array<vec4f>;    // [1] sum of points, Z

var<workgroup> values: array<vec4f, GROUP>;

// Reduces `values` into values[0]; every lane must call it.
fn reduce(lane: u32) {
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            values[lane] += values[lane + half];
        }
    }
}

@compute @workgroup_size(GROUP)
fn partial(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let i = index * GROUP + lane;
    var value = vec4f();
    if (i < params.n) {
        var sum = sums[i];
        for (var segment = 1u; segment < params.segments; segment++) {
            sum += sums[segment * params.n + i];
        }
        sums[i] = sum;
        value = with_fourth(load_point(points[i]), sum.w);
    }
    values[lane] = value;
    reduce(lane);
    if (lane == 0u && index < params.partials) {
        partials[index] = values[0];
    }
}

@compute @workgroup_size(GROUP)
fn total(@builtin(local_invocation_index) lane: u32) {
    var value = vec4f();
    for (var i = lane; i < params.partials; i += GROUP) {
        value += partials[i];
    }
    values[lane] = value;
    reduce(lane);
    if (lane == 0u) {
        totals[0] = values[0];
    }
}
