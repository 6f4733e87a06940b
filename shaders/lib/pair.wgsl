// What one pair adds to an objective of distances: the twin of Pair in src/objective/distances.rs.

struct Pair {
    pull: f32,    // the factor on y_i - y_j
    weight: f32,  // a curvature that bounds it
    misfit: f32,  // what the objective adds up
    size: f32,    // what it is measured against
}
