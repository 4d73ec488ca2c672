//! Sockets that the kernel makes for itself: here that of a VXLAN tunnel, which binds when the device
//! is set up.

use std::process::Command;

use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw, skip, sock};

use crate::scene::{START, acquire};

/// What `ip link` says against it, empty if it does as it is told.
fn ip_link(words: &str) -> String {
    let output = Command::new("ip")
        .arg("link")
        .args(words.split(' '))
        .output()
        .unwrap_or_else(|error| skip(&format!("ip: {error}")));
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

pub(crate) fn the_kernels_own_socket_is_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owner = acquire(Protocol::Udp, 0);
    let refusal = ip_link(&format!("add v0 type vxlan id 1 dstport {START} dev lo"));
    if !refusal.is_empty() {
        skip(&format!("no VXLAN: {refusal}"));
    }
    let refusal = ip_link("set v0 up");
    assert!(refusal.contains("Address already in use"), "{refusal}");
    drop(owner);
    assert_eq!(ip_link("set v0 up"), "");
    // And the other way round: its port is in use.
    let acquirer = sock::udp4();
    assert_errno!(raw::acquire4(&acquirer, START, 1), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(&acquirer));
    assert_eq!(
        (conflict.kind, conflict.port),
        (raw::CONFLICT_IN_USE, START)
    );
    assert_eq!(ip_link("set v0 down"), "");
    assert_ok!(raw::acquire4(&acquirer, START, 1));
}
