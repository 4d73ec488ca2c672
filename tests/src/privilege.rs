//! Whether this process may make sandboxes.

use std::fs;
use std::io;

use nix::unistd::geteuid;

/// What making a sandbox and the bodies of root trials take, by number (`linux/capability.h`).
/// `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON` too.
const NEEDED: [(u8, &str); 7] = [
    (1, "CAP_DAC_OVERRIDE"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (10, "CAP_NET_BIND_SERVICE"),
    (12, "CAP_NET_ADMIN"),
    (21, "CAP_SYS_ADMIN"),
];

/// Why root trials cannot run here, or `None` if they can.
pub(crate) fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("needs root".into());
    }
    // Root of a user namespace has every capability, but none over bpffs and the cgroup tree.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().ne(["0", "0", "4294967295"]) {
        return Some("needs root of the initial user namespace".into());
    }
    let effective = match capabilities("CapEff") {
        Ok(effective) => effective,
        Err(error) => return Some(format!("cannot read /proc/self/status: {error}")),
    };
    let (_, name) = NEEDED
        .into_iter()
        .find(|(bit, _)| effective & (1 << bit) == 0)?;
    Some(format!("needs {name}"))
}

/// A capability set of the calling thread, by its name in `/proc/[pid]/status` (proc(5)).
pub(crate) fn capabilities(set: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/thread-self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(set)?.strip_prefix(":"));
    line.and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no {set} line")))
}
