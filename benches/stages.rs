//! Every stage by itself: `cargo bench`, or `cargo bench -- "field.*70k"` for some of them.
//!
//! The cases are those of [`nearfield::bench::cases::DEVELOPED`], prepared, run and checked by the code of `nearfield bench`. A case is prepared,
//! its answer is checked, and only then is it timed; cases that the filter leaves out prepare nothing.
//! Those of a device run on the software adapter or, with `NEARFIELD_BENCH_ADAPTER=NAME`, on one whose name contains NAME,
//! from submit to completion.

use criterion::Criterion;
use nearfield::bench::Stage;
use nearfield::bench::cases::DEVELOPED;
use nearfield::bench::stages::{Stint, is_served, stint};
use nearfield::bench::stand::Stand;
use nearfield::gpu::{Adapter, Gpu, Options, adapters};
use nearfield::plan::{Plan, Shape};
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args();
    let gpu = adapter().map(|adapter| Gpu::open(&adapter, Options::default()).expect("the adapter opens"));
    for case in DEVELOPED {
        let stand = Stand::new(case.data, case.settings()).expect("a usual plan");
        let on_device = gpu.as_ref().map(|gpu| (case.device, Some(gpu)));
        for (stages, gpu) in std::iter::once((case.cpu, None)).chain(on_device) {
            let (n, input_dims) = case.data.shape();
            let shape = Shape { name: case.data.name(), n, input_dims };
            let plan = Plan::resolve(&case.settings(), shape, gpu.map(Gpu::adapter)).expect("a usual plan");
            // A benchmark that times nothing is a mistake to criterion.
            for &stage in stages.iter().filter(|&&stage| is_served(stage, &plan, gpu)) {
                let on = if gpu.is_some() { " gpu" } else { "" };
                let mut ready = None;
                criterion.bench_function(&format!("{}{on}/{}", stage.name(), case.name), |bencher| {
                    let stint = ready.get_or_insert_with(|| prepare(&plan, &stand, stage, gpu));
                    bencher.iter(|| stint.run(1).expect("no fault"));
                });
            }
        }
    }
    criterion.final_summary();
}

/// A stage whose answer was checked.
fn prepare<'a>(plan: &Plan, stand: &'a Stand<'a>, stage: Stage, gpu: Option<&'a Gpu>) -> Box<dyn Stint + 'a> {
    let mut stint = stint(stage, stand, plan, gpu).expect("no fault").expect("a stage of t-SNE that is served");
    stint.run(1).expect("no fault");
    let checks = stint.answer(&|_| ()).expect("no fault");
    assert!(!checks.is_empty(), "nothing was compared; its time would say nothing");
    for check in checks {
        assert!(
            check.holds(),
            "{}: {:.3e} where at most {:.3e} was expected; its time would say nothing",
            check.what,
            check.value,
            check.bound
        );
    }
    stint
}

fn adapter() -> Option<Adapter> {
    let wanted = std::env::var("NEARFIELD_BENCH_ADAPTER");
    adapters().into_iter().find(|adapter| match &wanted {
        Ok(name) => adapter.name.contains(name),
        Err(_) => adapter.is_software(),
    })
}
