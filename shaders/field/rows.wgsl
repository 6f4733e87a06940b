// Row normalisation on the mesh: who lies alone, the charges 1/Z of the others, and the exact rows of those alone: twin of
// src/field/rows.rs, where the formulas stand.
//
//   weigh        how many of a block's points are alone, and the charges of the others added up
//   tally        where each block's part of the list begins, and the units of the fixed point that these charges can have
//   list         the list of those alone in the order of their numbers, charges and log Z of the others
//   normalize    log Z of those alone, by all pairs under the running maximum
//   push_others  adds to every other point what rows of those alone push it
//   push_alone   the push of those alone, by all pairs
//
// The last three go through a slice of the list, whose length only the device knows: groups beyond it do nothing. A list
// that would not hold them all halts the device, as a grid does that does not hold the map (field/mesh/device/frame.wgsl).
// Cost: N reads for the first three; n_alone N pairs for the others, a workgroup for each of those alone.

const GROUP = 256u;
const WORDS = 8u;     // bits of a group, 32 a word
const ALONE = 1.0;    // below this Z a row is computed exactly
const NONE = -1e30;   // a score that no pair has

struct RowsParams {
    n: u32,          // points
    share: u32,      // points of a block, a multiple of GROUP
    blocks: u32,
    capacity: u32,   // points that the list holds
    first: u32,      // the slice
    end: u32,
    most: f32,       // units that one node of the grid holds of all charges
    alpha: f32,      // of Student's kernel
}

struct Frame {
    halted: u32,
    evaluations: u32,
    strays: u32,
    wild: u32,
    low: vec4f,
    high: vec4f,
    alone: u32,      // points that are
    units: f32,      // of the fixed point, a charge
}

@group(0) @binding(0) var<uniform> params: RowsParams;
@group(0) @binding(1) var<storage, read_write> frame: Frame;
@group(0) @binding(2) var<storage, read> points: array<Stored>;             // [N] map
@group(0) @binding(3) var<storage, read_write> sums: array<vec4f>;          // [N] force, Z; then push, 1
@group(0) @binding(4) var<storage, read_write> row_charges: array<f32>;     // [N] 1/Z; 0 of those alone
@group(0) @binding(5) var<storage, read_write> log_z: array<f32>;           // [N]
@group(0) @binding(6) var<storage, read_write> alone: array<u32>;           // [capacity] their numbers, ascending
@group(0) @binding(7) var<storage, read_write> blocks: array<vec2f>;        // [blocks] charge; how many are alone, then: before it

var<workgroup> values: array<vec4f, GROUP>;
var<workgroup> bits: array<atomic<u32>, WORDS>;

// Adds up `values` into values[0]; every lane must call it.
fn reduce(lane: u32) {
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            values[lane] += values[lane + half];
        }
    }
}

// Written so that a weight that is no number is one of them.
fn is_alone(z: f32) -> bool {
    return !(z >= ALONE);
}

@compute @workgroup_size(GROUP)
fn weigh(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group_index(group, groups);
    let end = min((block + 1u) * params.share, params.n);
    var sum = vec4f();
    for (var i = block * params.share + lane; i < end; i += GROUP) {
        let z = sums[i].w;
        if (is_alone(z)) {
            sum.y += 1.0;
        } else {
            sum.x += 1.0 / z;
        }
    }
    values[lane] = sum;
    reduce(lane);
    if (lane == 0u && block < params.blocks) {
        blocks[block] = values[0].xy;
    }
}

@compute @workgroup_size(1)
fn tally() {
    var total = vec2f();
    for (var block = 0u; block < params.blocks; block++) {
        let own = blocks[block];
        blocks[block].y = total.y;
        total += own;
    }
    if (frame.halted != 0u) {
        return;
    }
    frame.alone = u32(total.y);
    frame.units = select(0.0, params.most / total.x, total.x > 0.0);
    if (frame.alone > params.capacity) {
        frame.halted = 1u;
        frame.evaluations -= 1u;
    }
}

@compute @workgroup_size(GROUP)
fn list(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group_index(group, groups);
    var before = u32(blocks[min(block, params.blocks - 1u)].y);
    for (var round = 0u; round < params.share; round += GROUP) {
        // The bits of the round before have been read.
        workgroupBarrier();
        if (lane < WORDS) {
            atomicStore(&bits[lane], 0u);
        }
        workgroupBarrier();
        let i = block * params.share + round + lane;
        let z = sums[min(i, params.n - 1u)].w;
        let listed = i < params.n && is_alone(z);
        if (listed) {
            atomicOr(&bits[lane / 32u], 1u << (lane % 32u));
        }
        workgroupBarrier();
        var place = before;
        for (var word = 0u; word < WORDS; word++) {
            let here = atomicLoad(&bits[word]);
            let mask = select(select(0u, ~0u, word < lane / 32u), (1u << (lane % 32u)) - 1u, word == lane / 32u);
            place += countOneBits(here & mask);
            before += countOneBits(here);
        }
        if (listed && place < params.capacity) {
            alone[place] = i;
        }
        if (i < params.n) {
            row_charges[i] = select(1.0 / z, 0.0, listed);
            log_z[i] = log(select(z, 1.0, listed));
        }
    }
}

// Whether this workgroup has one of those alone.
fn has_one(number: u32) -> bool {
    return frame.halted == 0u && number < min(frame.alone, params.end);
}

@compute @workgroup_size(GROUP)
fn normalize(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = params.first + group_index(group, groups);
    let i = alone[select(0u, number, has_one(number))];
    let y_i = load_point(points[i]);
    var most = NONE;
    var sum = 0.0;
    // Barriers must be met by all, so groups without a point go through none and on.
    for (var j = lane; j < select(0u, params.n, has_one(number)); j += GROUP) {
        let difference = y_i - load_point(points[j]);
        let z = select(kernel_log_weight(dot(difference, difference)), NONE, j == i);
        let higher = max(most, z);
        sum = sum * exp(most - higher) + select(exp(z - higher), 0.0, j == i);
        most = higher;
    }
    values[lane] = vec4f(most, sum, 0.0, 0.0);
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            let a = values[lane];
            let b = values[lane + half];
            let higher = max(a.x, b.x);
            values[lane] = vec4f(higher, a.y * exp(a.x - higher) + b.y * exp(b.x - higher), 0.0, 0.0);
        }
    }
    if (lane == 0u && has_one(number)) {
        log_z[i] = values[0].x + log(values[0].y);
    }
}

@compute @workgroup_size(64)
fn push_others(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n || frame.halted != 0u) {
        return;
    }
    let end = min(frame.alone, params.end);
    if (params.first >= end || row_charges[i] == 0.0) {
        return;
    }
    let y_i = load_point(points[i]);
    var push = Point();
    for (var number = params.first; number < end; number++) {
        let j = alone[number];
        let difference = y_i - load_point(points[j]);
        let d2 = dot(difference, difference);
        push += exp(kernel_log_weight(d2) - log_z[j]) * kernel_slope(d2) * difference;
    }
    sums[i] += with_fourth(0.5 * push, 0.0);
}

@compute @workgroup_size(GROUP)
fn push_alone(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = params.first + group_index(group, groups);
    let i = alone[select(0u, number, has_one(number))];
    let y_i = load_point(points[i]);
    let log_z_i = log_z[i];
    var push = Point();
    for (var j = lane; j < select(0u, params.n, has_one(number)); j += GROUP) {
        let difference = y_i - load_point(points[j]);
        let d2 = dot(difference, difference);
        let z = kernel_log_weight(d2);
        let q = select(exp(z - log_z_i) + exp(z - log_z[j]), 0.0, j == i);
        push += q * kernel_slope(d2) * difference;
    }
    values[lane] = with_fourth(push, 0.0);
    reduce(lane);
    if (lane == 0u && has_one(number)) {
        sums[i] = with_fourth(0.5 * point_of(values[0]), 1.0);
    }
}
