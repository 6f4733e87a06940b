// Places of new points among fixed ones: twin of src/transform/descend.rs.
//
//   C(y) = a sum_j p_j (-log w(D_j)) + log Z,   Z = sum over all old points of w(D_l)
//   dC/dy / 2 = a sum_j p_j s_j (y - y_j) - F/Z,   F = sum of w s (y - y_l)
//
// `field` sums Z and F at the places tried: one invocation a new point and a segment of the old ones, whose tiles a workgroup shares through
// workgroup memory. Cost: n new points pairs of about 12 operations; bytes: n / 128 old points read by each group of 128 new ones.
// `settle` adds up the segments in their order and the attraction along the k edges, takes the place or leaves it, and says which is next.
// A point's numbers are its own: how many others there are is of no matter.

struct DescendParams {
    n: u32,             // old points
    new_points: u32,
    k: u32,             // neighbours of each
    segment: u32,       // old points of a segment, a multiple of TILE
    segments: u32,
    starts: u32,        // places to start from, beside the mean of the neighbours
    alpha: f32,
    attraction: f32,    // a
    longest_step: f32,
    shorter: f32,       // eta where C did not fall ...
    longer: f32,        // ... and where it did,
    longest: f32,       // up to this
}

struct State {
    place: vec4f,       // and C there
    gradient: vec4f,    // dC/dy / 2, and eta
    curvature: f32,     // a sum_j p_j s_j
    round: u32,         // places tried so far
    unused_a: u32,
    unused_b: u32,
}

@group(0) @binding(0) var<uniform> params: DescendParams;
@group(0) @binding(1) var<storage, read> old: array<Stored>;                // [n]
@group(0) @binding(2) var<storage, read_write> tried: array<Stored>;        // [new_points]
@group(0) @binding(3) var<storage, read_write> sums: array<vec4f>;          // [segments, new_points] F and Z, relative to the nearest's w
@group(0) @binding(4) var<storage, read_write> near: array<f32>;            // [segments, new_points] squared distance of the nearest
@group(0) @binding(5) var<storage, read> indices: array<u32>;               // [k, new_points]
@group(0) @binding(6) var<storage, read> p: array<f32>;                     // [k, new_points]
@group(0) @binding(7) var<storage, read_write> state: array<State>;         // [new_points]
@group(0) @binding(8) var<storage, read> candidates: array<Stored>;         // [starts, new_points]

// Whether weights are relative to that of the nearest point, where they could all vanish. A constant of the pipeline.
override relative: u32 = 1u;

const TILE = 128u;
const FAR = 3.0e38;

var<workgroup> tile: array<Stored, TILE>;

fn share_tile(start: u32, lane: u32) {
    // The tile of the round before must have been read by all before it is overwritten.
    workgroupBarrier();
    tile[lane] = old[min(start + lane, params.n - 1u)];
    // ... and this one written by all before it is read.
    workgroupBarrier();
}

@compute @workgroup_size(TILE)
fn field(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    let block = index / params.segments;
    let segment = index % params.segments;
    let i = block * TILE + lane;
    let y = load_point(tried[min(i, params.new_points - 1u)]);
    let begin = segment * params.segment;
    let end = min(begin + params.segment, params.n);
    var nearest = FAR;
    if (relative == 1u) {
        for (var start = begin; start < end; start += TILE) {
            share_tile(start, lane);
            let count = min(TILE, end - start);
            for (var t = 0u; t < count; t++) {
                let difference = y - load_point(tile[t]);
                nearest = min(nearest, dot(difference, difference));
            }
        }
    }
    let most = kernel_log_weight(nearest);
    var total = vec4f();
    for (var start = begin; start < end; start += TILE) {
        share_tile(start, lane);
        var force = Point();
        var weight = 0.0;
        let count = min(TILE, end - start);
        for (var t = 0u; t < count; t++) {
            let difference = y - load_point(tile[t]);
            let d2 = dot(difference, difference);
            var w = 0.0;
            if (relative == 1u) {
                w = exp(kernel_log_weight(d2) - most);
            } else {
                w = kernel_weight(d2);
            }
            force += w * kernel_slope(d2) * difference;
            weight += w;
        }
        total += with_fourth(force, weight);
    }
    if (i < params.new_points) {
        sums[segment * params.new_points + i] = total;
        near[segment * params.new_points + i] = nearest;
    }
}

@compute @workgroup_size(64)
fn settle(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.new_points) {
        return;
    }
    var now = state[i];
    if (now.round == 0u) {
        // The mean of the neighbours, weighted by p.
        var mean = Point();
        for (var edge = 0u; edge < params.k; edge++) {
            let at = edge * params.new_points + i;
            mean += p[at] * load_point(old[indices[at]]);
        }
        now.round = 1u;
        state[i] = now;
        tried[i] = store_point(mean);
        return;
    }
    let y = load_point(tried[i]);

    var nearest = FAR;
    if (relative == 1u) {
        for (var segment = 0u; segment < params.segments; segment++) {
            nearest = min(nearest, near[segment * params.new_points + i]);
        }
    }
    let most = kernel_log_weight(nearest);
    var total = vec4f();
    for (var segment = 0u; segment < params.segments; segment++) {
        let at = segment * params.new_points + i;
        var scale = 1.0;
        if (relative == 1u) {
            scale = exp(kernel_log_weight(near[at]) - most);
        }
        total += scale * sums[at];
    }
    var log_z = log(total.w);
    if (relative == 1u) {
        log_z += most;
    }
    var pull = Point();
    var cross = 0.0;
    var curvature = 0.0;
    for (var edge = 0u; edge < params.k; edge++) {
        let at = edge * params.new_points + i;
        let difference = y - load_point(old[indices[at]]);
        let d2 = dot(difference, difference);
        let strength = p[at] * kernel_slope(d2);
        cross += p[at] * kernel_log_weight(d2);
        curvature += strength;
        pull += strength * difference;
    }
    let cost = log_z - params.attraction * cross;

    let lower = now.round == 1u || cost < now.place.w;
    let starting = now.round <= params.starts + 1u;
    var eta = 1.0;
    if (!starting) {
        eta = select(now.gradient.w * params.shorter, min(now.gradient.w * params.longer, params.longest), lower);
    }
    if (lower) {
        now.place = with_fourth(y, cost);
        now.gradient = with_fourth(params.attraction * pull - point_of(total) / total.w, eta);
        now.curvature = params.attraction * curvature;
    }
    now.gradient.w = eta;
    if (now.round <= params.starts) {
        tried[i] = candidates[(now.round - 1u) * params.new_points + i];
    } else {
        var step = eta * point_of(now.gradient) / now.curvature;
        let length = sqrt(dot(step, step));
        if (length > params.longest_step) {
            step *= params.longest_step / length;
        }
        // Where nothing attracts there is nowhere to go.
        if (!(length < FAR)) {
            step = Point();
        }
        tried[i] = store_point(point_of(now.place) - step);
    }
    now.round++;
    state[i] = now;
}
