//! A program that closes and opens its port again, a thousand times.

use portkeep_tests::{Protocol, Sandbox};

use crate::common::kernel_part::assert_kept;
use crate::scene::{PORT, Strangers, build, run};

pub fn of_tcp(sandbox: &Sandbox) {
    rebinds(sandbox, "tcp");
}

pub fn of_udp(sandbox: &Sandbox) {
    rebinds(sandbox, "udp");
}

fn rebinds(sandbox: &Sandbox, protocol: &str) {
    let script = build(sandbox, "rebind.py");
    let script = script.to_str().expect("a path in UTF-8");
    let mut run = run(&["/usr/bin/python3", script, protocol]);
    let strangers = Strangers::start(sandbox, protocol);
    run.go_on();
    run.go_on();
    assert_eq!(run.line(), "done");
    strangers.end();
    // Closed for the last time, it is still held.
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_kept(protocol, PORT..=PORT);
    }
    run.go_on();
    assert_eq!(run.code(), 0);
}
