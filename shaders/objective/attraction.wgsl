// Attraction along the edges: twin of src/objective/attraction.rs.
//
//   attraction_i = sum over the row's edges of N p_ij s(D_ij) (y_i - y_j)
//
// Eight lanes a row take its edges in turn, and the row's first lane adds the eight up in order. Cost: 8 bytes and one
// gathered point an edge, which is what it is bound by.

const ROW_LANES = 8u;
const GROUP = 64u;

struct EdgeParams {
    base: u32,   // the point of row 0 of these buffers
    first: u32,  // first row of this dispatch
    end: u32,    // row after the last of this dispatch
    alpha: f32,  // of Student's kernel
}

@group(0) @binding(0) var<uniform> params: EdgeParams;
@group(0) @binding(1) var<storage, read> points: array<Stored>;             // [N] map
@group(0) @binding(2) var<storage, read> offsets: array<u32>;               // [rows + 1] first edge of each row
@group(0) @binding(3) var<storage, read> indices: array<u32>;               // [edges] the other point
@group(0) @binding(4) var<storage, read> weights: array<f32>;               // [edges] N p_ij
@group(0) @binding(5) var<storage, read_write> attraction: array<Stored>;   // [N] map units

var<workgroup> parts: array<Point, GROUP>;

@compute @workgroup_size(GROUP)
fn edges(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = params.first + group_index(group, groups) * (GROUP / ROW_LANES) + lane / ROW_LANES;
    var sum = Point();
    if (row < params.end) {
        let y_i = load_point(points[params.base + row]);
        let end = offsets[row + 1u];
        for (var e = offsets[row] + lane % ROW_LANES; e < end; e += ROW_LANES) {
            let difference = y_i - load_point(points[indices[e]]);
            sum += weights[e] * kernel_slope(dot(difference, difference)) * difference;
        }
    }
    parts[lane] = sum;
    // All eight parts of a row must be there before its first lane adds them.
    workgroupBarrier();
    if (row < params.end && lane % ROW_LANES == 0u) {
        for (var part = 1u; part < ROW_LANES; part++) {
            sum += parts[lane + part];
        }
        attraction[params.base + row] = store_point(sum);
    }
}
