// Discrete Fourier transforms of lines of complex numbers in workgroup memory: X_k = sum of x_j exp(-2 pi i j k / n).
//
// Stockham's form: every stage reads from the natural places and writes to those of the next, so nothing is permuted.
// Lengths 2^a 3^b 5^c (a = 1 has no radix here), given as radices of 3, 4, 5 and 8, four bits each, the first lowest.
// One buffer serves as both: every lane holds what it read until all have read. A stage has at most 3 butterflies a lane,
// as together * n <= ROOM. The inverse is swap, transform, swap, with the parts of each number swapped.
//
// The driver declares `fn twiddle(k: u32) -> vec2f`, exp(-2 pi i k / n), from a table made in f64: the error of a
// transform grows with log n, which that of repeated multiplication would not.
const LANES = 256u;
const ROOM = 2048u;  // 16 KiB of complex numbers, what WebGPU grants a workgroup

var<workgroup> values: array<vec2f, ROOM>;  // [together, n]

// floor(value / divisor), given 1 / divisor: exact for values below 2^22, as value + 1/2 stays 1/2 away from multiples.
fn quotient(value: u32, inverse: f32) -> u32 {
    return u32((f32(value) + 0.5) * inverse);
}

fn multiply(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// -i a
fn quarter_turn(a: vec2f) -> vec2f {
    return vec2f(a.y, -a.x);
}

// One stage of a transform: the product of the radices before it is `span`.
struct Stage {
    part: u32,   // n / radix: numbers from one input of a butterfly to the next
    span: u32,   // numbers from one output to the next
    count: u32,  // butterflies of all lines
    per_part: f32,
    per_span: f32,
    step: u32,   // twiddles from one k to the next
}

// Where one butterfly reads and writes, and its first twiddle.
struct Place {
    line: u32,
    j: u32,
    k: u32,
}

fn place_of(stage: Stage, butterfly: u32) -> Place {
    let line = quotient(butterfly, stage.per_part);
    let j = butterfly - line * stage.part;
    return Place(line, j, j - quotient(j, stage.per_span) * stage.span);
}

fn rotated(value: vec2f, stage: Stage, k: u32, q: u32) -> vec2f {
    if (stage.span == 1u) {
        return value;
    }
    return multiply(value, twiddle(q * k * stage.step));
}

fn butterfly3(stage: Stage, at: Place) -> array<vec2f, 3> {
    let first = at.line * stage.part * 3u + at.j;
    let a = values[first];
    let b = rotated(values[first + stage.part], stage, at.k, 1u);
    let c = rotated(values[first + 2u * stage.part], stage, at.k, 2u);
    let sum = b + c;
    let middle = a - 0.5 * sum;
    let side = 0.8660254037844386 * quarter_turn(b - c);
    return array(a + sum, middle + side, middle - side);
}

fn transform4(a: vec2f, b: vec2f, c: vec2f, d: vec2f) -> array<vec2f, 4> {
    let even = a + c;
    let odd = b + d;
    let even_side = a - c;
    let odd_side = quarter_turn(b - d);
    return array(even + odd, even_side + odd_side, even - odd, even_side - odd_side);
}

fn butterfly4(stage: Stage, at: Place) -> array<vec2f, 4> {
    let first = at.line * stage.part * 4u + at.j;
    return transform4(
        values[first],
        rotated(values[first + stage.part], stage, at.k, 1u),
        rotated(values[first + 2u * stage.part], stage, at.k, 2u),
        rotated(values[first + 3u * stage.part], stage, at.k, 3u),
    );
}

fn butterfly5(stage: Stage, at: Place) -> array<vec2f, 5> {
    let first = at.line * stage.part * 5u + at.j;
    let a = values[first];
    let b = rotated(values[first + stage.part], stage, at.k, 1u);
    let c = rotated(values[first + 2u * stage.part], stage, at.k, 2u);
    let d = rotated(values[first + 3u * stage.part], stage, at.k, 3u);
    let e = rotated(values[first + 4u * stage.part], stage, at.k, 4u);
    // Cosines and sines of a fifth and two fifths of a turn.
    let outer = b + e;
    let inner = c + d;
    let outer_side = quarter_turn(b - e);
    let inner_side = quarter_turn(c - d);
    let near = a + 0.30901699437494745 * outer - 0.8090169943749475 * inner;
    let far = a - 0.8090169943749475 * outer + 0.30901699437494745 * inner;
    let near_side = 0.9510565162951535 * outer_side + 0.5877852522924731 * inner_side;
    let far_side = 0.5877852522924731 * outer_side - 0.9510565162951535 * inner_side;
    return array(a + outer + inner, near + near_side, far + far_side, far - far_side, near - near_side);
}

fn butterfly8(stage: Stage, at: Place) -> array<vec2f, 8> {
    let first = at.line * stage.part * 8u + at.j;
    let even = transform4(
        values[first],
        rotated(values[first + 2u * stage.part], stage, at.k, 2u),
        rotated(values[first + 4u * stage.part], stage, at.k, 4u),
        rotated(values[first + 6u * stage.part], stage, at.k, 6u),
    );
    let odd = transform4(
        rotated(values[first + stage.part], stage, at.k, 1u),
        rotated(values[first + 3u * stage.part], stage, at.k, 3u),
        rotated(values[first + 5u * stage.part], stage, at.k, 5u),
        rotated(values[first + 7u * stage.part], stage, at.k, 7u),
    );
    let eighth = 0.7071067811865476 * (odd[1] + quarter_turn(odd[1]));
    let quarter = quarter_turn(odd[2]);
    let three = 0.7071067811865476 * (quarter_turn(odd[3]) - odd[3]);
    return array(
        even[0] + odd[0], even[1] + eighth, even[2] + quarter, even[3] + three,
        even[0] - odd[0], even[1] - eighth, even[2] - quarter, even[3] - three,
    );
}

// The first output of a butterfly; the others follow `span` apart.
fn output_of(stage: Stage, at: Place, radix: u32) -> u32 {
    return at.line * stage.part * radix + (at.j - at.k) * radix + at.k;
}

fn stage3(stage: Stage, lane: u32) {
    let first = place_of(stage, lane);
    let second = place_of(stage, lane + LANES);
    let third = place_of(stage, lane + 2u * LANES);
    var a: array<vec2f, 3>;
    var b: array<vec2f, 3>;
    var c: array<vec2f, 3>;
    if (lane < stage.count) {
        a = butterfly3(stage, first);
    }
    if (lane + LANES < stage.count) {
        b = butterfly3(stage, second);
    }
    if (lane + 2u * LANES < stage.count) {
        c = butterfly3(stage, third);
    }
    // All inputs must have been read before they are overwritten.
    workgroupBarrier();
    if (lane < stage.count) {
        store3(stage, first, a);
    }
    if (lane + LANES < stage.count) {
        store3(stage, second, b);
    }
    if (lane + 2u * LANES < stage.count) {
        store3(stage, third, c);
    }
}

fn store3(stage: Stage, at: Place, x: array<vec2f, 3>) {
    let to = output_of(stage, at, 3u);
    values[to] = x[0];
    values[to + stage.span] = x[1];
    values[to + 2u * stage.span] = x[2];
}

fn stage4(stage: Stage, lane: u32) {
    let first = place_of(stage, lane);
    let second = place_of(stage, lane + LANES);
    var a: array<vec2f, 4>;
    var b: array<vec2f, 4>;
    if (lane < stage.count) {
        a = butterfly4(stage, first);
    }
    if (lane + LANES < stage.count) {
        b = butterfly4(stage, second);
    }
    // As in stage3.
    workgroupBarrier();
    if (lane < stage.count) {
        store4(stage, first, a);
    }
    if (lane + LANES < stage.count) {
        store4(stage, second, b);
    }
}

fn store4(stage: Stage, at: Place, x: array<vec2f, 4>) {
    let to = output_of(stage, at, 4u);
    values[to] = x[0];
    values[to + stage.span] = x[1];
    values[to + 2u * stage.span] = x[2];
    values[to + 3u * stage.span] = x[3];
}

fn stage5(stage: Stage, lane: u32) {
    let first = place_of(stage, lane);
    let second = place_of(stage, lane + LANES);
    var a: array<vec2f, 5>;
    var b: array<vec2f, 5>;
    if (lane < stage.count) {
        a = butterfly5(stage, first);
    }
    if (lane + LANES < stage.count) {
        b = butterfly5(stage, second);
    }
    // As in stage3.
    workgroupBarrier();
    if (lane < stage.count) {
        store5(stage, first, a);
    }
    if (lane + LANES < stage.count) {
        store5(stage, second, b);
    }
}

fn store5(stage: Stage, at: Place, x: array<vec2f, 5>) {
    let to = output_of(stage, at, 5u);
    values[to] = x[0];
    values[to + stage.span] = x[1];
    values[to + 2u * stage.span] = x[2];
    values[to + 3u * stage.span] = x[3];
    values[to + 4u * stage.span] = x[4];
}

fn stage8(stage: Stage, lane: u32) {
    let at = place_of(stage, lane);
    var x: array<vec2f, 8>;
    if (lane < stage.count) {
        x = butterfly8(stage, at);
    }
    // As in stage3.
    workgroupBarrier();
    if (lane < stage.count) {
        let to = output_of(stage, at, 8u);
        values[to] = x[0];
        values[to + stage.span] = x[1];
        values[to + 2u * stage.span] = x[2];
        values[to + 3u * stage.span] = x[3];
        values[to + 4u * stage.span] = x[4];
        values[to + 5u * stage.span] = x[5];
        values[to + 6u * stage.span] = x[6];
        values[to + 7u * stage.span] = x[7];
    }
}

// Transforms `together` lines of `n` in place. Every lane must call it, with arguments from a uniform.
fn transform(n: u32, together: u32, radices: u32, lane: u32) {
    var span = 1u;
    for (var rest = radices; rest != 0u; rest >>= 4u) {
        let radix = rest & 15u;
        let part = n / radix;
        let stage = Stage(part, span, together * part, 1.0 / f32(part), 1.0 / f32(span), part / span);
        // What was loaded, or written by the stage before, is read by other lanes.
        workgroupBarrier();
        switch radix {
            case 3u: {
                stage3(stage, lane);
            }
            case 4u: {
                stage4(stage, lane);
            }
            case 5u: {
                stage5(stage, lane);
            }
            default: {
                stage8(stage, lane);
            }
        }
        span *= radix;
    }
    // The results are read by other lanes.
    workgroupBarrier();
}
