//! What lies between this process and its operating system. The one place for code of a single system.

use sysinfo::{CpuRefreshKind, Process, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// Keeps the Vulkan loader's own chatter off stderr. To be called before the process has a second thread.
///
/// Mesa's device-select layer complains that `XDG_RUNTIME_DIR` is not set whenever an instance is made, as on any machine
/// without a desktop session. All that it does is to put the adapter of the desktop first, which [`choose`] does not ask.
///
/// [`choose`]: crate::gpu::choose
pub fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the process has one thread, so nobody reads the environment meanwhile.
        #[expect(unsafe_code, reason = "the layer is told by its environment alone")]
        unsafe {
            std::env::set_var("NODEVICE_SELECT", "1");
        }
    }
}

/// Calls `handler` on Ctrl-C, and on what else asks a process to end (SIGTERM, SIGHUP).
///
/// A hang-up that is ignored stays so: `nohup` asked for it, and a job is to outlive its terminal.
pub fn on_interrupt(handler: impl FnMut() + Send + 'static) {
    #[cfg(unix)]
    let hang_up = hang_up::set(libc::SIG_IGN);
    // A handler that cannot be installed leaves Ctrl-C as the system has it.
    let _ = ctrlc::set_handler(handler);
    #[cfg(unix)]
    if hang_up == libc::SIG_IGN {
        hang_up::set(hang_up);
    }
}

#[cfg(unix)]
mod hang_up {
    /// Sets what SIGHUP does and tells what it did.
    pub fn set(action: libc::sighandler_t) -> libc::sighandler_t {
        // SAFETY: `action` is SIG_IGN, or what this function returned, no other function that the signal could enter.
        #[expect(unsafe_code, reason = "neither the standard library nor ctrlc tells what a signal does")]
        unsafe {
            libc::signal(libc::SIGHUP, action)
        }
    }
}

/// The most bytes of memory that this process has held.
///
/// Linux keeps the peak; elsewhere it is what is held when asked, which is close at the end of a stage.
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak: Option<u64> =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    match peak {
        Some(kibibytes) => 1024 * kibibytes,
        None => held_bytes(),
    }
}

/// Counts that peak anew from now on; `false` where the system cannot.
pub fn reset_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The processor's name as it tells it; empty where it does not.
pub fn processor() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    system.ok().and_then(|system| Some(system.cpus().first()?.brand().trim().to_owned())).unwrap_or_default()
}

/// The bytes of memory of the machine.
pub fn memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system.total_memory()).filter(|&bytes| bytes > 0)
}

/// The bytes of memory that this process holds now.
pub fn held_bytes() -> u64 {
    System::new().ok().and_then(|mut system| Some(held(&mut system)?.memory())).unwrap_or(0)
}

/// The most bytes of memory that this process may come to hold without crowding out others: what it holds and what is
/// free, of the machine or of the container that it runs in. `None` where the system does not tell.
pub fn memory_budget() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let available = Some(system.available_memory()).filter(|&bytes| bytes > 0)?;
    let process = held(&mut system)?;
    let of_machine = available + process.memory();
    // Files in the system's cache count as used in a container, but make room when asked.
    let of_container =
        process.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss) + process.memory());
    Some(of_container.map_or(of_machine, |bytes| bytes.min(of_machine)))
}

/// This process, as the system sees it.
fn held(system: &mut System) -> Option<&Process> {
    let id = sysinfo::get_current_pid().ok()?;
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, what);
    system.process(id)
}
