// A plane map on a grid whose axes are (slow, middle, fast): the middle one has a single node.
const MIDDLE = 1u;

fn on_axes(point: Point) -> vec3f {
    return vec3f(point.x, 0.0, point.y);
}

fn from_axes(axes: vec3f) -> Point {
    return axes.xz;
}

fn middle_of(four: vec4f) -> vec4f {
    return vec4f(1.0, 0.0, 0.0, 0.0);
}

fn middle_slope_of(four: vec4f) -> vec4f {
    return vec4f();
}
