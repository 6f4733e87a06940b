//! Typed device buffers whose allocation can fail as a value and whose bytes are counted.

use super::Gpu;
use super::faults::Faults;
use crate::{Error, Result};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::Arc;

/// The largest staging buffer of a read-back: larger buffers are read in pieces.
const STAGING_BYTES: u64 = 32 << 20;

/// `len` values of type `T` on the device. Given back when dropped.
pub struct Buffer<T> {
    pub(super) raw: wgpu::Buffer,
    pub(super) label: String,
    len: usize,
    bytes: u64,
    faults: Arc<Faults>,
    marker: PhantomData<T>,
}

impl<T> Buffer<T> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // A bind group may still hold the buffer; wgpu frees it with the last of them.
        self.faults.free(self.bytes);
    }
}

impl Gpu {
    /// A storage buffer of zeros.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] if there is no room, [`Error::Job`] if it would exceed a binding.
    pub fn zeros<T: Pod>(&self, label: &str, len: usize) -> Result<Buffer<T>> {
        use wgpu::BufferUsages as Usage;
        self.allocate(label, len, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
    }

    /// A storage buffer holding `values`.
    ///
    /// # Errors
    /// As for [`Gpu::zeros`].
    pub fn upload<T: Pod>(&self, label: &str, values: &[T]) -> Result<Buffer<T>> {
        let buffer = self.zeros(label, values.len())?;
        self.write(&buffer, values);
        Ok(buffer)
    }

    /// A uniform buffer holding one parameter struct.
    ///
    /// # Errors
    /// As for [`Gpu::zeros`].
    pub fn uniform<T: Pod>(&self, label: &str, value: &T) -> Result<Buffer<T>> {
        use wgpu::BufferUsages as Usage;
        let buffer = self.allocate(label, 1, Usage::UNIFORM | Usage::COPY_DST)?;
        self.write(&buffer, std::slice::from_ref(value));
        Ok(buffer)
    }

    /// Overwrites the start of a buffer, in order with the submits before and after.
    pub fn write<T: Pod>(&self, buffer: &Buffer<T>, values: &[T]) {
        assert!(values.len() <= buffer.len, "{}: {} values into {}", buffer.label, values.len(), buffer.len);
        if !values.is_empty() {
            self.queue.write_buffer(&buffer.raw, 0, bytemuck::cast_slice(values));
        }
    }

    /// Waits for the device and reads the first `len` values.
    ///
    /// # Errors
    /// As for [`Gpu::wait`]: nothing is returned from a device with a fault.
    pub fn read<T: Pod>(&self, buffer: &Buffer<T>, len: usize) -> Result<Vec<T>> {
        assert!(len <= buffer.len, "{}: {len} values of {}", buffer.label, buffer.len);
        let mut values = vec![T::zeroed(); len];
        let step = (STAGING_BYTES as usize / size_of::<T>().max(1)).max(1);
        for (piece, part) in values.chunks_mut(step).enumerate() {
            let from = (piece * step * size_of::<T>()) as u64;
            let bytes = size_of_val(part) as u64;
            use wgpu::BufferUsages as Usage;
            let staging = self.allocate::<u8>("read-back", bytes as usize, Usage::MAP_READ | Usage::COPY_DST)?;
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&buffer.raw, from, &staging.raw, 0, bytes);
            self.queue.submit([encoder.finish()]);
            let (sender, receiver) = std::sync::mpsc::channel();
            staging.raw.map_async(wgpu::MapMode::Read, .., move |result| {
                // The receiver is gone only if we returned early with a fault.
                let _ = sender.send(result);
            });
            self.wait()?;
            let mapped = receiver.try_recv().ok().and_then(|result| result.ok()).is_some();
            let view = mapped.then(|| staging.raw.get_mapped_range(..).ok()).flatten();
            let Some(view) = view else {
                self.check()?;
                return Err(Error::device_lost(self.what(), format!("`{}` could not be read back", buffer.label), ""));
            };
            // The staging buffer may be longer than what was asked for.
            bytemuck::cast_slice_mut(part).copy_from_slice(&view[..bytes as usize]);
        }
        Ok(values)
    }

    fn allocate<T>(&self, label: &str, len: usize, usage: wgpu::BufferUsages) -> Result<Buffer<T>> {
        // WebGPU has no empty bindings, and copies are in units of 4 bytes.
        let bytes = ((len * size_of::<T>()) as u64).next_multiple_of(4).max(16);
        if usage.contains(wgpu::BufferUsages::STORAGE) && bytes > self.binding_limit {
            return Err(Error::job(
                self.what(),
                format!("`{label}` needs {bytes} bytes where one binding holds {}", self.binding_limit),
                "report this: it should have been split",
            ));
        }
        let full = |cause: String| Error::device_memory(self.what(), cause, "use --device cpu or a smaller job");
        if !self.faults.allocate(bytes) {
            return Err(full(format!("no memory for `{label}` ({bytes} bytes)")));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        let buffer =
            Buffer { raw, label: label.to_owned(), len, bytes, faults: Arc::clone(&self.faults), marker: PhantomData };
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(full(format!("no memory for `{label}` ({bytes} bytes)"))),
        }
    }
}
