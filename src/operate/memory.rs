//! The last bound on memory: the system's limit for this process.
//!
//! The bounds of `queries` stop a query that takes too much, and the process goes on. They cannot stop a single step
//! that asks for hundreds of gigabytes. With this bound such a step ends this process, and not its neighbours. The
//! shell is then started again (`shell::supervisor`).

use bluelake_queries::process_bytes;
use bytesize::ByteSize;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const LIMITS: u64 = 4;
const ALLOWANCE_BYTES: u64 = 1 << 30;

/// Bounds the private memory of this process to its present size, four times the limit of queries, and 1 GiB. A query
/// is stopped well below that. Systems without such a bound have none.
pub(crate) fn bound_process(memory_limit: ByteSize) {
    let most = process_bytes("VmData:")
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(0)
        .saturating_add(memory_limit.as_u64().saturating_mul(LIMITS))
        .saturating_add(ALLOWANCE_BYTES);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_DATA) else { return };
    if let Err(error) = setrlimit(Resource::RLIMIT_DATA, most.min(soft), hard) {
        tracing::debug!(%error, "the memory of the process is not bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_reports_the_memory_of_processes() {
        assert!(process_bytes("VmData:").is_some_and(|bytes| bytes > 1 << 20));
    }
}
