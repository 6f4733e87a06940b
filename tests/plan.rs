//! The plan at sizes that no test can run: what they would hold.

mod common;

use common::adapters::on_each;
use nearfield::gpu::{Adapter, Options};
use nearfield::plan::{Affinity, Budget, Count, Plan, Settings, Shape};

const GIB: u64 = 1 << 30;

fn plan(settings: &Settings, n: usize, input_dims: usize, device: Option<&Adapter>) -> Plan {
    Plan::resolve(settings, Shape { name: "large", n, input_dims }, device).expect("a sound request")
}

fn sparse() -> Settings {
    Settings { affinity: Affinity::Uniform, neighbors: Count::Of(15), ..Settings::default() }
}

#[test]
fn a_million_points_fit_four_gibibytes() {
    let settings = Settings::default();
    let alone = plan(&settings, 1_000_000, 50, None);
    assert!((GIB..4 * GIB).contains(&alone.memory.host), "{:?}", alone.memory);
    assert_eq!(alone.memory.device, 0);
    let tight = Budget { host: Some(alone.memory.host - 1), device: None };
    assert!(alone.fits(&tight).is_err());
    assert!(alone.fits(&Budget { host: Some(alone.memory.host), device: Some(0) }).is_ok());
    on_each(Options::default(), |gpu| {
        let planned = plan(&settings, 1_000_000, 50, Some(gpu.adapter())).memory;
        assert!((GIB..4 * GIB).contains(&planned.device), "{planned:?}");
    });
}

#[test]
fn ten_million_points_of_few_neighbours_fit_eight_gibibytes_of_a_device() {
    on_each(Options::default(), |gpu| {
        let planned = plan(&sparse(), 10_000_000, 16, Some(gpu.adapter())).memory;
        assert!((GIB..8 * GIB).contains(&planned.device), "{planned:?}");
    });
}

#[test]
fn a_mesh_in_space_is_planned_for() {
    let host = |n, dims| plan(&Settings { dims, ..sparse() }, n, 16, None).memory.host;
    // Below the change to the mesh nothing is added; above, more than the edges of so few neighbours take elsewhere.
    assert_eq!(host(2_000, 3), host(2_000, 2));
    assert!(host(70_000, 3) > host(70_000, 2) + (64 << 20), "{} {}", host(70_000, 3), host(70_000, 2));
    assert!(host(1_000_000, 3) < GIB, "{}", host(1_000_000, 3));
}

#[test]
fn memory_grows_with_what_makes_it() {
    let host = |settings: &Settings, n, m| plan(settings, n, m, None).memory.host;
    let settings = Settings::default();
    let base = host(&settings, 100_000, 50);
    assert!(host(&settings, 200_000, 50) > 19 * base / 10);
    assert!(host(&settings, 100_000, 100) > base);
    assert!(host(&sparse(), 100_000, 50) < base / 3);
}
