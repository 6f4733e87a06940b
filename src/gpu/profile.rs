//! How long each kernel took, by the device's own clock: for who measures, never in a normal job.
//!
//! A device that was opened with [`Options::profile`](super::Options) can be asked to time what is recorded meanwhile
//! ([`Gpu::profiled`]). Each dispatch then is a pass of its own with a timestamp at either end, since timestamps within a
//! pass are an extension that few adapters have. Passes do not overlap as dispatches may, so the sum of the kernels' times can exceed
//! the time of the same work without a profile; that one is to be taken by the clock of the host.

use super::Gpu;
use crate::Result;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Dispatches that one query set times: two timestamps each, of at most 4,096 that a set may hold.
const DISPATCHES: usize = 2048;

/// What the dispatches of one kernel took.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTime {
    /// Its shader and entry point: `field/exact.wgsl:exact`.
    pub name: String,
    /// Dispatches that were timed.
    pub calls: usize,
    /// Seconds of them all.
    pub seconds: f64,
}

/// The profile of a device: off, but for the work of [`Gpu::profiled`].
#[derive(Default)]
pub(super) struct Profile {
    on: AtomicBool,
    submitted: Mutex<Vec<Recording>>,
}

/// The timestamps of one batch.
pub(super) struct Recording {
    sets: Vec<wgpu::QuerySet>,
    /// What was dispatched, in order.
    names: Vec<String>,
    /// One for each set, filled when the batch is done.
    results: Vec<wgpu::Buffer>,
}

impl Recording {
    /// A pass for the next dispatch, of this name.
    pub fn pass(&mut self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, name: &str) -> wgpu::ComputePass<'static> {
        let place = self.names.len() % DISPATCHES;
        if place == 0 {
            self.sets.push(gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * DISPATCHES as u32,
            }));
        }
        self.names.push(name.to_owned());
        let set = self.sets.last().expect("one was made");
        let begin = 2 * place as u32;
        encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(name),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: set,
                    beginning_of_pass_write_index: Some(begin),
                    end_of_pass_write_index: Some(begin + 1),
                }),
            })
            .forget_lifetime()
    }

    /// Records, after the last dispatch, that the timestamps be put where the host can read them.
    pub fn resolve(mut self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) {
        use wgpu::BufferUsages as Usage;
        for (number, set) in self.sets.iter().enumerate() {
            let dispatches = (self.names.len() - number * DISPATCHES).min(DISPATCHES);
            let bytes = (2 * dispatches * size_of::<u64>()) as u64;
            let buffer = |usage| {
                let (label, mapped_at_creation) = (Some("timestamps"), false);
                gpu.device.create_buffer(&wgpu::BufferDescriptor { label, size: bytes, usage, mapped_at_creation })
            };
            let resolved = buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC);
            let read = buffer(Usage::MAP_READ | Usage::COPY_DST);
            encoder.resolve_query_set(set, 0..2 * dispatches as u32, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &read, 0, bytes);
            self.results.push(read);
        }
        gpu.profile.submitted.lock().expect("no panic while held").push(self);
    }

    /// Seconds of each dispatch; the device must have done the batch.
    fn seconds(&self, gpu: &Gpu) -> Result<Vec<f64>> {
        let period = 1e-9 * f64::from(gpu.queue.get_timestamp_period());
        let mut seconds = Vec::new();
        for buffer in &self.results {
            buffer.map_async(wgpu::MapMode::Read, .., |_| ());
            gpu.wait()?;
            let Ok(view) = buffer.get_mapped_range(..) else { continue };
            let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
            // A clock that was reset in between runs backwards: such a dispatch was not timed.
            seconds.extend(stamps.as_chunks().0.iter().map(|[begin, end]| match end.checked_sub(*begin) {
                Some(ticks) => ticks as f64 * period,
                None => f64::NAN,
            }));
        }
        Ok(seconds)
    }
}

impl Gpu {
    /// Whether its kernels can be timed: the device was opened for it, and the adapter has timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Does `work` with every dispatch timed; returns what it returns, and its kernels in order of falling time. There are none where the
    /// device has no timestamps.
    ///
    /// # Errors
    /// Those of `work`, and any fault of the device.
    pub fn profiled<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<(R, Vec<KernelTime>)> {
        self.profile.on.store(self.has_timestamps(), Ordering::Relaxed);
        let done = work();
        self.profile.on.store(false, Ordering::Relaxed);
        let recordings = std::mem::take(&mut *self.profile.submitted.lock().expect("no panic while held"));
        let done = done?;
        self.wait()?;
        let mut kernels: Vec<KernelTime> = Vec::new();
        for recording in &recordings {
            for (name, seconds) in recording.names.iter().zip(recording.seconds(self)?) {
                if seconds.is_nan() {
                    continue;
                }
                match kernels.iter_mut().find(|kernel| kernel.name == *name) {
                    Some(kernel) => {
                        kernel.calls += 1;
                        kernel.seconds += seconds;
                    }
                    None => kernels.push(KernelTime { name: name.clone(), calls: 1, seconds }),
                }
            }
        }
        kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok((done, kernels))
    }

    /// What a batch begun now records its timestamps in, if it does.
    pub(super) fn recording(&self) -> Option<Recording> {
        let on = self.profile.on.load(Ordering::Relaxed);
        on.then(|| Recording { sets: Vec::new(), names: Vec::new(), results: Vec::new() })
    }
}
