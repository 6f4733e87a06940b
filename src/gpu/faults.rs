//! What went wrong on the device, remembered until somebody looks: wgpu reports through callbacks, we report values.

use crate::{Error, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The fault flags of one device, and the count of the bytes allocated on it.
#[derive(Debug)]
pub struct Faults {
    lost: Mutex<Option<String>>,
    exhausted: Mutex<Option<String>>,
    complaint: Mutex<Option<String>>,
    held: AtomicU64,
    peak: AtomicU64,
    allocations_left: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            lost: Mutex::default(),
            exhausted: Mutex::default(),
            complaint: Mutex::default(),
            held: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            allocations_left: AtomicU64::new(u64::MAX),
        }
    }
}

impl Faults {
    /// The device is gone.
    pub fn lose(&self, message: String) {
        keep_first(&self.lost, message);
    }

    /// The device is full.
    pub fn exhaust(&self, message: String) {
        keep_first(&self.exhausted, message);
    }

    /// The driver or wgpu refused something that we asked: a defect of ours or of the driver's.
    pub fn complain(&self, message: String) {
        keep_first(&self.complaint, message);
    }

    /// From the allocation after `count` more, every one fails.
    pub fn exhaust_after(&self, count: u64) {
        self.allocations_left.store(count, Ordering::Relaxed);
    }

    /// Counts an allocation; `false` if it must fail.
    pub fn allocate(&self, bytes: u64) -> bool {
        let left = self.allocations_left.load(Ordering::Relaxed);
        if left == 0 {
            return false;
        }
        if left != u64::MAX {
            self.allocations_left.store(left - 1, Ordering::Relaxed);
        }
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(held, Ordering::Relaxed);
        true
    }

    /// Counts a buffer given back.
    pub fn free(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes held now and at the peak.
    pub fn memory(&self) -> (u64, u64) {
        (self.held.load(Ordering::Relaxed), self.peak.load(Ordering::Relaxed))
    }

    /// Forgets the peak.
    pub fn reset_peak(&self) {
        self.peak.store(self.held.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The first fault, the gravest kind first.
    pub fn check(&self, what: &str) -> Result<()> {
        let seen = |flag: &Mutex<Option<String>>| flag.lock().expect("no panic while held").clone();
        if let Some(message) = seen(&self.lost) {
            return Err(Error::device_lost(
                what,
                format!("the device was lost ({message})"),
                "run again, with --device cpu if it happens twice",
            ));
        }
        if let Some(message) = seen(&self.exhausted) {
            return Err(Error::device_memory(
                what,
                format!("out of memory ({message})"),
                "use --device cpu or a smaller job",
            ));
        }
        if let Some(message) = seen(&self.complaint) {
            return Err(Error::job(
                what,
                format!("the driver refused a command ({message})"),
                "use --device cpu and report this",
            ));
        }
        Ok(())
    }
}

fn keep_first(flag: &Mutex<Option<String>>, message: String) {
    flag.lock().expect("no panic while held").get_or_insert(message);
}
