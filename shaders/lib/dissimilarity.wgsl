// Squared distances of the input: twin of src/objective/tiles.rs.
//
// The driver declares `reference: array<f32>` and the uniform `params: TileParams`. Stored distances are rows from `base` on of
// the symmetric [N, N], read along the lanes; else there are coordinates [columns, N], the columns a multiple of 8 (the rest 0).

struct TileParams {
    n: u32,              // points
    first: u32,          // first row of this dispatch
    end: u32,            // row after the last of this dispatch
    base: u32,           // first column of this dispatch
    stop: u32,           // column after the last
    segment: u32,        // columns of a segment, a multiple of the tile
    segments: u32,       // of this dispatch
    segment_first: u32,  // the number of its first among all
    segments_all: u32,
    columns: u32,        // of the input, where its distances are not stored
    scale: f32,          // delta is this times the fold of coordinates; 0 where the fold is delta^2
    by_rows: u32,        // 1 where q sums to 1 over each row
    alpha: f32,          // of Student's kernel
    parameter: f32,      // of an objective of distances
    seed: u32,           // of the pairs that were drawn
}

// The k-th point drawn for point i: twin of partner in src/objective/dissimilarity.rs.
fn partner(i: u32, k: u32) -> u32 {
    var h = (i * 0x9e3779b9u) ^ (k * 0x85ebca6bu + params.seed * 0xc2b2ae35u);
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    h ^= h >> 16u;
    let j = h % (params.n - 1u);
    return j + select(0u, 1u, j >= i);
}

// Whether distances are stored: a constant of the pipeline, so that software adapters, which run both sides of a branch, have
// one only.
override stored: bool = true;

// What the differences of coordinates are folded by, as in knn/select.wgsl: squares, magnitudes, the largest, those not 0.
override fold: u32 = 0u;

fn dissimilarity(i: u32, j: u32) -> f32 {
    if (stored) {
        return reference[(j - params.base) * params.n + i];
    }
    var d2 = 0.0;
    // Eight at a time: some drivers count the rounds of an invocation's loops, and leave them at 65,535.
    for (var c = 0u; c < params.columns; c += 8u) {
        let a = c * params.n;
        let b = a + params.n;
        let e = b + params.n;
        let f = e + params.n;
        let g = f + params.n;
        let h = g + params.n;
        let k = h + params.n;
        let l = k + params.n;
        let low = vec4f(reference[a + i], reference[b + i], reference[e + i], reference[f + i])
            - vec4f(reference[a + j], reference[b + j], reference[e + j], reference[f + j]);
        let high = vec4f(reference[g + i], reference[h + i], reference[k + i], reference[l + i])
            - vec4f(reference[g + j], reference[h + j], reference[k + j], reference[l + j]);
        if (fold == 1u) {
            d2 += dot(abs(low) + abs(high), vec4f(1.0));
        } else if (fold == 2u) {
            let largest = max(abs(low), abs(high));
            d2 = max(d2, max(max(largest.x, largest.y), max(largest.z, largest.w)));
        } else if (fold == 3u) {
            d2 += dot(select(vec4f(), vec4f(1.0), low != vec4f()) + select(vec4f(), vec4f(1.0), high != vec4f()), vec4f(1.0));
        } else {
            d2 += dot(low, low) + dot(high, high);
        }
    }
    // The cosine's distance, say, is half the squared distance of directions.
    let scaled = params.scale * d2;
    return select(d2, scaled * scaled, params.scale > 0.0);
}
