//! Decoders of others, which read bytes that nobody vouches for.

use crate::error::{Error, Result};

/// Does what a decoder of others does with bytes that nobody vouches for: should it panic, that is an error like any other.
pub(super) fn guarded<R>(name: &str, decode: impl FnOnce() -> Result<R>) -> Result<R> {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::Once;
    thread_local! {
        static GUARDED: Cell<bool> = const { Cell::new(false) };
    }
    static QUIET: Once = Once::new();
    // Whoever listens to panics hears all others as before.
    QUIET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    GUARDED.set(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(false);
    decoded.unwrap_or_else(|_| {
        Err(Error::request(name, "is damaged: its decoder gave up in the middle", "write it again, or fetch it again"))
    })
}
