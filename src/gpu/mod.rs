//! The plumbing between our kernels and any GPU: adapters, one device, buffers, shaders bound by name, dispatches that
//! never run long, and faults that are values.
//!
//! Only this room names `wgpu`, and it knows no mathematics. What it promises to the rooms that stand on it:
//!
//! - a device that is lost or out of memory is an [`Error`], never a panic and never a silently wrong number: after every
//!   wait the fault flags are read before any result is trusted (with wgpu 30 a lost device makes submit and poll succeed);
//! - buffers, bindings and dispatches stay within the limits the device was opened with ([`Gpu::binding_limit`]);
//! - a shader's bindings, entry points and parameter structs are read from its text by naga, so nothing is typed twice.

mod adapter;
mod buffer;
mod faults;
mod kernel;
mod map;
mod pace;
mod profile;
mod shader;

pub use adapter::{Adapter, Choice, adapters, choose};
pub use buffer::Buffer;
pub use kernel::{Batch, Bindable, Call, Kernel};
pub use map::stride;
pub use pace::{DISPATCH_SECONDS, Pace, SUBMIT_SECONDS};
pub use profile::KernelTime;
pub use shader::{Params, Part, Shader, Structure};

use crate::{Error, Result};
use faults::Faults;
use profile::Profile;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// An open device with its queue, its limits and its faults.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: Adapter,
    faults: Arc<Faults>,
    kernels: Mutex<BTreeMap<String, Arc<Kernel>>>,
    /// Seconds that making `kernels` took.
    compiling: Mutex<f64>,
    profile: Profile,
    binding_limit: u64,
}

/// How to open a device; the default is right outside tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Lower the largest binding to this many bytes, so that a test can see buffers split at a small size.
    pub binding_limit: Option<u64>,
    /// Ask for timestamps, where the adapter has them, so that [`Gpu::profiled`] can time kernels.
    pub profile: bool,
}

/// The device that was asked for, if it is not the CPU; and why it is not, in a sentence, where that was left open.
///
/// # Errors
/// As for [`choose`] and [`Gpu::open`]: under [`Choice::Auto`] a device that does not open is none.
pub fn open(choice: &Choice) -> Result<(Option<Gpu>, Option<String>)> {
    let found = match choice {
        Choice::Cpu => Vec::new(),
        _ => adapters(),
    };
    match choose(choice, &found)?.map(|adapter| Gpu::open(adapter, Options::default())) {
        None => Ok((None, None)),
        Some(Ok(gpu)) => Ok((Some(gpu), None)),
        Some(Err(error)) if *choice == Choice::Auto => {
            Ok((None, Some(format!("computed on the CPU, because of the {error}"))))
        }
        Some(Err(error)) => Err(error),
    }
}

impl Gpu {
    /// Opens the adapter's device.
    ///
    /// It asks for WebGPU's default limits, and for larger bindings and buffers where the adapter has them.
    ///
    /// # Errors
    /// [`Error::Request`] if the adapter offers less than those limits or cannot be opened.
    pub fn open(adapter: &Adapter, options: Options) -> Result<Gpu> {
        let offered = adapter.handle.limits();
        let defaults = wgpu::Limits::default();
        let required_limits = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            ..defaults.clone()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("nearfield"),
            required_features: match options.profile {
                true => adapter.handle.features() & wgpu::Features::TIMESTAMP_QUERY,
                false => wgpu::Features::empty(),
            },
            required_limits: required_limits.clone(),
            // We sub-allocate nothing: a few large buffers live as long as the job.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.handle.request_device(&descriptor)).map_err(|error| {
            Error::request(
                format!("adapter {}", adapter.name),
                format!("cannot be opened: {error}"),
                "choose another of those that `nearfield adapters` lists, or --device cpu",
            )
        })?;
        let faults = Arc::new(Faults::default());
        device.set_device_lost_callback({
            let faults = Arc::clone(&faults);
            move |reason, message| faults.lose(format!("{reason:?}: {message}"))
        });
        device.on_uncaptured_error({
            let faults = Arc::clone(&faults);
            Arc::new(move |error: wgpu::Error| match error {
                wgpu::Error::OutOfMemory { source } => faults.exhaust(source.to_string()),
                other => faults.complain(other.to_string()),
            })
        });
        let binding_limit = options
            .binding_limit
            .unwrap_or(required_limits.max_storage_buffer_binding_size)
            .min(required_limits.max_buffer_size);
        Ok(Gpu {
            device,
            queue,
            adapter: adapter.clone(),
            faults,
            kernels: Mutex::default(),
            compiling: Mutex::default(),
            profile: Profile::default(),
            binding_limit,
        })
    }

    /// The adapter that this device belongs to.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// The most bytes that one storage binding may hold; larger data is split by its owner.
    pub fn binding_limit(&self) -> u64 {
        self.binding_limit
    }

    /// How many rows of `bytes_per_row` fit one binding, at least 1.
    pub fn rows_per_binding(&self, bytes_per_row: usize) -> usize {
        (self.binding_limit / bytes_per_row.max(1) as u64).max(1) as usize
    }

    /// Bytes now held in buffers, and the most that were held at one time.
    pub fn memory(&self) -> (u64, u64) {
        self.faults.memory()
    }

    /// Counts the most bytes held at one time from now on, from what is held now.
    pub fn reset_peak(&self) {
        self.faults.reset_peak();
    }

    /// Kernels that were compiled, and the seconds that it took; what a driver leaves for the first dispatch is not in it.
    pub fn compiled(&self) -> (usize, f64) {
        let count = self.kernels.lock().expect("no panic while held").len();
        (count, *self.compiling.lock().expect("no panic while held"))
    }

    /// The compiled entry point, made at first use and kept.
    ///
    /// # Errors
    /// [`Error::Job`] with the shader's name and naga's or the driver's words if it does not compile.
    pub fn kernel(&self, shader: &Shader, entry: &str) -> Result<Arc<Kernel>> {
        self.kernel_with(shader, entry, &[])
    }

    /// The same with values for constants that the shader declares by `override`.
    ///
    /// # Errors
    /// As for [`Gpu::kernel`], and for a constant that it does not declare.
    pub fn kernel_with(&self, shader: &Shader, entry: &str, constants: &[(&str, f64)]) -> Result<Arc<Kernel>> {
        let values: String = constants.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let key = format!("{}:{entry}{values}", shader.key());
        if let Some(kernel) = self.kernels.lock().expect("no panic while held").get(&key) {
            return Ok(Arc::clone(kernel));
        }
        let clock = Instant::now();
        let kernel = Arc::new(Kernel::new(self, shader, entry, constants)?);
        *self.compiling.lock().expect("no panic while held") += clock.elapsed().as_secs_f64();
        self.kernels.lock().expect("no panic while held").insert(key, Arc::clone(&kernel));
        Ok(kernel)
    }

    /// Waits until the device has done everything submitted, then reports any fault.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::DeviceMemory`], or [`Error::Job`] for a validation message.
    pub fn wait(&self) -> Result<()> {
        // A dispatch is paced to about 50 ms and a submit to about 500 ms; a minute means that the driver hangs.
        let timeout = Some(std::time::Duration::from_secs(60));
        let polled = self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout });
        self.check()?;
        match polled {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(Error::device_lost(self.what(), "no answer for a minute", "update its driver, or use --device cpu"))
            }
            Err(error) => Err(Error::device_lost(self.what(), error, "use --device cpu")),
        }
    }

    /// Reports a fault that was seen since the device was opened.
    ///
    /// # Errors
    /// See [`Gpu::wait`].
    pub fn check(&self) -> Result<()> {
        self.faults.check(&self.what())
    }

    /// Destroys the device as a driver reset would, for tests of what follows.
    pub fn inject_loss(&self) {
        self.device.destroy();
        self.faults.lose("injected by a test".to_owned());
    }

    /// Makes the allocation after `count` more fail as if the device were full, for tests of what follows.
    pub fn inject_exhaustion(&self, count: u64) {
        self.faults.exhaust_after(count);
    }

    fn what(&self) -> String {
        format!("device {}", self.adapter.name)
    }
}
