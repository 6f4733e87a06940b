// A map in two dimensions: how a point lies in a buffer (Stored) and how it is computed with (Point).
alias Point = vec2f;
alias Stored = vec2f;

fn load_point(stored: Stored) -> Point {
    return stored;
}

fn store_point(point: Point) -> Stored {
    return point;
}

// A point and one more number, as four.
fn with_fourth(point: Point, fourth: f32) -> vec4f {
    return vec4f(point, 0.0, fourth);
}

fn point_of(four: vec4f) -> Point {
    return four.xy;
}
