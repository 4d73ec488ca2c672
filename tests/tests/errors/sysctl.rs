//! The settings of the sandbox's network namespace.

use std::fs;

/// Writes to `/proc/sys/net/ipv4`.
#[track_caller]
pub(crate) fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
        .unwrap_or_else(|error| panic!("set {name} to {value:?}: {error}"));
}
