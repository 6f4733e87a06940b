// The exact field of unit charges, all pairs in tiles: twin of src/field/exact.rs.
//
//   force_i = sum over j != i of w(D_ij) s(D_ij) (y_i - y_j)        weight_i = sum over j != i of w(D_ij)
//
// One invocation a point i and a segment of the points j; a workgroup shares each tile of j through workgroup memory.
// Cost: N^2 pairs of about 12 operations; bytes: N^2 / 128 points read, N * segments sums written.
// The sums of a tile are formed apart and then added, so that rounding grows with 128 + N/128 and not with N.

const TILE = 128u;

struct ExactParams {
    n: u32,        // points
    first: u32,    // first row of this dispatch
    end: u32,      // row after the last of this dispatch
    segment: u32,  // columns of a segment, a multiple of TILE
    segments: u32,
}

@group(0) @binding(0) var<uniform> params: ExactParams;
@group(0) @binding(1) var<storage, read> points: array<Stored>;      // [N] map
@group(0) @binding(2) var<storage, read_write> sums: array<vec4f>;   // [segments, N] force, weight

var<workgroup> tile: array<Stored, TILE>;

@compute @workgroup_size(TILE)
fn exact(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let block = index / params.segments;
    let segment = index % params.segments;
    let i = params.first + block * TILE + lane;
    let y_i = load_point(points[min(i, params.n - 1u)]);
    let begin = segment * params.segment;
    let end = min(begin + params.segment, params.n);
    var total = vec4f();
    for (var start = begin; start < end; start += TILE) {
        // The tile of the round before must have been read by all before it is overwritten.
        workgroupBarrier();
        tile[lane] = points[min(start + lane, params.n - 1u)];
        // ... and this one written by all before it is read.
        workgroupBarrier();
        var force = Point();
        var weight = 0.0;
        let count = min(TILE, end - start);
        for (var t = 0u; t < count; t++) {
            let difference = y_i - load_point(tile[t]);
            let d2 = dot(difference, difference);
            let w = select(kernel_weight(d2), 0.0, start + t == i);
            force += w * kernel_slope(d2) * difference;
            weight += w;
        }
        total += with_fourth(force, weight);
    }
    if (i < params.end) {
        sums[segment * params.n + i] = total;
    }
}
