// Stress with weights delta^-r, r = params.parameter: twin of src/objective/distances/stress.rs.
//
//   loss = w (delta - d)^2,   size = w delta^2,   pull = w (1 - delta/d),   w = delta^-r

fn pair(d2: f32, delta2: f32) -> Pair {
    let exponent = params.parameter;
    if (delta2 == 0.0 && exponent != 0.0) {
        return Pair(0.0, 0.0, 0.0, 0.0);
    }
    let d = sqrt(d2);
    let delta = sqrt(delta2);
    var weight = 1.0;
    if (exponent == 1.0) {
        weight = 1.0 / delta;
    } else if (exponent != 0.0) {
        weight = exp(-0.5 * exponent * log(delta2));
    }
    let miss = delta - d;
    var pull = 0.0;
    if (d2 > 0.0) {
        pull = weight - weight * delta / d;
    }
    return Pair(pull, weight, weight * miss * miss, weight * delta2);
}
