//! The last bound on memory: what the system gives to this process at all.
//!
//! The bounds of `queries` stop a query that takes too much, and the process goes on. They cannot stop one that asks for
//! hundreds of gigabytes in a single step. With this bound such a step ends the process, and not its neighbours. The
//! shell is then started again (`shell::supervisor`).

use bytesize::ByteSize;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const LIMITS: u64 = 4;
const ALLOWANCE_BYTES: u64 = 1 << 30;

/// Bounds the private memory of this process to what it has now, four times the limit of queries, and 1 GiB. That is
/// well above the point at which a query is stopped. Where the system has no such bound, there is none.
pub(crate) fn bound_process(memory_limit: ByteSize) {
    let most = data_bytes()
        .unwrap_or(0)
        .saturating_add(memory_limit.as_u64().saturating_mul(LIMITS))
        .saturating_add(ALLOWANCE_BYTES);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_DATA) else { return };
    if let Err(error) = setrlimit(Resource::RLIMIT_DATA, most.min(soft), hard) {
        tracing::debug!(%error, "the memory of the process is not bounded");
    }
}

/// Private memory of the process that can be written.
fn data_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_how_much_the_process_has() {
        assert!(data_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
