// Where the grid stands: the corners of the map, and whether the grid that the host chose still holds it.
// Host in src/field/mesh/device/frame.rs.
//
// `corners` reduces the points to one box a workgroup, `settle` those to one. The grid's node 0 follows the lower corner
// at every iteration. Where the map has outgrown the grid, or shrunk until the spacing is too wide, `settle` halts: all
// that follows in the batch leaves the map as it is, and the host makes another grid when it looks. So what is computed
// depends on the map alone and not on when the host looks.

struct FrameParams {
    cells: vec4f,    // cells that the map may span along each coordinate
    n: u32,          // points
    boxes: u32,      // workgroups of `corners`
    least: f32,      // cells that its longest side must span
    per_unit: f32,   // one over the spacing
}

struct Frame {
    halted: u32,       // 1: the grid did not hold the map, and nothing was computed since
    evaluations: u32,  // how often it did
    strays: u32,       // points found outside by `spread`: none
    wild: u32,         // 1: a coordinate is not finite
    low: vec4f,        // corners of the map
    high: vec4f,
}

const GROUP = 256u;
const LARGEST = 3.4e38;

@group(0) @binding(0) var<uniform> params: FrameParams;
@group(0) @binding(1) var<storage, read> points: array<Stored>;       // [N] map
@group(0) @binding(2) var<storage, read_write> boxes: array<vec4f>;   // [boxes, 2] corners; the fourth of the upper: wild
@group(0) @binding(3) var<storage, read_write> frame: Frame;

var<workgroup> lows: array<vec4f, GROUP>;
var<workgroup> highs: array<vec4f, GROUP>;

// Reduces to lows[0] and highs[0]; every lane must call it.
fn reduce(lane: u32) {
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        // What the round before wrote is read in this one.
        workgroupBarrier();
        if (lane < half) {
            lows[lane] = min(lows[lane], lows[lane + half]);
            highs[lane] = max(highs[lane], highs[lane + half]);
        }
    }
}

@compute @workgroup_size(GROUP)
fn corners(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group_index(group, groups);
    var low = vec4f(LARGEST);
    var high = vec4f(-LARGEST, -LARGEST, -LARGEST, 0.0);
    for (var i = index * GROUP + lane; i < params.n; i += params.boxes * GROUP) {
        let point = with_fourth(load_point(points[i]), 0.0);
        // By the bits: WGSL lets a compiler assume that NaN and infinity do not occur.
        let exponent = bitcast<vec4u>(point) & vec4u(0x7f800000u);
        if (any(exponent == vec4u(0x7f800000u))) {
            high.w = 1.0;
        } else {
            low = min(low, point);
            high = max(high, point);
        }
    }
    lows[lane] = low;
    highs[lane] = high;
    reduce(lane);
    if (lane == 0u && index < params.boxes) {
        boxes[2u * index] = lows[0];
        boxes[2u * index + 1u] = highs[0];
    }
}

@compute @workgroup_size(GROUP)
fn settle(@builtin(local_invocation_index) lane: u32) {
    let box = min(lane, params.boxes - 1u);
    lows[lane] = boxes[2u * box];
    highs[lane] = boxes[2u * box + 1u];
    reduce(lane);
    if (lane != 0u) {
        return;
    }
    let low = lows[0];
    let high = highs[0];
    frame.low = low;
    frame.high = high;
    frame.wild = u32(high.w);
    let span = (high - low).xyz * params.per_unit;
    let longest = max(span.x, max(span.y, span.z));
    // Written so that a span that is no number does not fit.
    let fits = all(span <= params.cells.xyz) && longest >= params.least && high.w == 0.0;
    if (fits && frame.halted == 0u) {
        frame.evaluations += 1u;
    } else {
        frame.halted = 1u;
    }
}
