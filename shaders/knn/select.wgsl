// Exact nearest neighbours of a tile of queries: twin of src/knn/select.rs.
//
// `distances` forms |x - y|^2, or another fold of the coordinates, by direct differences for 64 queries and 64 points a workgroup: each of 16 x 16 lanes holds
// 4 x 4 sums, and 16 coordinates at a time pass through workgroup memory. Cost: Q N M subtractions and multiply-adds.
//
// `select_nearest` takes one query a workgroup. Squared distances are not negative, so their bits sort as they do: four
// passes over the row, each with a histogram of 8 bits, find the bits of the k-th smallest and how many of its ties
// belong; a fifth pass writes the chosen in ascending order of index, ties to the smaller. Any k, no float atomics, and
// counts do not depend on an order. Cost: 5 Q N reads.

struct SelectParams {
    n: u32,            // points
    m: u32,            // coordinates
    k: u32,            // neighbours
    queries: u32,      // rows of this tile
    first_query: u32,  // the point that row 0 of the tile is
    first_point: u32,  // the point that row 0 of `points` is
    points: u32,       // rows of `points`
    scale: f32,        // delta^2 = (scale d2)^2; 0: d2 itself
}

@group(0) @binding(0) var<uniform> params: SelectParams;
@group(0) @binding(1) var<storage, read> queries: array<f32>;              // [queries, m]
@group(0) @binding(2) var<storage, read> points: array<f32>;               // [points, m]
@group(0) @binding(3) var<storage, read_write> d2: array<f32>;             // [queries, n] squared distances
@group(0) @binding(4) var<storage, read_write> near_indices: array<u32>;   // [queries, k] ascending
@group(0) @binding(5) var<storage, read_write> near_d2: array<f32>;        // [queries, k] delta^2

// What the differences of coordinates are folded by (Fold in src/knn/mod.rs): 0 sums squares, 1 sums magnitudes, 2 takes the largest
// magnitude, 3 counts those that are not 0. A constant of the pipeline: the others are compiled away.
override fold: u32 = 0u;

fn folded(so_far: vec4f, difference: vec4f) -> vec4f {
    if (fold == 1u) {
        return so_far + abs(difference);
    }
    if (fold == 2u) {
        return max(so_far, abs(difference));
    }
    if (fold == 3u) {
        return so_far + select(vec4f(), vec4f(1.0), difference != vec4f());
    }
    return so_far + difference * difference;
}

const SIDE = 16u;
const BLOCK = 64u;
const PITCH = 17u;  // one more than the 16 coordinates, so that lanes of a column fall into different banks

var<workgroup> query_tile: array<f32, BLOCK * PITCH>;
var<workgroup> point_tile: array<f32, BLOCK * PITCH>;

@compute @workgroup_size(SIDE, SIDE)
fn distances(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_q = group.y * BLOCK;
    let first_p = group.x * BLOCK;
    // Sums of this lane's four queries with each of its four points. Four names and no array: an array that is indexed by
    // a loop counter may land in memory.
    var with_0 = vec4f();
    var with_1 = vec4f();
    var with_2 = vec4f();
    var with_3 = vec4f();
    for (var start = 0u; start < params.m; start += SIDE) {
        // The tiles of the round before must have been read by all before they are overwritten.
        workgroupBarrier();
        for (var part = 0u; part < 4u; part++) {
            let row = part * SIDE + lane / SIDE;
            let column = lane % SIDE;
            let c = start + column;
            let q = min(first_q + row, params.queries - 1u);
            let p = min(first_p + row, params.points - 1u);
            // Past the last coordinate both are 0 and add nothing.
            query_tile[row * PITCH + column] = select(0.0, queries[q * params.m + min(c, params.m - 1u)], c < params.m);
            point_tile[row * PITCH + column] = select(0.0, points[p * params.m + min(c, params.m - 1u)], c < params.m);
        }
        // ... and these written by all before they are read.
        workgroupBarrier();
        for (var c = 0u; c < SIDE; c++) {
            let q = vec4f(
                query_tile[local.y * PITCH + c],
                query_tile[(local.y + 16u) * PITCH + c],
                query_tile[(local.y + 32u) * PITCH + c],
                query_tile[(local.y + 48u) * PITCH + c],
            );
            let from_0 = q - point_tile[local.x * PITCH + c];
            let from_1 = q - point_tile[(local.x + 16u) * PITCH + c];
            let from_2 = q - point_tile[(local.x + 32u) * PITCH + c];
            let from_3 = q - point_tile[(local.x + 48u) * PITCH + c];
            with_0 = folded(with_0, from_0);
            with_1 = folded(with_1, from_1);
            with_2 = folded(with_2, from_2);
            with_3 = folded(with_3, from_3);
        }
    }
    store_column(first_q + local.y, first_p + local.x, with_0);
    store_column(first_q + local.y, first_p + local.x + 16u, with_1);
    store_column(first_q + local.y, first_p + local.x + 32u, with_2);
    store_column(first_q + local.y, first_p + local.x + 48u, with_3);
}

// Writes the squared distances of point p from the queries q, q + 16, q + 32 and q + 48.
fn store_column(q: u32, p: u32, column: vec4f) {
    if (p >= params.points) {
        return;
    }
    let at = params.first_point + p;
    if (q < params.queries) {
        d2[q * params.n + at] = column.x;
    }
    if (q + 16u < params.queries) {
        d2[(q + 16u) * params.n + at] = column.y;
    }
    if (q + 32u < params.queries) {
        d2[(q + 32u) * params.n + at] = column.z;
    }
    if (q + 48u < params.queries) {
        d2[(q + 48u) * params.n + at] = column.w;
    }
}

const GROUP = 256u;
const BINS = 256u;

var<workgroup> histogram: array<atomic<u32>, BINS>;
var<workgroup> prefix: u32;     // the leading bits of the k-th smallest, as far as known
var<workgroup> remaining: u32;  // how many with those leading bits belong to the k
var<workgroup> smaller: array<u32, GROUP>;  // chosen for being smaller, before each lane's share
var<workgroup> equal: array<u32, GROUP>;    // equal to the k-th smallest, before each lane's share

@compute @workgroup_size(GROUP)
fn select_nearest(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let row = min(index, params.queries - 1u);
    let own = params.first_query + row;
    let base = row * params.n;
    if (lane == 0u) {
        prefix = 0u;
        remaining = params.k;
    }
    for (var digit = 0u; digit < 4u; digit++) {
        let shift = 24u - 8u * digit;
        atomicStore(&histogram[lane], 0u);
        // The empty histogram and the prefix of the round before must be seen by all.
        workgroupBarrier();
        let leading = prefix;
        for (var j = lane; j < params.n; j += GROUP) {
            let bits = bitcast<u32>(d2[base + j]);
            // In the first round there are no leading bits, and a shift by 32 is not one.
            let matches = digit == 0u || bits >> min(shift + 8u, 31u) == leading;
            if (j != own && matches) {
                atomicAdd(&histogram[(bits >> shift) & 255u], 1u);
            }
        }
        // All counts must be in before they are added up.
        workgroupBarrier();
        if (lane == 0u) {
            var left = remaining;
            var bin = 0u;
            for (; bin < BINS - 1u; bin++) {
                let count = atomicLoad(&histogram[bin]);
                if (count >= left) {
                    break;
                }
                left -= count;
            }
            prefix = (leading << 8u) | bin;
            remaining = left;
        }
        // The next round empties the histogram and reads the prefix.
        workgroupBarrier();
    }
    let threshold = prefix;
    let ties = remaining;

    let share = (params.n + GROUP - 1u) / GROUP;
    let begin = min(lane * share, params.n);
    let end = min(begin + share, params.n);
    var less = 0u;
    var same = 0u;
    for (var j = begin; j < end; j++) {
        let bits = bitcast<u32>(d2[base + j]);
        less += u32(j != own && bits < threshold);
        same += u32(j != own && bits == threshold);
    }
    smaller[lane] = less;
    equal[lane] = same;
    // All shares must be counted before they are added up,
    workgroupBarrier();
    if (lane == 0u) {
        var sum_less = 0u;
        var sum_same = 0u;
        for (var l = 0u; l < GROUP; l++) {
            let here_less = smaller[l];
            let here_same = equal[l];
            smaller[l] = sum_less;
            equal[l] = sum_same;
            sum_less += here_less;
            sum_same += here_same;
        }
    }
    // ... and added up before they are used.
    workgroupBarrier();
    var seen = equal[lane];
    var at = smaller[lane] + min(seen, ties);
    for (var j = begin; j < end; j++) {
        let value = d2[base + j];
        let bits = bitcast<u32>(value);
        let tie = j != own && bits == threshold;
        if (j != own && (bits < threshold || (tie && seen < ties)) && index < params.queries) {
            near_indices[row * params.k + at] = j;
            let scaled = params.scale * value;
            near_d2[row * params.k + at] = select(value, scaled * scaled, params.scale > 0.0);
            at++;
        }
        seen += u32(tie);
    }
}
