// The convolution of a charge grid with the kernel, potential = K * charge: host and layouts in
// src/field/mesh/device/convolve.rs, the same in plain words in src/field/mesh/convolve.rs.
//
//   rows_forward   two rows of charges as one complex line -> their spectra, turned so that columns lie in one piece
//   lines_forward  in space only: along the middle axis, turned again
//   columns        along the slow axis, times the kernel's spectrum, and back, without leaving workgroup memory
//   lines_inverse, rows_inverse   the way back
//
// Only occupied rows, lines and planes are stored and moved; padding exists in workgroup memory alone. A workgroup
// transforms as many lines as fit. Every entry point leaves at once where the frame is halted (device/frame.wgsl).
// Cost: n log n of each line; bytes: each grid read and written once a pass, 16 bytes at a time where it is turned.

struct ConvolveParams {
    used: u32,    // numbers of a line that are stored
    count: u32,   // pairs of rows; columns; planes
    tiles: u32,   // lines_*: workgroups a frequency of the fast axis
    middle: u32,  // columns: size of the middle axis, 1 in the plane
    first: u32,   // rows_*: number of the grid's node 0 among charges and potentials
    scale: f32,   // rows_forward: charge of one unit of the fixed point
}

struct Frame {
    halted: u32,
    evaluations: u32,
    strays: u32,
    wild: u32,
    low: vec4f,
    high: vec4f,
}

@group(0) @binding(0) var<uniform> params: ConvolveParams;
@group(0) @binding(1) var<storage, read> frame: Frame;
@group(0) @binding(2) var<storage, read> twiddles: array<vec2f>;           // [n] exp(-2 pi i k / n)
@group(0) @binding(3) var<storage, read_write> charges: array<u32>;        // [rows, used] from `first` on, fixed point; left at zero
@group(0) @binding(4) var<storage, read_write> potential: array<f32>;      // [rows, used] from `first` on
@group(0) @binding(5) var<storage, read_write> row_pairs: array<vec4f>;    // [n / 2 + 1, rows / 2] spectra of two rows
@group(0) @binding(6) var<storage, read_write> spectra: array<vec2f>;      // [columns, used]
@group(0) @binding(7) var<storage, read_write> turned: array<vec2f>;       // [fast / 2 + 1, middle, planes]
@group(0) @binding(8) var<storage, read> kernel: array<f32>;               // [fast / 2 + 1, middle / 2 + 1, slow / 2 + 1]

fn twiddle(k: u32) -> vec2f {
    return twiddles[k];
}

@compute @workgroup_size(LANES)
fn rows_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    if (frame.halted != 0u) {
        return;
    }
    let first = group_index(group, groups) * together;
    let n = line_length;
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let x = e - line * n;
        let pair = first + line;
        var value = vec2f();
        if (x < params.used && pair < params.count) {
            let at = params.first + 2u * pair * params.used + x;
            value = params.scale * vec2f(f32(charges[at]), f32(charges[at + params.used]));
            // Ready for the next iteration.
            charges[at] = 0u;
            charges[at + params.used] = 0u;
        }
        values[e] = value;
    }
    transform(lane);
    // Neighbouring lanes write neighbouring pairs of one frequency.
    for (var e = lane; e < together * (n / 2u + 1u); e += LANES) {
        let k = quotient(e, together);
        let line = e - k * together;
        if (first + line < params.count) {
            // The line is a + i b of two real rows: its conjugate mirror tells their spectra apart.
            let z = values[line * n + k];
            let mirror = values[line * n + select(n - k, 0u, k == 0u)];
            let a = vec2f(z.x + mirror.x, z.y - mirror.y);
            let b = vec2f(z.y + mirror.y, mirror.x - z.x);
            row_pairs[k * params.count + first + line] = 0.5 * vec4f(a, b);
        }
    }
}

@compute @workgroup_size(LANES)
fn rows_inverse(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    if (frame.halted != 0u) {
        return;
    }
    let first = group_index(group, groups) * together;
    let n = line_length;
    for (var e = lane; e < together * (n / 2u + 1u); e += LANES) {
        let k = quotient(e, together);
        let line = e - k * together;
        var pair = vec4f();
        if (first + line < params.count) {
            pair = row_pairs[k * params.count + first + line];
        }
        let a = pair.xy;
        let b = pair.zw;
        if (k == 0u || 2u * k == n) {
            // Real for real rows; rounding leaves crumbs in the imaginary parts.
            values[line * n + k] = vec2f(b.x, a.x);
        } else {
            // a + i b and, at the mirror, conj a + i conj b; parts swapped.
            values[line * n + k] = vec2f(a.y + b.x, a.x - b.y);
            values[line * n + n - k] = vec2f(b.x - a.y, a.x + b.y);
        }
    }
    transform(lane);
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let x = e - line * n;
        if (x < params.used && first + line < params.count) {
            let at = params.first + 2u * (first + line) * params.used + x;
            potential[at] = values[e].y;
            potential[at + params.used] = values[e].x;
        }
    }
}

@compute @workgroup_size(LANES)
fn columns(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    if (frame.halted != 0u) {
        return;
    }
    let first = group_index(group, groups) * together;
    let n = line_length;
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let l = e - line * n;
        var value = vec2f();
        if (l < params.used && first + line < params.count) {
            value = spectra[(first + line) * params.used + l];
        }
        values[e] = value;
    }
    transform(lane);
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let l = e - line * n;
        let column = min(first + line, params.count - 1u);
        // The kernel's spectrum is even along every axis, so one octant is stored.
        let fast = quotient(column, params.middle);
        let middle = column - fast * params.middle;
        let row = fast * (params.middle / 2u + 1u) + min(middle, params.middle - middle);
        values[e] = kernel[row * (n / 2u + 1u) + min(l, n - l)] * values[e].yx;
    }
    transform(lane);
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let l = e - line * n;
        if (l < params.used && first + line < params.count) {
            spectra[(first + line) * params.used + l] = values[e].yx;
        }
    }
}

@compute @workgroup_size(LANES)
fn lines_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    if (frame.halted != 0u) {
        return;
    }
    let index = group_index(group, groups);
    let fast = index / params.tiles;
    let first = index % params.tiles * together;
    let n = line_length;
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let m = e - line * n;
        var value = vec2f();
        if (m < params.used && first + line < params.count) {
            value = spectra[(fast * params.count + first + line) * params.used + m];
        }
        values[e] = value;
    }
    transform(lane);
    for (var e = lane; e < together * n; e += LANES) {
        let k = quotient(e, together);
        let line = e - k * together;
        if (first + line < params.count) {
            turned[(fast * n + k) * params.count + first + line] = values[line * n + k];
        }
    }
}

@compute @workgroup_size(LANES)
fn lines_inverse(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    if (frame.halted != 0u) {
        return;
    }
    let index = group_index(group, groups);
    let fast = index / params.tiles;
    let first = index % params.tiles * together;
    let n = line_length;
    for (var e = lane; e < together * n; e += LANES) {
        let k = quotient(e, together);
        let line = e - k * together;
        var value = vec2f();
        if (first + line < params.count) {
            value = turned[(fast * n + k) * params.count + first + line].yx;
        }
        values[line * n + k] = value;
    }
    transform(lane);
    for (var e = lane; e < together * n; e += LANES) {
        let line = quotient(e, n);
        let m = e - line * n;
        if (m < params.used && first + line < params.count) {
            spectra[(fast * params.count + first + line) * params.used + m] = values[e].yx;
        }
    }
}
