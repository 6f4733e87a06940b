//! Entry points bound by name and run in batches.

use super::profile::Recording;
use super::shader::{Reflection, Slot};
use super::{Buffer, Gpu, SUBMIT_SECONDS, Shader};
use crate::{Error, Result};
use std::sync::Arc;

/// The most workgroups along one dimension that every device allows.
const GROUPS_PER_DIMENSION: u32 = 65_535;

/// One compiled entry point.
pub struct Kernel {
    pipeline: wgpu::ComputePipeline,
    slots: Vec<Slot>,
    name: String,
    /// Invocations along each dimension of a workgroup, read from the text.
    pub workgroup: [u32; 3],
}

/// A kernel with its buffers: what a dispatch runs. Made once and dispatched often.
pub struct Call {
    kernel: Arc<Kernel>,
    bindings: wgpu::BindGroup,
}

/// Dispatches recorded in order and handed to the device together.
pub struct Batch<'a> {
    gpu: &'a Gpu,
    encoder: wgpu::CommandEncoder,
    /// One for all dispatches; under a profile each has its own.
    pass: Option<wgpu::ComputePass<'static>>,
    recording: Option<Recording>,
    /// What is recorded is expected to take this long.
    seconds: f64,
}

/// A buffer of any element type, as a binding.
pub trait Bindable {
    /// The buffer behind it.
    #[doc(hidden)]
    fn resource(&self) -> wgpu::BindingResource<'_>;
}

impl<T> Bindable for Buffer<T> {
    fn resource(&self) -> wgpu::BindingResource<'_> {
        self.raw.as_entire_binding()
    }
}

impl Kernel {
    pub(super) fn new(gpu: &Gpu, shader: &Shader, entry: &str, constants: &[(&str, f64)]) -> Result<Kernel> {
        let name = format!("{}:{entry}", shader.name());
        let fail = |cause: String| Error::job(format!("shader {name}"), cause, "report this");
        let reflection: Reflection = shader.reflect()?;
        let workgroup = reflection.workgroup(entry).ok_or_else(|| fail("there is no such entry point".into()))?;
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = gpu.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(reflection.text.as_str().into()),
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            // Our kernels write every word of workgroup memory before they read it.
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let internal = pollster::block_on(internal.pop());
        let invalid = pollster::block_on(scope.pop());
        gpu.check()?;
        if let Some(error) = invalid.or(internal) {
            return Err(fail(error.to_string()));
        }
        Ok(Kernel { pipeline, slots: reflection.slots(entry), name, workgroup })
    }

    /// Binds buffers by the names of the shader's variables.
    ///
    /// # Errors
    /// [`Error::Job`] naming shader and variable if one is missing, unknown or of the wrong kind.
    pub fn bind(self: &Arc<Self>, gpu: &Gpu, buffers: &[(&str, &dyn Bindable)]) -> Result<Call> {
        let fail = |cause: String| Error::job(format!("shader {}", self.name), cause, "report this");
        if let Some((name, _)) = buffers.iter().find(|(name, _)| self.slots.iter().all(|slot| slot.name != *name)) {
            return Err(fail(format!("has no binding `{name}`")));
        }
        let entries = self.slots.iter().map(|slot| {
            let (_, buffer) = buffers
                .iter()
                .find(|(name, _)| *name == slot.name)
                .ok_or_else(|| fail(format!("nothing is bound to `{}`", slot.name)))?;
            Ok(wgpu::BindGroupEntry { binding: slot.binding, resource: buffer.resource() })
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&self.name),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(Call { kernel: Arc::clone(self), bindings }),
            Some(error) => {
                gpu.check()?;
                Err(fail(error.to_string()))
            }
        }
    }
}

impl Gpu {
    /// An empty batch.
    pub fn batch(&self) -> Batch<'_> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let recording = self.recording();
        let pass = match &recording {
            None => Some(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()),
            Some(_) => None,
        };
        Batch { gpu: self, encoder, pass, recording, seconds: 0.0 }
    }
}

impl Batch<'_> {
    /// Runs the call with at least one invocation along x for each of `items`.
    ///
    /// Dispatches run in order, and each sees all that the ones before it wrote.
    pub fn over(&mut self, call: &Call, items: usize) {
        self.groups(call, items.div_ceil(call.kernel.workgroup[0] as usize));
    }

    /// Runs `groups` workgroups, laid out in two dimensions where one does not hold them; the shader finds its number
    /// by `group_index` (lib/dispatch.wgsl) and must ignore numbers past the end.
    pub fn groups(&mut self, call: &Call, groups: usize) {
        if groups == 0 {
            return;
        }
        let rows = groups.div_ceil(GROUPS_PER_DIMENSION as usize);
        let columns = groups.div_ceil(rows);
        self.grid(call, columns as u32, rows as u32);
    }

    /// Runs a grid of workgroups; both sides must be within a device's 65,535.
    pub fn grid(&mut self, call: &Call, columns: u32, rows: u32) {
        let mut own;
        let pass = match (&mut self.pass, &mut self.recording) {
            (Some(pass), _) => pass,
            (None, Some(recording)) => {
                own = recording.pass(self.gpu, &mut self.encoder, &call.kernel.name);
                &mut own
            }
            (None, None) => unreachable!("a batch has a pass, or one for each dispatch"),
        };
        pass.set_pipeline(&call.kernel.pipeline);
        pass.set_bind_group(0, &call.bindings, &[]);
        pass.dispatch_workgroups(columns, rows, 1);
    }

    /// Counts what the last dispatch is expected to take; hands over and waits when that would make too long a submit.
    ///
    /// # Errors
    /// See [`Gpu::wait`].
    pub fn spend(&mut self, seconds: f64) -> Result<()> {
        self.seconds += seconds;
        if self.seconds < SUBMIT_SECONDS {
            return Ok(());
        }
        std::mem::replace(self, self.gpu.batch()).run()
    }

    /// Hands everything recorded to the device without waiting.
    pub fn submit(self) {
        let Batch { gpu, mut encoder, pass, recording, .. } = self;
        drop(pass);
        if let Some(recording) = recording {
            recording.resolve(gpu, &mut encoder);
        }
        gpu.queue.submit([encoder.finish()]);
    }

    /// Hands everything to the device, waits, and reports faults.
    ///
    /// # Errors
    /// See [`Gpu::wait`].
    pub fn run(self) -> Result<()> {
        let gpu = self.gpu;
        self.submit();
        gpu.wait()
    }
}
