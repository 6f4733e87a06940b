// A map in three dimensions: how a point lies in a buffer (Stored) and how it is computed with (Point).
// A vec3f in an array takes 16 bytes all the same; the fourth is spelt out so that Rust and WGSL agree.
alias Point = vec3f;
alias Stored = vec4f;

fn load_point(stored: Stored) -> Point {
    return stored.xyz;
}

fn store_point(point: Point) -> Stored {
    return vec4f(point, 0.0);
}

// A point and one more number, as four.
fn with_fourth(point: Point, fourth: f32) -> vec4f {
    return vec4f(point, fourth);
}

fn point_of(four: vec4f) -> Point {
    return four.xyz;
}
