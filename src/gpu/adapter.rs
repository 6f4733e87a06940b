//! Which devices there are, what they can do, and which one a request means.

use crate::{Error, Result};
use std::str::FromStr;

/// An adapter that wgpu found, with what matters to us.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub(super) handle: wgpu::Adapter,
    /// Its place in the list: `gpu:INDEX`.
    pub index: usize,
    /// The name its driver gives.
    pub name: String,
    /// The interface: `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// The driver's name and version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `other`, or `software` for a driver that computes on the CPU.
    pub device_type: &'static str,
    /// Limits that matter to us: name and value, bytes for sizes.
    pub limits: Vec<(&'static str, u64)>,
    /// Features that matter to us, and whether it has them.
    pub features: Vec<(&'static str, bool)>,
}

impl Adapter {
    /// Whether it computes on the CPU: slower than our own CPU code, for tests.
    pub fn is_software(&self) -> bool {
        self.device_type == "software"
    }
}

/// Which device a user asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// A hardware adapter, else the CPU.
    #[default]
    Auto,
    /// Our own CPU code.
    Cpu,
    /// The best adapter: a hardware one, else a software one.
    Gpu,
    /// The adapter of that place in the list.
    Index(usize),
    /// The one adapter whose name contains this, in any case.
    Name(String),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Choice, String> {
        Ok(match text.to_lowercase().as_str() {
            "" => return Err("give auto, cpu, gpu, gpu:N or part of an adapter's name".into()),
            "auto" => Choice::Auto,
            "cpu" => Choice::Cpu,
            "gpu" => Choice::Gpu,
            lower => match lower.strip_prefix("gpu:") {
                Some(index) => Choice::Index(
                    index.parse().map_err(|_| "give gpu: and a number that `nearfield adapters` lists".to_owned())?,
                ),
                None => Choice::Name(text.to_owned()),
            },
        })
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Gpu => f.write_str("gpu"),
            Choice::Index(index) => write!(f, "gpu:{index}"),
            Choice::Name(name) => f.write_str(name),
        }
    }
}

/// Every adapter of this machine, in the order of the drivers' own list. Empty where no driver is installed.
pub fn adapters() -> Vec<Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor.with_env());
    let found = pollster::block_on(instance.enumerate_adapters(backends));
    found.into_iter().enumerate().map(|(index, handle)| describe(index, handle)).collect()
}

fn describe(index: usize, handle: wgpu::Adapter) -> Adapter {
    let info = handle.get_info();
    let offered = handle.limits();
    let features = handle.features();
    let device_type = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    };
    Adapter {
        index,
        name: info.name,
        backend: info.backend.to_string(),
        driver: [info.driver, info.driver_info]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
        device_type,
        limits: vec![
            ("largest binding", offered.max_storage_buffer_binding_size),
            ("largest buffer", offered.max_buffer_size),
            ("workgroup memory", u64::from(offered.max_compute_workgroup_storage_size)),
            ("invocations a workgroup", u64::from(offered.max_compute_invocations_per_workgroup)),
            ("storage buffers a stage", u64::from(offered.max_storage_buffers_per_shader_stage)),
        ],
        features: vec![
            ("timestamps", features.contains(wgpu::Features::TIMESTAMP_QUERY)),
            ("subgroups", features.contains(wgpu::Features::SUBGROUP)),
            ("f16", features.contains(wgpu::Features::SHADER_F16)),
        ],
        handle,
    }
}

/// The adapter that a choice means among `adapters`; `None` is the CPU.
///
/// # Errors
/// [`Error::Request`] listing those that exist if none, or more than one, answers to it.
pub fn choose<'a>(choice: &Choice, adapters: &'a [Adapter]) -> Result<Option<&'a Adapter>> {
    let rank = |adapter: &&Adapter| match adapter.device_type {
        "discrete" => 0,
        "integrated" => 1,
        "virtual" => 2,
        "other" => 3,
        _ => 4,
    };
    let best = || adapters.iter().min_by_key(rank);
    let refuse = |cause: &str| Err(Error::request(format!("--device {choice}"), cause, existing(adapters)));
    match choice {
        Choice::Cpu => Ok(None),
        Choice::Auto => Ok(best().filter(|adapter| !adapter.is_software())),
        Choice::Gpu => match best() {
            Some(adapter) => Ok(Some(adapter)),
            None => refuse("no adapter was found"),
        },
        Choice::Index(index) => match adapters.get(*index) {
            Some(adapter) => Ok(Some(adapter)),
            None => refuse("no such adapter"),
        },
        Choice::Name(name) => {
            let name = name.to_lowercase();
            let named =
                adapters.iter().filter(|adapter| adapter.name.to_lowercase().contains(&name)).collect::<Vec<_>>();
            match named[..] {
                [] => refuse("no such adapter"),
                [adapter] => Ok(Some(adapter)),
                _ => refuse("more than one adapter has that in its name"),
            }
        }
    }
}

fn existing(adapters: &[Adapter]) -> String {
    if adapters.is_empty() {
        return "use cpu, or install a Vulkan driver (`nearfield adapters` says how)".into();
    }
    let list = adapters.iter().map(|adapter| format!("gpu:{} ({})", adapter.index, adapter.name)).collect::<Vec<_>>();
    format!("there are: auto, cpu, gpu, {}", list.join(", "))
}
