//! `nearfield adapters`: what there is, and what `auto` would take.

use super::End;
use crate::gpu::{Adapter, Choice, adapters, choose};
use crate::{Error, Result};
use std::io::Write;

/// What to do where no adapter is found.
const NONE: &str = "no adapter was found: `--device auto` computes on the CPU.
To use a GPU, install its driver with Vulkan support (Windows and macOS bring one):
  Debian, Ubuntu   apt install mesa-vulkan-drivers   (AMD, Intel, and a software adapter for tests)
  Fedora           dnf install mesa-vulkan-drivers
  Arch             pacman -S vulkan-radeon, vulkan-intel or nvidia-utils
  NVIDIA           the vendor's driver, and the package libvulkan1 or vulkan-icd-loader";

/// Prints the list.
pub fn run() -> Result<End> {
    let found = adapters();
    print(&text(&found)?)?;
    Ok(End::Done)
}

/// Writes to stdout; a closed pipe is not an error.
pub fn print(text: &str) -> Result<()> {
    print_to(&mut std::io::stdout().lock(), text)
}

/// The same to what stands for stdout.
pub fn print_to(out: &mut dyn Write, text: &str) -> Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::job("stdout", format!("cannot be written: {error}"), ""))
        }
        _ => Ok(()),
    }
}

fn text(found: &[Adapter]) -> Result<String> {
    if found.is_empty() {
        return Ok(NONE.to_owned());
    }
    let mut lines = Vec::new();
    for adapter in found {
        lines.push(format!("gpu:{}  {}", adapter.index, adapter.name));
        lines.push(format!("       {}, {}, driver {}", adapter.device_type, adapter.backend, adapter.driver));
        let limits = adapter.limits.iter().map(|(name, value)| match *name {
            "largest binding" | "largest buffer" | "workgroup memory" => format!("{name} {}", bytes(*value)),
            _ => format!("{name} {value}"),
        });
        lines.push(format!("       {}", limits.collect::<Vec<_>>().join(", ")));
        let features = adapter.features.iter().map(|(name, has)| format!("{name} {}", if *has { "yes" } else { "no" }));
        lines.push(format!("       {}", features.collect::<Vec<_>>().join(", ")));
    }
    lines.push(match choose(&Choice::Auto, found)? {
        Some(adapter) => format!("auto takes gpu:{} ({}): the best hardware adapter", adapter.index, adapter.name),
        None => "auto takes the CPU: every adapter here is software, slower than nearfield's own CPU code\n\
                 (--device gpu uses it all the same)"
            .to_owned(),
    });
    Ok(lines.join("\n"))
}

/// A size for people.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..units.len() - 1).take_while(|unit| count >> (10 * (unit + 1)) > 0).count();
    format!("{:.4} {}", count as f64 / (1_u64 << (10 * unit)) as f64, units[unit]).replace(".0000", "")
}
