//! The adapters that GPU tests run on: the software one, and every other when `NEARFIELD_TEST_ADAPTERS=all`.

use nearfield::gpu::{Adapter, Gpu, Options, adapters};
use std::io::Write;

/// Runs `test` on a fresh device of each adapter.
///
/// Without any adapter it says that it skips, or fails if `NEARFIELD_REQUIRE_GPU=1`, as CI sets. The noop backend is
/// never among the adapters: it would pass every test that reads zeros.
pub fn on_each(options: Options, test: impl Fn(&Gpu)) {
    let chosen = chosen();
    if chosen.is_empty() {
        assert!(
            std::env::var("NEARFIELD_REQUIRE_GPU").as_deref() != Ok("1"),
            "NEARFIELD_REQUIRE_GPU=1 and there is no adapter: install a Vulkan driver (mesa-vulkan-drivers on Debian)"
        );
        // Not `eprintln!`, which the test harness keeps to itself when a test passes: a skip must be seen.
        let skipped = "SKIPPED: there is no GPU adapter here (install mesa-vulkan-drivers for a software one)";
        writeln!(std::io::stderr(), "{skipped}").expect("stderr is open");
        return;
    }
    for adapter in chosen {
        assert_ne!(adapter.backend, "noop", "a test must not compute on the noop backend");
        let gpu = Gpu::open(&adapter, options).expect("the adapter opens");
        test(&gpu);
    }
}

/// The adapters under test.
pub fn chosen() -> Vec<Adapter> {
    let found = adapters();
    if std::env::var("NEARFIELD_TEST_ADAPTERS").as_deref() == Ok("all") {
        return found;
    }
    let software = found.iter().find(|adapter| adapter.is_software()).cloned();
    software.or_else(|| found.into_iter().next()).into_iter().collect()
}
