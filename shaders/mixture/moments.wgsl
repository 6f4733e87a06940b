// The sums of the M-step about the centres c_k: twin of src/mixture/moments.rs.
//
//   G_k = sum_n r_nk e_n e_n^T,  e_n = (1, x_n - c_k)        (its lower triangle; holds the mass and both moments)
//
// `products`: one workgroup for each 16 x 16 tile of G_k, component and segment of the points; slabs of 16 points pass through
// workgroup memory. `squares`: one workgroup for each column, component and segment, where columns are independent. `add_up`
// adds the segments in order. Sums run over 256 points, then over those: rounding grows with 256 + points / 256, and the shape
// of every sum follows from the data's shape alone. Cost: N K M^2 / 2 products, N K M for squares.

struct MomentsParams {
    n: u32,                // points of this piece
    dims: u32,             // M
    components: u32,       // components whose sums are held at a time
    first_component: u32,  // the first of them
    first_segment: u32,    // the first segment of this dispatch
    segments: u32,         // segments of all points
    rows: u32,             // points of a segment
    sums: u32,             // numbers that a segment's sums are
}

const TILE = 16u;
const GROUP = 256u;
// One more than a slab's points, so that the rows of a tile lie in different banks.
const PITCH = 17u;

@group(0) @binding(0) var<uniform> params: MomentsParams;
@group(0) @binding(1) var<storage, read> points: array<f32>;          // [M, n] x, centred
@group(0) @binding(2) var<storage, read> centers: array<f32>;         // [K, M] c
@group(0) @binding(3) var<storage, read> responsibility: array<f32>;  // [K, n] r
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;  // [segments, components, (M + 1)^2 or 3 M] sums

var<workgroup> left: array<f32, TILE * PITCH>;
var<workgroup> right: array<f32, TILE * PITCH>;
var<workgroup> parts: array<vec4f, GROUP>;

// Coordinate c of e for a point: 0 past the end of the coordinates.
fn coordinate(c: u32, k: u32, i: u32) -> f32 {
    if (c == 0u) {
        return 1.0;
    }
    if (c > params.dims) {
        return 0.0;
    }
    return points[(c - 1u) * params.n + i] - centers[k * params.dims + c - 1u];
}

@compute @workgroup_size(GROUP)
fn products(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    // Workgroup x is the tile, counted along the rows of a lower triangle.
    var tile_row = 0u;
    var tile_column = group.x;
    while (tile_column > tile_row) {
        tile_column -= tile_row + 1u;
        tile_row++;
    }
    let slot = group.y % params.components;
    let segment = params.first_segment + group.y / params.components;
    let k = params.first_component + slot;
    let row = lane / TILE;
    let column = lane % TILE;
    let begin = segment * params.rows;
    let end = min(begin + params.rows, params.n);
    var total = 0.0;
    var part = 0.0;
    var summed = 0u;
    for (var start = begin; start < end; start += TILE) {
        // While staging, `column` is the point and `row` the coordinate.
        let i = start + column;
        var r = 0.0;
        var a = 0.0;
        var b = 0.0;
        if (i < end) {
            r = responsibility[k * params.n + i];
            a = coordinate(tile_row * TILE + row, k, i);
            b = coordinate(tile_column * TILE + row, k, i);
        }
        left[row * PITCH + column] = r * a;
        right[row * PITCH + column] = b;
        // The slab must be there before it is read.
        workgroupBarrier();
        for (var p = 0u; p < TILE; p++) {
            part += left[row * PITCH + p] * right[column * PITCH + p];
        }
        summed += TILE;
        if (summed == GROUP) {
            total += part;
            part = 0.0;
            summed = 0u;
        }
        // And it must have been read before the next one replaces it.
        workgroupBarrier();
    }
    let width = params.dims + 1u;
    let y = tile_row * TILE + row;
    let x = tile_column * TILE + column;
    if (y < width && x < width) {
        partials[((segment * params.components + slot) * width + y) * width + x] = total + part;
    }
}

@compute @workgroup_size(GROUP)
fn squares(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let j = group.x;
    let slot = group.y % params.components;
    let segment = params.first_segment + group.y / params.components;
    let k = params.first_component + slot;
    let begin = segment * params.rows;
    let end = min(begin + params.rows, params.n);
    var sum = vec4f();
    for (var i = begin + lane; i < end; i += GROUP) {
        let r = responsibility[k * params.n + i];
        let d = points[j * params.n + i] - centers[k * params.dims + j];
        sum += vec4f(r, r * d, r * d * d, 0.0);
    }
    parts[lane] = sum;
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
    }
    if (lane == 0u) {
        let at = ((segment * params.components + slot) * params.dims + j) * 3u;
        partials[at] = parts[0].x;
        partials[at + 1u] = parts[0].y;
        partials[at + 2u] = parts[0].z;
    }
}

@compute @workgroup_size(GROUP)
fn add_up(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = group_index(group, groups) * GROUP + lane;
    if (at >= params.sums) {
        return;
    }
    var sum = partials[at];
    for (var segment = 1u; segment < params.segments; segment++) {
        sum += partials[segment * params.sums + at];
    }
    // Into segment 0, which the host reads.
    partials[at] = sum;
}
