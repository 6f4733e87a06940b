//! Ctrl-C: ends the process where there is nothing to write yet; later it asks for the end, and for what there is to be
//! written, and a second one ends the process all the same.

use super::{host, progress};
use crate::render;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether there is something worth writing.
static WORTH_WRITING: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Listens from now on.
pub fn listen() {
    host::on_interrupt(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) || !WORTH_WRITING.load(Ordering::Relaxed) {
            render::discard();
            std::process::exit(130);
        }
        progress::line("interrupted: writing what there is; Ctrl-C again ends at once");
    });
}

/// Says whether an interrupt should wait for what there is.
pub fn worth_writing(worth: bool) {
    WORTH_WRITING.store(worth, Ordering::Relaxed);
}

/// Whether the end was asked for.
pub fn asked() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
