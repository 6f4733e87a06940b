// Discrete Fourier transforms of lines of complex numbers in workgroup memory: X_k = sum of x_j exp(-2 pi i j k / length).
//
// Stockham's form: every stage reads from the natural places and writes to those of the next, so nothing is permuted.
// One buffer serves as both: every lane holds what it read until all have read. The inverse is swap, transform, swap,
// with the parts of each number swapped.
//
// The length is a constant of the pipeline: a driver then sees one straight line of butterflies, and divisions by
// constants. Lengths are 2^a 3^b 5^c (not 2 times an odd number), given as radices of 3, 4, 5 and 8, four bits each, the
// first lowest, at most four of them; together * line_length is at most ROOM.
//
// The driver declares `fn twiddle(k: u32) -> vec2f`, exp(-2 pi i k / length), from a table made in f64. A butterfly reads
// one and multiplies for the others, at most three times one upon another: arithmetic costs less than memory.
const LANES = 256u;
const ROOM = 2048u;  // 16 KiB of complex numbers, what WebGPU grants a workgroup

override line_length: u32 = 8u;
override together: u32 = 1u;  // lines that a workgroup transforms
override radices: u32 = 8u;

var<workgroup> values: array<vec2f, ROOM>;  // [together, line_length]

// floor(value / divisor): exact for values below 2^22, as value + 1/2 stays 1/2 away from multiples. Integer division is
// slow on most devices.
fn quotient(value: u32, divisor: u32) -> u32 {
    return u32((f32(value) + 0.5) * (1.0 / f32(divisor)));
}

fn multiply(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// -i a
fn quarter_turn(a: vec2f) -> vec2f {
    return vec2f(a.y, -a.x);
}

// Where a butterfly of a line reads and writes, and the first of its twiddles. Inputs are line_length / radix apart, outputs
// `span`, the product of the radices before.
struct Place {
    input: u32,
    output: u32,
    turn: vec2f,
}

fn place_of(butterfly: u32, radix: u32, span: u32) -> Place {
    let part = line_length / radix;
    let line = quotient(butterfly, part);
    let j = butterfly - line * part;
    let k = j - quotient(j, span) * span;
    var turn = vec2f(1.0, 0.0);
    if (span > 1u) {
        turn = twiddle(k * (part / span));
    }
    return Place(line * line_length + j, line * line_length + (j - k) * radix + k, turn);
}

fn butterflies(radix: u32) -> u32 {
    return together * (line_length / radix);
}

fn butterfly3(at: Place) -> array<vec2f, 3> {
    let part = line_length / 3u;
    let a = values[at.input];
    let b = multiply(values[at.input + part], at.turn);
    let c = multiply(values[at.input + 2u * part], multiply(at.turn, at.turn));
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

fn butterfly4(at: Place) -> array<vec2f, 4> {
    let part = line_length / 4u;
    let turn2 = multiply(at.turn, at.turn);
    return transform4(
        values[at.input],
        multiply(values[at.input + part], at.turn),
        multiply(values[at.input + 2u * part], turn2),
        multiply(values[at.input + 3u * part], multiply(turn2, at.turn)),
    );
}

fn butterfly5(at: Place) -> array<vec2f, 5> {
    let part = line_length / 5u;
    let turn2 = multiply(at.turn, at.turn);
    let a = values[at.input];
    let b = multiply(values[at.input + part], at.turn);
    let c = multiply(values[at.input + 2u * part], turn2);
    let d = multiply(values[at.input + 3u * part], multiply(turn2, at.turn));
    let e = multiply(values[at.input + 4u * part], multiply(turn2, turn2));
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

fn butterfly8(at: Place) -> array<vec2f, 8> {
    let part = line_length / 8u;
    let turn2 = multiply(at.turn, at.turn);
    let turn3 = multiply(turn2, at.turn);
    let turn4 = multiply(turn2, turn2);
    let even = transform4(
        values[at.input],
        multiply(values[at.input + 2u * part], turn2),
        multiply(values[at.input + 4u * part], turn4),
        multiply(values[at.input + 6u * part], multiply(turn3, turn3)),
    );
    let odd = transform4(
        multiply(values[at.input + part], at.turn),
        multiply(values[at.input + 3u * part], turn3),
        multiply(values[at.input + 5u * part], multiply(turn4, at.turn)),
        multiply(values[at.input + 7u * part], multiply(turn4, turn3)),
    );
    let eighth = 0.7071067811865476 * (odd[1] + quarter_turn(odd[1]));
    let quarter = quarter_turn(odd[2]);
    let three = 0.7071067811865476 * (quarter_turn(odd[3]) - odd[3]);
    return array(
        even[0] + odd[0], even[1] + eighth, even[2] + quarter, even[3] + three,
        even[0] - odd[0], even[1] - eighth, even[2] - quarter, even[3] - three,
    );
}

fn store3(to: u32, span: u32, x: array<vec2f, 3>) {
    values[to] = x[0];
    values[to + span] = x[1];
    values[to + 2u * span] = x[2];
}

fn stage3(span: u32, lane: u32) {
    let count = butterflies(3u);
    let first = place_of(lane, 3u, span);
    let second = place_of(lane + LANES, 3u, span);
    let third = place_of(lane + 2u * LANES, 3u, span);
    var a: array<vec2f, 3>;
    var b: array<vec2f, 3>;
    var c: array<vec2f, 3>;
    if (lane < count) {
        a = butterfly3(first);
    }
    if (lane + LANES < count) {
        b = butterfly3(second);
    }
    if (lane + 2u * LANES < count) {
        c = butterfly3(third);
    }
    // All inputs must have been read before they are overwritten.
    workgroupBarrier();
    if (lane < count) {
        store3(first.output, span, a);
    }
    if (lane + LANES < count) {
        store3(second.output, span, b);
    }
    if (lane + 2u * LANES < count) {
        store3(third.output, span, c);
    }
}

fn store4(to: u32, span: u32, x: array<vec2f, 4>) {
    values[to] = x[0];
    values[to + span] = x[1];
    values[to + 2u * span] = x[2];
    values[to + 3u * span] = x[3];
}

fn stage4(span: u32, lane: u32) {
    let count = butterflies(4u);
    let first = place_of(lane, 4u, span);
    let second = place_of(lane + LANES, 4u, span);
    var a: array<vec2f, 4>;
    var b: array<vec2f, 4>;
    if (lane < count) {
        a = butterfly4(first);
    }
    if (lane + LANES < count) {
        b = butterfly4(second);
    }
    // All inputs must have been read before they are overwritten.
    workgroupBarrier();
    if (lane < count) {
        store4(first.output, span, a);
    }
    if (lane + LANES < count) {
        store4(second.output, span, b);
    }
}

fn store5(to: u32, span: u32, x: array<vec2f, 5>) {
    values[to] = x[0];
    values[to + span] = x[1];
    values[to + 2u * span] = x[2];
    values[to + 3u * span] = x[3];
    values[to + 4u * span] = x[4];
}

fn stage5(span: u32, lane: u32) {
    let count = butterflies(5u);
    let first = place_of(lane, 5u, span);
    let second = place_of(lane + LANES, 5u, span);
    var a: array<vec2f, 5>;
    var b: array<vec2f, 5>;
    if (lane < count) {
        a = butterfly5(first);
    }
    if (lane + LANES < count) {
        b = butterfly5(second);
    }
    // All inputs must have been read before they are overwritten.
    workgroupBarrier();
    if (lane < count) {
        store5(first.output, span, a);
    }
    if (lane + LANES < count) {
        store5(second.output, span, b);
    }
}

fn store8(to: u32, span: u32, x: array<vec2f, 8>) {
    values[to] = x[0];
    values[to + span] = x[1];
    values[to + 2u * span] = x[2];
    values[to + 3u * span] = x[3];
    values[to + 4u * span] = x[4];
    values[to + 5u * span] = x[5];
    values[to + 6u * span] = x[6];
    values[to + 7u * span] = x[7];
}

fn stage8(span: u32, lane: u32) {
    let count = butterflies(8u);
    let first = place_of(lane, 8u, span);
    var a: array<vec2f, 8>;
    if (lane < count) {
        a = butterfly8(first);
    }
    // All inputs must have been read before they are overwritten.
    workgroupBarrier();
    if (lane < count) {
        store8(first.output, span, a);
    }
}

fn radix_of(stage: u32) -> u32 {
    return (radices >> (4u * stage)) & 15u;
}

fn do_stage(radix: u32, span: u32, lane: u32) {
    if (radix != 0u) {
        // What was loaded, or written by the stage before, is read by other lanes.
        workgroupBarrier();
    }
    if (radix == 8u) {
        stage8(span, lane);
    } else if (radix == 5u) {
        stage5(span, lane);
    } else if (radix == 4u) {
        stage4(span, lane);
    } else if (radix == 3u) {
        stage3(span, lane);
    }
}

// Transforms the lines in `values`. Every lane must call it.
fn transform(lane: u32) {
    let a = radix_of(0u);
    let b = a * radix_of(1u);
    let c = b * radix_of(2u);
    do_stage(a, 1u, lane);
    do_stage(radix_of(1u), a, lane);
    do_stage(radix_of(2u), b, lane);
    do_stage(radix_of(3u), c, lane);
    // The results are read by other lanes.
    workgroupBarrier();
}
