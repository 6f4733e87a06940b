// One step of gradient descent with momentum and gains: twin of src/optimizer/step.rs.
//
//   N dC/dy_i / 4 = exaggeration * attraction_i - (N / Z) force_i
//   gain + 0.2 where velocity and gradient differ in sign, gain * 0.8 where they agree, at least 0.01
//   nothing moves where Z = 0: then there is one point only, or the mesh has halted (field/mesh/device/frame.wgsl)
//   velocity = momentum * velocity - rate * gain * gradient, its norm at most 5;  y = y + velocity - mean of the map
//
// One invocation a point. Cost: five points read and three written, N of them.

struct StepParams {
    n: u32,              // points
    exaggeration: f32,
    rate: f32,           // learning rate / N
    momentum: f32,
    gain_step: f32,      // 0.2, or 0 where the phase has no gains
    gain_decay: f32,     // 0.8, or 1
    longest: f32,        // 5 map units, or no bound
}

const SMALLEST_GAIN = 0.01;

@group(0) @binding(0) var<uniform> params: StepParams;
@group(0) @binding(1) var<storage, read_write> points: array<Stored>;    // [N] map
@group(0) @binding(2) var<storage, read_write> velocity: array<Stored>;  // [N] map units a step
@group(0) @binding(3) var<storage, read_write> gains: array<Stored>;     // [N] per coordinate
@group(0) @binding(4) var<storage, read> attraction: array<Stored>;      // [N] map units
@group(0) @binding(5) var<storage, read> sums: array<vec4f>;             // [segments, N] force, weight; segment 0 holds all
@group(0) @binding(6) var<storage, read> totals: array<vec4f>;           // [1] sum of points, Z

@compute @workgroup_size(64)
fn step_points(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.n) {
        return;
    }
    let count = f32(params.n);
    let total = totals[0];
    if (total.w == 0.0) {
        return;
    }
    let force = point_of(sums[i]);
    let gradient = params.exaggeration * load_point(attraction[i]) - count / total.w * force;
    let before = load_point(velocity[i]);
    let differ = sign(before) != sign(gradient);
    let gain = load_point(gains[i]);
    let gain_now = max(select(gain * params.gain_decay, gain + params.gain_step, differ), Point(SMALLEST_GAIN));
    var now = params.momentum * before - params.rate * gain_now * gradient;
    let norm = length(now);
    if (norm > params.longest) {
        now *= params.longest / norm;
    }
    gains[i] = store_point(gain_now);
    velocity[i] = store_point(now);
    points[i] = store_point(load_point(points[i]) + now - point_of(total) / count);
}
