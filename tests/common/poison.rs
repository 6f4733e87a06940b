//! Every comparison helper shown to fail: on NaN, on a wrong length, on an error just above the bound, on nothing at all.

use super::bound::{identical, within, within_roundings};
use super::data;
use super::invariants::*;
use ndarray::array;
use nearfield::data::{Affinities, Conditionals, Neighbors};

#[test]
fn within_accepts_what_is_within() {
    assert_eq!(within("x", &[1.0_f64, 2.0], &[1.0, 2.5], &[0.0, 0.5]), Ok(1.0));
}

#[test]
fn within_fails_on_nan() {
    assert!(within("x", &[f64::NAN], &[1.0], &[1.0]).is_err());
    assert!(within("x", &[1.0], &[f64::NAN], &[1.0]).is_err());
    assert!(within("x", &[1.0], &[1.0], &[f64::NAN]).is_err());
}

#[test]
fn within_fails_on_infinity() {
    assert!(within("x", &[f64::INFINITY], &[f64::INFINITY], &[1.0]).is_err());
    assert!(within("x", &[1.0], &[1.0], &[f64::INFINITY]).is_err());
}

#[test]
fn within_fails_on_a_wrong_length() {
    assert!(within("x", &[1.0], &[1.0, 1.0], &[1.0, 1.0]).is_err());
    assert!(within("x", &[1.0, 1.0], &[1.0], &[1.0]).is_err());
    assert!(within("x", &[1.0], &[1.0], &[1.0, 1.0]).is_err());
}

#[test]
fn within_fails_slightly_above_the_bound() {
    assert!(within("x", &[1.0, 1.0 + 1.001e-6], &[1.0, 1.0], &[1e-6, 1e-6]).is_err());
    assert!(within_roundings("x", &[1.0_f32 + 3.0 * f32::EPSILON], &[1.0], 5.0).is_err());
    assert!(within_roundings("x", &[1.0_f32 + 2.0 * f32::EPSILON], &[1.0], 5.0).is_ok());
}

#[test]
fn nothing_compared_is_a_failure() {
    assert!(within::<f64>("x", &[], &[], &[]).is_err());
    assert!(identical::<u32>("x", &[], &[]).is_err());
}

#[test]
fn identical_fails_on_a_bit_and_on_a_length() {
    assert!(identical("x", &[1_u32, 2], &[1, 2]).is_ok());
    assert!(identical("x", &[1.0_f64], &[1.0_f64.next_up()]).is_err());
    assert!(identical("x", &[f64::NAN], &[f64::NAN]).is_err());
    assert!(identical("x", &[1_u32], &[1, 2]).is_err());
}

#[test]
fn the_awkward_data_are_awkward() {
    let kinds = data::kinds(300, 3);
    let of = |name: &str| &kinds.iter().find(|kind| kind.name.starts_with(name)).expect("a kind of this name").points;
    assert_eq!(of("duplicated").row(0), of("duplicated").row(4));
    assert_ne!(of("duplicated").row(0), of("duplicated").row(5));
    assert_eq!(&of("collinear").row(2) - &of("collinear").row(1), of("collinear").row(1));
    assert!(of("far").iter().all(|&x| x > 4000.0));
    assert!(of("tiny").iter().all(|&x| x.abs() < 1e-11));
    assert_eq!(of("outlier").iter().filter(|&&x| x == 1e6).count(), 3);
    assert!(of("random").iter().all(|&x| x == f64::from(x as f32)));
    assert!(data::all(2).len() == data::SIZES.len() * kinds.len());
}

fn neighbors() -> Neighbors<f64> {
    Neighbors { indices: array![[1, 2], [0, 2], [0, 1]], d2: array![[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]] }
}

#[test]
fn neighbors_fail_out_of_order_on_themselves_on_strangers_and_on_nan() {
    assert!(neighbors_are_others_in_order(&neighbors()).is_ok());
    let with = |at, index| {
        let mut broken = neighbors();
        broken.indices[at] = index;
        neighbors_are_others_in_order(&broken)
    };
    assert!(with((0, 0), 2).is_err());
    assert!(with((0, 0), 0).is_err());
    assert!(with((0, 1), 3).is_err());
    let mut broken = neighbors();
    broken.d2[(1, 1)] = f64::NAN;
    assert!(neighbors_are_others_in_order(&broken).is_err());
    let none = Neighbors::<f64> { indices: ndarray::Array2::zeros((0, 0)), d2: ndarray::Array2::zeros((0, 0)) };
    assert!(neighbors_are_others_in_order(&none).is_err());
}

#[test]
fn conditionals_fail_on_nan_on_a_wrong_sum_and_on_a_wrong_count() {
    let good = Conditionals { beta: array![1.0], p: array![[0.5, 0.5]], unreached: 0 };
    assert!(rows_of_p_sum_to_one(&good, 1e-9).is_ok());
    assert!(entropy_is_log_perplexity(&good, 2.0, 1e-9).is_ok());
    assert!(entropy_is_log_perplexity(&good, 2.0 + 1e-8, 1e-9).is_err());
    for p in [array![[0.5, 0.5 + 2e-9]], array![[0.5, f64::NAN]], array![[1.5, -0.5]], ndarray::Array2::zeros((0, 2))] {
        assert!(rows_of_p_sum_to_one(&Conditionals { p, ..good.clone() }, 1e-9).is_err());
    }
    assert!(
        entropy_is_log_perplexity(&Conditionals { p: array![[0.5, f64::NAN]], ..good.clone() }, 2.0, 1e-9).is_err()
    );
    assert!(entropy_is_log_perplexity(&Conditionals { unreached: 1, ..good.clone() }, 2.0, 1e-9).is_err());
    assert!(entropy_is_log_perplexity(&Conditionals { p: ndarray::Array2::zeros((0, 2)), ..good }, 2.0, 1e-9).is_err());
}

#[test]
fn affinities_fail_on_asymmetry_nan_a_lost_edge_and_a_wrong_sum() {
    let good =
        Affinities { offsets: vec![0, 2, 4, 6], indices: vec![1, 2, 0, 2, 0, 1], weights: vec![0.5; 6], unreached: 0 };
    assert!(affinities_are_symmetric(&good).is_ok());
    assert!(affinities_sum_to_n(&good, 1e-9).is_ok());
    assert!(union_of_edges_is_kept(&good, &neighbors()).is_ok());

    let mut broken = good.clone();
    broken.weights[0] = 0.5_f64.next_up();
    assert!(affinities_are_symmetric(&broken).is_err());
    broken.weights.fill(f64::NAN);
    assert!(affinities_are_symmetric(&broken).is_err());
    assert!(affinities_sum_to_n(&broken, 1e-9).is_err());
    let diagonal = Affinities { indices: vec![0, 2, 0, 2, 0, 1], ..good.clone() };
    assert!(affinities_are_symmetric(&diagonal).is_err());
    let short = Affinities { offsets: vec![0, 2, 4, 5], ..good.clone() };
    assert!(affinities_are_symmetric(&short).is_err());

    let lost =
        Affinities { offsets: vec![0, 1, 2, 4], indices: vec![2, 2, 0, 1], weights: vec![0.75; 4], unreached: 0 };
    assert!(affinities_are_symmetric(&lost).is_ok());
    assert!(affinities_sum_to_n(&lost, 1e-9).is_ok());
    assert!(union_of_edges_is_kept(&lost, &neighbors()).is_err());
    let heavy = Affinities { weights: vec![0.5 + 2e-9; 6], ..good };
    assert!(affinities_sum_to_n(&heavy, 1e-9).is_err());
}
