//! What only the operating system knows of this process. The one place for code of a single system.

/// The most bytes of memory that this process has held.
///
/// Linux keeps the peak; elsewhere it is what is held when asked, which is close at the end of a stage.
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak: Option<u64> =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    match peak {
        Some(kibibytes) => 1024 * kibibytes,
        None => memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem as u64),
    }
}
