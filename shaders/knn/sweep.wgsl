// The search in inverted lists on a device: twin of src/knn/probe.rs, run by src/knn/sweep.rs.
//
// A tile is 256 points that lie together; it goes through the cells in the order of their distance from it, 32 at a time:
//
// `approach` computes |x - c|^2 of the tile's points from these centroids and decides which point meets which cell:
//     |x - c|^2 < reach delta^2, delta the distance of its farthest neighbour so far, or near its own cell's boundary.
//     Cost: 256 * 32 * M subtractions and multiply-adds a tile.
// `meet` lets them meet. The points that meet a cell are gathered, whatever their number, into groups of 16; a group and
//     64 points of the cell are work for 32 invocations of 4 x 8 sums, and a workgroup does four such at a time. A
//     distance below the farthest so far goes into a list of the fresh, which is merged into the nearest, sorted,
//     when there is no room, and at the end. Cost: as many subtractions and multiply-adds as pairs that meet, times M, of
//     which a fifth to a third are in vain because groups and blocks are not full.
//
// Where a point stands in a group, and when its lists are merged, depends on the order in which invocations run; what it
// meets and what it keeps does not: distances are the same wherever they are computed, no two candidates are equal
// (ties go to the smaller index), and what is met is decided by the nearest of all that was met before these 32 cells.

struct SweepParams {
    m: u32,            // coordinates
    keep: u32,         // neighbours and the point itself
    room: u32,         // fresh candidates of a point
    lists: u32,        // cells
    first_block: u32,  // the block that block 0 of `points` is
    blocks: u32,       // blocks of `points`
    mask: u32,         // a bit for each of the 32 cells: to be met in this dispatch
    first: u32,        // 1: only the nearest cells, for a first bound
    need: u32,         // blocks of points that make a first bound
    reach: f32,
}

// A point that looks for neighbours.
struct Seeker {
    home: u32,         // its cell, NONE if there is no point
    boundary: f32,     // squared distance of a centroid below which a cell is met whatever the neighbours
    from_origin: f32,  // distance from the tile's middle
    bound: f32,        // squared distance of the farthest neighbour so far, FAR if there are too few
    met: u32,          // a bit for each of the 32 cells: to be met
    kept: u32,         // how many of `nearest` there are
}

@group(0) @binding(0) var<uniform> params: SweepParams;
@group(0) @binding(1) var<storage, read> queries: array<f32>;             // [tiles, M, 256] coordinates
@group(0) @binding(2) var<storage, read> order: array<vec2u>;             // [tiles, lists] squared distance from the tile, cell
@group(0) @binding(3) var<storage, read> lists: array<vec4u>;             // [lists] first block, block after the last, radius
@group(0) @binding(4) var<storage, read> centroids: array<f32>;           // [lists, M]
@group(0) @binding(5) var<storage, read_write> seekers: array<Seeker>;    // [tiles, 256]
@group(0) @binding(6) var<storage, read_write> chunks: array<u32>;        // [tiles] the 32 cells that come next; DONE
@group(0) @binding(7) var<storage, read_write> cells: array<vec2u>;       // [tiles, 32] blocks of the cells that are met
@group(0) @binding(8) var<storage, read> points: array<vec4f>;            // [blocks, M, 4] coordinates of 16 points a block
@group(0) @binding(9) var<storage, read> ids: array<u32>;                 // [blocks, 16] the points, NONE where there is none
@group(0) @binding(10) var<storage, read_write> nearest: array<vec2u>;    // [tiles, 256, keep] bits of squared distance, point
@group(0) @binding(11) var<storage, read_write> fresh: array<vec2u>;      // [tiles, 256, room] the same, in no order

const GROUP = 128u;
const TILE = 256u;
const CELLS = 32u;
const LANES = 16u;  // points of a block
const NONE = 0xffffffffu;
const DONE = 0xffffffffu;
const FAR = 3e38;   // farther than anything that can be compared

// ---- approach

const COORDINATES = 32u;  // that pass through workgroup memory at a time

var<workgroup> centres: array<vec4f, COORDINATES * CELLS / 4u>;  // [32 coordinates, 32 cells]
var<workgroup> here: array<u32, CELLS>;
var<workgroup> sizes: array<u32, CELLS>;    // blocks
var<workgroup> radii: array<f32, CELLS>;
var<workgroup> farthest: atomic<u32>;       // bits of the farthest that a point of the tile reaches, from its middle

@compute @workgroup_size(GROUP)
fn approach(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let tile = group.x;
    let chunk = chunks[tile];
    let first_cell = min(min(chunk, params.lists) * CELLS, params.lists);
    let n_cells = min(CELLS, params.lists - first_cell);
    if (lane < CELLS) {
        // Past the last cell the last one stands in and is not looked at.
        let cell = order[tile * params.lists + min(first_cell + lane, params.lists - 1u)].y;
        let list = lists[cell];
        here[lane] = cell;
        sizes[lane] = list.y - list.x;
        radii[lane] = bitcast<f32>(list.z);
        cells[tile * CELLS + lane] = list.xy;
    }
    if (lane == 0u) {
        atomicStore(&farthest, 0u);
    }
    // The cells must be known to all, and the maximum empty,
    workgroupBarrier();
    for (var t = lane; t < TILE; t += GROUP) {
        let seeker = seekers[tile * TILE + t];
        if (seeker.home != NONE) {
            let reaches = seeker.from_origin + sqrt(limit(seeker.bound, seeker.boundary));
            // Positive numbers sort as their bits do.
            atomicMax(&farthest, bitcast<u32>(reaches));
        }
    }
    // ... and the maximum complete.
    workgroupBarrier();
    // The triangle inequality: no point of the tile reaches a cell as far as this, or any later one.
    let from_tile = sqrt(bitcast<f32>(order[tile * params.lists + min(first_cell, params.lists - 1u)].x));
    let done = n_cells == 0u || from_tile > 1.0001 * bitcast<f32>(atomicLoad(&farthest));
    let n_coordinates = select(params.m, 0u, done);

    for (var part = 0u; part < TILE; part += GROUP) {
        let t = part + lane;
        var from_0 = vec4f();
        var from_1 = vec4f();
        var from_2 = vec4f();
        var from_3 = vec4f();
        var from_4 = vec4f();
        var from_5 = vec4f();
        var from_6 = vec4f();
        var from_7 = vec4f();
        for (var start = 0u; start < n_coordinates; start += COORDINATES) {
            // The coordinates of the round before must have been read by all,
            workgroupBarrier();
            for (var i = lane; i < COORDINATES * CELLS / 4u; i += GROUP) {
                let c = min(start + i % COORDINATES, params.m - 1u);
                let quad = i / COORDINATES;
                centres[(i % COORDINATES) * (CELLS / 4u) + quad] = vec4f(
                    centroids[here[4u * quad] * params.m + c],
                    centroids[here[4u * quad + 1u] * params.m + c],
                    centroids[here[4u * quad + 2u] * params.m + c],
                    centroids[here[4u * quad + 3u] * params.m + c],
                );
            }
            // ... and these written.
            workgroupBarrier();
            let count = min(COORDINATES, n_coordinates - start);
            for (var c = 0u; c < count; c++) {
                let x = vec4f(queries[(tile * params.m + start + c) * TILE + t]);
                let at = c * (CELLS / 4u);
                let t_0 = x - centres[at];
                let t_1 = x - centres[at + 1u];
                let t_2 = x - centres[at + 2u];
                let t_3 = x - centres[at + 3u];
                let t_4 = x - centres[at + 4u];
                let t_5 = x - centres[at + 5u];
                let t_6 = x - centres[at + 6u];
                let t_7 = x - centres[at + 7u];
                from_0 += t_0 * t_0;
                from_1 += t_1 * t_1;
                from_2 += t_2 * t_2;
                from_3 += t_3 * t_3;
                from_4 += t_4 * t_4;
                from_5 += t_5 * t_5;
                from_6 += t_6 * t_6;
                from_7 += t_7 * t_7;
            }
        }
        var d2 = array<vec4f, 8>(from_0, from_1, from_2, from_3, from_4, from_5, from_6, from_7);
        let seeker = seekers[tile * TILE + t];
        var reached = limit(seeker.bound, seeker.boundary);
        if (params.first == 1u) {
            // The least distance below which lie enough points.
            reached = FAR;
            for (var a = 0u; a < n_cells; a++) {
                let candidate = d2[a / 4u][a % 4u];
                var below = 0u;
                for (var b = 0u; b < n_cells; b++) {
                    below += select(0u, sizes[b], d2[b / 4u][b % 4u] < candidate);
                }
                reached = select(reached, min(reached, candidate), below >= params.need);
            }
        }
        let root = sqrt(seeker.bound);
        var meets = 0u;
        for (var a = 0u; a < n_cells; a++) {
            let candidate = d2[a / 4u][a % 4u];
            let touching = root + radii[a];
            let near = candidate < reached && candidate <= touching * touching;
            meets |= u32(near || here[a] == seeker.home) << a;
        }
        if (chunk == 0u && params.first == 0u) {
            // Without those that made the first bound.
            meets &= ~seeker.met;
        }
        seekers[tile * TILE + t].met = select(meets, 0u, done || seeker.home == NONE);
    }
    if (lane == 0u && params.first == 0u) {
        chunks[tile] = select(chunk + 1u, DONE, done);
    }
}

// The squared distance of a centroid below which its cell is met.
fn limit(bound: f32, boundary: f32) -> f32 {
    if (bound <= 0.0) {
        // Nothing is nearer than identical rows, and there may be many.
        return 0.0;
    }
    if (bound >= FAR || params.reach >= FAR) {
        return FAR;
    }
    return max(boundary, params.reach * bound);
}

// ---- meet

const TEAMS = 4u;      // of 32 invocations
const ROWS = 16u;      // points that seek, for a team
const BLOCKS = 4u;     // blocks that they meet at a time
const DEPTH = 16u;     // coordinates of seekers that pass through workgroup memory at a time
const STAGED = 640u;   // nearest and fresh of a point, at most, and sixteen more
const BURST = 256u;    // fresh ones that a round may add: 4 teams with 64 points each

var<workgroup> masks: array<u32, TILE>;
var<workgroup> bounds: array<f32, TILE>;
var<workgroup> kept: array<u32, TILE>;
var<workgroup> counts: array<atomic<u32>, TILE>;  // fresh ones
var<workgroup> met_by_any: atomic<u32>;
var<workgroup> n_rows: atomic<u32>;
var<workgroup> rows: array<u32, TILE>;            // the points that meet a cell
var<workgroup> n_full: atomic<u32>;
var<workgroup> full: array<u32, TILE>;            // the points whose fresh ones are to be merged
var<workgroup> stage: array<vec4f, TEAMS * DEPTH * ROWS / 4u>;
var<workgroup> keys: array<vec2u, STAGED>;

@compute @workgroup_size(GROUP)
fn meet(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let tile = group.x;
    if (lane == 0u) {
        atomicStore(&met_by_any, 0u);
    }
    // The union must be empty,
    workgroupBarrier();
    for (var t = lane; t < TILE; t += GROUP) {
        let seeker = seekers[tile * TILE + t];
        masks[t] = seeker.met;
        bounds[t] = seeker.bound;
        kept[t] = seeker.kept;
        atomicStore(&counts[t], 0u);
        atomicOr(&met_by_any, seeker.met);
    }
    // ... and complete before it is read.
    workgroupBarrier();
    let team = lane / 32u;
    let quad = lane % 4u;
    let column = (lane / 4u) % 8u;
    for (var left = atomicLoad(&met_by_any) & params.mask; left != 0u; left &= left - 1u) {
        let cell = firstTrailingBit(left);
        let span = cells[tile * CELLS + cell];
        let bound_here = span.x >= params.first_block && span.y <= params.first_block + params.blocks;
        // All must have done with the points of the cell before,
        workgroupBarrier();
        if (lane == 0u) {
            atomicStore(&n_rows, 0u);
        }
        workgroupBarrier();
        for (var t = lane; t < TILE; t += GROUP) {
            if (bound_here && ((masks[t] >> cell) & 1u) == 1u) {
                rows[atomicAdd(&n_rows, 1u)] = t;
            }
        }
        // ... and those of this one be gathered.
        workgroupBarrier();
        let n = atomicLoad(&n_rows);
        let groups_of_rows = (n + ROWS - 1u) / ROWS;
        let items = groups_of_rows * ((span.y - span.x + BLOCKS - 1u) / BLOCKS);
        for (var first_item = 0u; first_item < items; first_item += TEAMS) {
            merge_above(params.room - BURST, tile, lane);
            let item = first_item + team;
            let row = (item % groups_of_rows) * ROWS + 4u * quad;
            let seeking = vec4u(
                rows[min(row, n - 1u)],
                rows[min(row + 1u, n - 1u)],
                rows[min(row + 2u, n - 1u)],
                rows[min(row + 3u, n - 1u)],
            );
            // This lane's eight points: a quarter of a block, and the same of the block after the next.
            let block = span.x + (item / groups_of_rows) * BLOCKS + column / 4u;
            let at = vec2u(min(block, span.y - 1u), min(block + 2u, span.y - 1u)) - params.first_block;
            let coordinate = at * params.m * 4u + column % 4u;
            var with_0 = vec4f();
            var with_1 = vec4f();
            var with_2 = vec4f();
            var with_3 = vec4f();
            var with_4 = vec4f();
            var with_5 = vec4f();
            var with_6 = vec4f();
            var with_7 = vec4f();
            for (var start = 0u; start < params.m; start += DEPTH) {
                // The coordinates of the round before must have been read by all,
                workgroupBarrier();
                for (var c = column; c < DEPTH; c += 8u) {
                    let origin = (tile * params.m + min(start + c, params.m - 1u)) * TILE;
                    stage[(team * DEPTH + c) * (ROWS / 4u) + quad] = vec4f(
                        queries[origin + seeking.x],
                        queries[origin + seeking.y],
                        queries[origin + seeking.z],
                        queries[origin + seeking.w],
                    );
                }
                // ... and these written.
                workgroupBarrier();
                let count = min(DEPTH, params.m - start);
                for (var c = 0u; c < count; c++) {
                    let x = stage[(team * DEPTH + c) * (ROWS / 4u) + quad];
                    let near = points[coordinate.x + (start + c) * 4u];
                    let next = points[coordinate.y + (start + c) * 4u];
                    let t_0 = x - near.x;
                    let t_1 = x - near.y;
                    let t_2 = x - near.z;
                    let t_3 = x - near.w;
                    let t_4 = x - next.x;
                    let t_5 = x - next.y;
                    let t_6 = x - next.z;
                    let t_7 = x - next.w;
                    with_0 += t_0 * t_0;
                    with_1 += t_1 * t_1;
                    with_2 += t_2 * t_2;
                    with_3 += t_3 * t_3;
                    with_4 += t_4 * t_4;
                    with_5 += t_5 * t_5;
                    with_6 += t_6 * t_6;
                    with_7 += t_7 * t_7;
                }
            }
            // Nothing is below the bound of a row that is none, or of a block that is none.
            let there = vec4<bool>(row < n, row + 1u < n, row + 2u < n, row + 3u < n) & vec4<bool>(item < items);
            let all_bounds = vec4f(bounds[seeking.x], bounds[seeking.y], bounds[seeking.z], bounds[seeking.w]);
            let near_bounds = select(vec4f(-1.0), all_bounds, there & vec4<bool>(block < span.y));
            let next_bounds = select(vec4f(-1.0), all_bounds, there & vec4<bool>(block + 2u < span.y));
            let id = at * LANES + 4u * (column % 4u);
            offer(with_0, near_bounds, seeking, id.x, tile);
            offer(with_1, near_bounds, seeking, id.x + 1u, tile);
            offer(with_2, near_bounds, seeking, id.x + 2u, tile);
            offer(with_3, near_bounds, seeking, id.x + 3u, tile);
            offer(with_4, next_bounds, seeking, id.y, tile);
            offer(with_5, next_bounds, seeking, id.y + 1u, tile);
            offer(with_6, next_bounds, seeking, id.y + 2u, tile);
            offer(with_7, next_bounds, seeking, id.y + 3u, tile);
        }
    }
    merge_above(0u, tile, lane);
    // The bounds that the last merge left must be seen.
    workgroupBarrier();
    for (var t = lane; t < TILE; t += GROUP) {
        seekers[tile * TILE + t].bound = bounds[t];
        seekers[tile * TILE + t].kept = kept[t];
    }
}

// Makes the point at `at` a candidate of those of four seekers that it is not too far from.
fn offer(d2: vec4f, below: vec4f, seeking: vec4u, at: u32, tile: u32) {
    if (!any(d2 <= below)) {
        return;
    }
    let point = ids[at];
    if (point == NONE) {
        return;
    }
    for (var j = 0u; j < 4u; j++) {
        // Equal is not too far: the smaller index decides.
        if (d2[j] <= below[j]) {
            let t = seeking[j];
            let slot = atomicAdd(&counts[t], 1u);
            fresh[(tile * TILE + t) * params.room + slot] = vec2u(bitcast<u32>(d2[j]), point);
        }
    }
}

// Merges the fresh candidates of every seeker that has more than `most` into its nearest.
fn merge_above(most: u32, tile: u32, lane: u32) {
    // The offers of the round before must be counted,
    workgroupBarrier();
    if (lane == 0u) {
        atomicStore(&n_full, 0u);
    }
    workgroupBarrier();
    for (var t = lane; t < TILE; t += GROUP) {
        if (atomicLoad(&counts[t]) > most) {
            full[atomicAdd(&n_full, 1u)] = t;
        }
    }
    // ... and all that are full be known.
    workgroupBarrier();
    let n = atomicLoad(&n_full);
    for (var i = 0u; i < n; i++) {
        let t = full[i];
        let old = kept[t];
        let all = old + atomicLoad(&counts[t]);
        let seeker = tile * TILE + t;
        // What others wrote must be there, and the keys of the seeker before be read.
        storageBarrier();
        workgroupBarrier();
        for (var a = lane; a < all; a += GROUP) {
            if (a < old) {
                keys[a] = nearest[seeker * params.keep + a];
            } else {
                keys[a] = fresh[seeker * params.room + a - old];
            }
        }
        if (lane < 16u) {
            // Not before any: the fresh are counted sixteen at a time.
            keys[all + lane] = vec2u(0xffffffffu);
        }
        // All keys must be there before they are compared.
        workgroupBarrier();
        for (var a = lane; a < all; a += GROUP) {
            let key = keys[a];
            // Its rank: among the nearest, which are sorted, by its place or by halving, and among the fresh by counting.
            var rank = a;
            if (a >= old) {
                var high = old;
                rank = 0u;
                while (rank < high) {
                    let middle = (rank + high) / 2u;
                    let later = before(keys[middle], key);
                    rank = select(rank, middle + 1u, later);
                    high = select(middle, high, later);
                }
            }
            for (var b = old; b < all; b += 16u) {
                rank += u32(before(keys[b], key)) + u32(before(keys[b + 1u], key))
                    + u32(before(keys[b + 2u], key)) + u32(before(keys[b + 3u], key))
                    + u32(before(keys[b + 4u], key)) + u32(before(keys[b + 5u], key))
                    + u32(before(keys[b + 6u], key)) + u32(before(keys[b + 7u], key))
                    + u32(before(keys[b + 8u], key)) + u32(before(keys[b + 9u], key))
                    + u32(before(keys[b + 10u], key)) + u32(before(keys[b + 11u], key))
                    + u32(before(keys[b + 12u], key)) + u32(before(keys[b + 13u], key))
                    + u32(before(keys[b + 14u], key)) + u32(before(keys[b + 15u], key));
            }
            if (rank < params.keep) {
                nearest[seeker * params.keep + rank] = key;
            }
            if (rank == params.keep - 1u) {
                bounds[t] = bitcast<f32>(key.x);
            }
        }
        if (lane == 0u) {
            atomicStore(&counts[t], 0u);
            kept[t] = min(all, params.keep);
        }
    }
    // Counts and bounds must be seen by those who offer next.
    workgroupBarrier();
}

// Nearer, or as near and of a smaller index.
fn before(a: vec2u, b: vec2u) -> bool {
    return a.x < b.x || (a.x == b.x && a.y < b.y);
}
