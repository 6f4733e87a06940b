// The joint distribution over the union of the neighbour edges: twin of src/affinity/symmetrize.rs.
//
//   N p_ij = (p_j|i + p_i|j) / 2          p_j|i = 0 where j is not among i's neighbours
//
// `reverse_edges` looks every edge i -> j up in row j: the conditional found there, or -1 and one more entry in row j.
// The host turns those counts into offsets. `collect` gives every edge without a reverse to the row that lacks it, in
// any order; `place_own` and `place_incoming` then find each entry's place by counting the smaller ones, so that rows
// ascend and the bytes do not depend on that order. Tables larger than a binding are cut into shards of rows, and the
// kernels run over pairs of shards. Cost: N k binary searches, and for each row (k + extra) * extra comparisons.

struct SymmetrizeParams {
    k: u32,             // neighbours
    source_first: u32,  // the point that row 0 of the source shard is
    source_rows: u32,
    first: u32,         // the point that row 0 of the other shard is
    rows: u32,
    begin: u32,         // first edge or entry of this dispatch
    end: u32,           // edge or entry after the last of this dispatch
}

@group(0) @binding(0) var<uniform> params: SymmetrizeParams;
@group(0) @binding(1) var<storage, read> source_indices: array<u32>;         // [source_rows, k] ascending
@group(0) @binding(2) var<storage, read> source_p: array<f32>;               // [source_rows, k] p_j|i
@group(0) @binding(3) var<storage, read> indices: array<u32>;                // [rows, k] ascending
@group(0) @binding(4) var<storage, read> p: array<f32>;                      // [rows, k] p_j|i
@group(0) @binding(5) var<storage, read_write> reverse: array<f32>;          // [source_rows, k] p_i|j, or -1
@group(0) @binding(6) var<storage, read_write> counts: array<atomic<u32>>;   // [rows] entries that a row lacks
@group(0) @binding(7) var<storage, read_write> incoming: array<vec4u>;       // [incoming] point, bits of p, row, 0
@group(0) @binding(8) var<storage, read> incoming_offsets: array<u32>;       // [rows + 1]
@group(0) @binding(9) var<storage, read_write> joint_indices: array<u32>;    // [edges of the shard]
@group(0) @binding(10) var<storage, read_write> joint_weights: array<f32>;   // [edges of the shard] N p_ij

// The first of row's k neighbours that is not below `point`, as a place in the row.
fn lower_bound(row: u32, point: u32) -> u32 {
    var low = 0u;
    var high = params.k;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (indices[row * params.k + middle] < point) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(64)
fn reverse_edges(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let edge = params.begin + group_index(group, groups) * 64u + lane;
    if (edge >= params.end) {
        return;
    }
    let i = params.source_first + edge / params.k;
    let j = source_indices[edge];
    if (j < params.first || j >= params.first + params.rows) {
        return;
    }
    let row = j - params.first;
    let place = lower_bound(row, i);
    if (place < params.k && indices[row * params.k + place] == i) {
        reverse[edge] = p[row * params.k + place];
    } else {
        reverse[edge] = -1.0;
        atomicAdd(&counts[row], 1u);
    }
}

@compute @workgroup_size(64)
fn collect(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let edge = params.begin + group_index(group, groups) * 64u + lane;
    if (edge >= params.end || reverse[edge] >= 0.0) {
        return;
    }
    let i = params.source_first + edge / params.k;
    let j = source_indices[edge];
    if (j < params.first || j >= params.first + params.rows) {
        return;
    }
    let row = j - params.first;
    let place = incoming_offsets[row] + atomicAdd(&counts[row], 1u);
    incoming[place] = vec4u(i, bitcast<u32>(source_p[edge]), row, 0u);
}

// How many of the points that came into `row` are below `point`.
fn incoming_below(row: u32, point: u32) -> u32 {
    var below = 0u;
    for (var t = incoming_offsets[row]; t < incoming_offsets[row + 1u]; t++) {
        below += u32(incoming[t].x < point);
    }
    return below;
}

// Where row's entries start in the joint shard: k of its own and its incoming ones a row.
fn joint_offset(row: u32) -> u32 {
    return row * params.k + incoming_offsets[row];
}

@compute @workgroup_size(64)
fn place_own(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let edge = params.begin + group_index(group, groups) * 64u + lane;
    if (edge >= params.end) {
        return;
    }
    let row = edge / params.k;
    let j = indices[edge];
    let place = joint_offset(row) + edge % params.k + incoming_below(row, j);
    joint_indices[place] = j;
    joint_weights[place] = 0.5 * (p[edge] + max(reverse[edge], 0.0));
}

@compute @workgroup_size(64)
fn place_incoming(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let t = params.begin + group_index(group, groups) * 64u + lane;
    if (t >= params.end) {
        return;
    }
    let entry = incoming[t];
    let row = entry.z;
    let place = joint_offset(row) + lower_bound(row, entry.x) + incoming_below(row, entry.x);
    joint_indices[place] = entry.x;
    joint_weights[place] = 0.5 * bitcast<f32>(entry.y);
}
