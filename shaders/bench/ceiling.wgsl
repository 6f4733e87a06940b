// What a device can do at most: bytes that it moves and numbers that it multiplies and adds. Twin of src/bench/ceiling.rs.
//
// `copy` moves 16 bytes in and 16 bytes out for each invocation, neighbours side by side. `multiply_add` computes
// a = a * x + y for sixteen numbers held in registers, four independent vectors so that one does not wait for another:
// 32 operations a round, and next to no memory. x and y come from outside, so that no compiler knows the end.

const GROUP = 256u;

struct CeilingParams {
    n: u32,       // invocations
    rounds: u32,
    x: f32,
    y: f32,
}

@group(0) @binding(0) var<uniform> params: CeilingParams;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;             // [N]
@group(0) @binding(2) var<storage, read_write> destination: array<vec4f>;  // [N]

@compute @workgroup_size(GROUP)
fn copy(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * GROUP + lane;
    if (i < params.n) {
        destination[i] = source[i];
    }
}

@compute @workgroup_size(GROUP)
fn multiply_add(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = group_index(group, groups) * GROUP + lane;
    let x = vec4f(params.x);
    let y = vec4f(params.y);
    var a = source[min(i, params.n - 1u)];
    var b = a + 1.0;
    var c = a + 2.0;
    var d = a + 3.0;
    for (var round = 0u; round < params.rounds; round++) {
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
    }
    if (i < params.n) {
        destination[i] = a + b + c + d;
    }
}
