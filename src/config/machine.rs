//! The memory for this process: the machine's, or less by the limit of a control group.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

/// The fraction of the memory for a query (one in N).
const QUERIES_PER_MACHINE: u64 = 4;
/// The least default for a query.
const QUERY_LEAST: ByteSize = ByteSize::gib(1);

/// A computed default, and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worked {
    /// The text of a size that can be read back.
    pub(super) text: String,
    /// In words.
    pub(super) from: String,
}

/// The default of `sql.memory-limit`.
pub(super) fn query_memory() -> Worked {
    worked(memory_bytes(Path::new("/")))
}

fn worked(found: Option<(u64, &'static str)>) -> Worked {
    let whole = |bytes: u64| format!("{}MiB", bytes >> 20);
    let least = format!("{}MiB", QUERY_LEAST.as_u64() >> 20);
    match found {
        Some((bytes, whose)) if bytes / QUERIES_PER_MACHINE >= QUERY_LEAST.as_u64() => Worked {
            text: whole(bytes / QUERIES_PER_MACHINE),
            from: format!("a quarter of the {} of {whose}", whole(bytes)),
        },
        Some((bytes, whose)) => Worked { text: least, from: format!("the least: {whose} has {}", whole(bytes)) },
        None => Worked { text: least, from: "the least: the system does not report its memory".to_owned() },
    }
}

/// The least of the machine's memory and the limits of this process's control groups, and its source. `None` if the
/// system does not report it. The files of the system are below `root`.
fn memory_bytes(root: &Path) -> Option<(u64, &'static str)> {
    let machine = machine_bytes(root).map(|bytes| (bytes, "this machine"));
    let group = group_bytes(root).map(|bytes| (bytes, "the control group"));
    machine.into_iter().chain(group).min_by_key(|(bytes, _)| *bytes)
}

fn machine_bytes(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit from this process's group up to the root group, in both versions of control groups.
fn group_bytes(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_memory = controllers.split(',').any(|controller| controller == "memory");
        match controllers {
            "" => least_limit(&root.join("sys/fs/cgroup"), path, "memory.max"),
            _ if is_memory => least_limit(&root.join("sys/fs/cgroup/memory"), path, "memory.limit_in_bytes"),
            _ => None,
        }
    });
    limits.min()
}

fn least_limit(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let inside: PathBuf = Path::new(group.trim_start_matches('/')).to_path_buf();
    let folders = inside.ancestors().map(|folder| mount.join(folder));
    // In a container this is the path outside of it, and the group's own files are at the mount.
    let limit = |folder: PathBuf| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    folders.filter_map(limit).min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       25165824 kB\nMemFree: 1 kB\n");

    /// Files with their contents, and the memory with its source.
    type Case = (&'static [(&'static str, &'static str)], Option<(u64, &'static str)>);

    #[test]
    fn the_memory_is_the_lowest_of_limits() {
        let gib = |count: u64| count << 30;
        let cases: [Case; 7] = [
            (&[], None),
            (&[MACHINE], Some((gib(24), "this machine"))),
            (
                &[MACHINE, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "max\n")],
                Some((gib(24), "this machine")),
            ),
            (
                &[MACHINE, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/memory.max", "8589934592\n")],
                Some((gib(8), "the control group")),
            ),
            (
                // In a container.
                &[MACHINE, ("proc/self/cgroup", "0::/pods/x\n"), ("sys/fs/cgroup/memory.max", "2147483648\n")],
                Some((gib(2), "the control group")),
            ),
            (
                &[
                    MACHINE,
                    ("proc/self/cgroup", "5:cpu,cpuacct:/d\n4:memory:/d\n0::/\n"),
                    ("sys/fs/cgroup/memory/d/memory.limit_in_bytes", "4294967296\n"),
                ],
                Some((gib(4), "the control group")),
            ),
            (
                // Version 1 says "none" by a number near 2^63.
                &[
                    MACHINE,
                    ("proc/self/cgroup", "4:memory:/\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                Some((gib(24), "this machine")),
            ),
        ];
        for (files, expected) in cases {
            assert_eq!(memory_bytes(system(files).path()), expected, "{files:?}");
        }
    }

    #[test]
    fn a_query_may_hold_a_quarter_of_memory() {
        let shown = |found| {
            let Worked { text, from } = worked(found);
            format!("{text}: {from}")
        };
        assert_eq!(shown(Some((24 << 30, "this machine"))), "6144MiB: a quarter of the 24576MiB of this machine");
        assert_eq!(shown(Some((2 << 30, "the control group"))), "1024MiB: the least: the control group has 2048MiB");
        assert_eq!(shown(None), "1024MiB: the least: the system does not report its memory");
    }
}
