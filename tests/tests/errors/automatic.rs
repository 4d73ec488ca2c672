//! Acquires inside the automatic range.

use portkeep::ErrorKind;
use portkeep_tests::enable::{enable, enable_with, options};
use portkeep_tests::libc::{EADDRINUSE, EADDRNOTAVAIL};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::holder::socket;
use crate::refusal::{Request, assert_allowed, of};
use crate::sysctl;

const FIRST: u16 = 32768;
const LAST: u16 = 60999;

#[track_caller]
fn assert_unprotected(sandbox: &Sandbox, start: u16, count: u16, port: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let request = Request::new(protocol, start, count);
        let conflict = request.refused(sandbox, EADDRNOTAVAIL, ErrorKind::AutomaticRange);
        assert_eq!(
            conflict,
            of(raw::CONFLICT_AUTOMATIC, protocol, port),
            "{request:?}"
        );
    }
}

pub(crate) fn an_unprotected_port_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    for (start, count, port) in [
        (FIRST, 1, FIRST),
        (LAST, 1, LAST),
        (40000, 500, 40000),
        (FIRST - 1, 2, FIRST),
        (LAST, 2, LAST),
        (FIRST - 700, 1000, FIRST),
        (21000, 44535, FIRST),
    ] {
        assert_unprotected(sandbox, start, count, port);
    }
    assert_allowed(FIRST - 64, 64);
    assert_allowed(LAST + 1, 64);

    sysctl::set("ip_local_port_range", "12001 12099");
    assert_unprotected(sandbox, 12000, 2, 12001);
    assert_unprotected(sandbox, 12099, 2, 12099);
    assert_allowed(12000, 1);
    assert_allowed(12100, 1);
    assert_allowed(FIRST, LAST - FIRST + 1);
}

pub(crate) fn a_protected_port_is_not(sandbox: &Sandbox) {
    enable(sandbox);
    sysctl::set("ip_local_reserved_ports", "40000-40099,40200,60990-60999");
    assert_allowed(40000, 100);
    assert_allowed(40200, 1);
    assert_allowed(60990, 100);
    assert_unprotected(sandbox, 40000, 101, 40100);
    assert_unprotected(sandbox, 39999, 2, 39999);
    assert_unprotected(sandbox, 40199, 2, 40199);
    assert_unprotected(sandbox, 60989, 11, 60989);

    let held = sock::tcp4();
    let block = assert_ok!(raw::acquire(&held, 40000, 100));
    // What was granted stays so; only new requests see that the protection has gone.
    sysctl::set("ip_local_reserved_ports", "\n");
    assert_unprotected(sandbox, 40050, 1, 40050);
    assert_errno!(sock::bind_any(sock::tcp4(), 40050), EADDRINUSE);
    assert_ok!(raw::release(&held, block.token));
    assert_ok!(sock::bind_any(sock::tcp4(), 40050));
}

pub(crate) fn a_wildcard_leaves_unprotected_ports_out(sandbox: &Sandbox) {
    enable_with(&portkeep_admin::InstallOptions {
        pool: (40000, 61009),
        ..options(sandbox)
    });
    sysctl::set("ip_local_reserved_ports", "40100-40299,50001");
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let socket = socket(protocol);
        let request = Request::new(protocol, 0, 201);
        let conflict = request.refused(sandbox, EADDRINUSE, ErrorKind::NoFreeBlock);
        assert_eq!(conflict, of(raw::CONFLICT_AUTOMATIC, protocol, 0));
        let starts: Vec<_> = [200, 10, 1]
            .iter()
            .map(|&count| assert_ok!(raw::acquire(&socket, 0, count)).start)
            .collect();
        assert_eq!(starts, [40100, 61000, 50001]);
        assert_errno!(raw::acquire4(&socket, 0, 1), EADDRINUSE);
    }
}
