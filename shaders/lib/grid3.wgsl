// A map in space on a grid whose axes are (slow, middle, fast).
const MIDDLE = 4u;

fn on_axes(point: Point) -> vec3f {
    return point;
}

fn from_axes(axes: vec3f) -> Point {
    return axes;
}

fn middle_of(four: vec4f) -> vec4f {
    return four;
}

fn middle_slope_of(four: vec4f) -> vec4f {
    return four;
}
