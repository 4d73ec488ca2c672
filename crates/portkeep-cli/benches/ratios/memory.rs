//! Kernel memory, as the kernel accounts it to the maps.

use portkeep_admin::inspect;
use portkeep_tests::{Sandbox, enable, expect_ok, raw, sock};

use crate::page::{report, section};

fn bytes(sandbox: &Sandbox) -> u64 {
    let status = inspect(&enable::installation(sandbox))
        .expect("inspect")
        .expect("installed");
    status.memory.iter().map(|map| map.bytes).sum()
}

/// Installs, so it comes first.
pub fn measure(sandbox: &Sandbox) {
    const MANY: u16 = 4000;
    section("Kernel memory");
    enable::enable(sandbox);
    let nothing = bytes(sandbox);
    report(
        "kernel memory, nothing reserved",
        format!("{} KB", nothing / 1000),
        "< 1000 KB",
    );

    let socket = sock::tcp4();
    expect_ok(raw::acquire4(&socket, 61000, 1), "acquire");
    let one = bytes(sandbox);
    report(
        "… the first port of a namespace's pool",
        format!("{} B", one - nothing),
        "< 20000 B",
    );

    for port in 1..=MANY {
        expect_ok(raw::acquire4(&socket, 61000 + port, 1), "acquire");
    }
    let each = (bytes(sandbox) - one) / u64::from(MANY);
    report("… each reservation", format!("{each} B"), "< 256 B");
    drop(socket);

    let before = bytes(sandbox);
    let socket = sock::tcp4();
    std::fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", "1-65535").expect("protect");
    expect_ok(raw::acquire4(&socket, 1, 65535), "acquire everything");
    let all = bytes(sandbox) - before;
    report(
        "… every port of a protocol in a namespace",
        format!("{all} B"),
        "< 20000 B",
    );
    std::fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", "\n").expect("unprotect");
}
