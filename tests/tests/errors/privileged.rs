//! Ports below `ip_unprivileged_port_start`.

use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use portkeep::ErrorKind;
use portkeep_tests::enable::{enable, enable_with, options};
use portkeep_tests::libc::EACCES;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, proc, raw, sock};

use crate::capabilities;
use crate::holder::socket;
use crate::ledger::{USER, assert_charged};
use crate::refusal::{Request, assert_allowed, of};
use crate::sysctl;

#[track_caller]
fn assert_refused(sandbox: &Sandbox, start: u16, count: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let request = Request::new(protocol, start, count);
        let conflict = request.refused(sandbox, EACCES, ErrorKind::NotPermitted);
        assert_eq!(
            conflict,
            of(raw::CONFLICT_NOT_PERMITTED, protocol, start),
            "{request:?}"
        );
    }
}

pub(crate) fn a_user_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let checked = proc::as_uid(USER, USER, || {
        for (start, count) in [(1, 1), (80, 1), (1023, 1), (1023, 2), (1000, 100)] {
            assert_refused(sandbox, start, count);
        }
        assert_allowed(1024, 100);
        0
    });
    assert_eq!(checked, 0);
    assert_charged(USER, 0);
}

pub(crate) fn a_capability_allows(sandbox: &Sandbox) {
    enable(sandbox);
    assert_allowed(1, 1023);
    let bind_service_only = proc::fork_child(|| {
        prctl::set_keepcaps(true).expect("PR_SET_KEEPCAPS");
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        setresgid(gid, gid, gid).expect("setresgid");
        setresuid(uid, uid, uid).expect("setresuid");
        capabilities::keep_only(capabilities::NET_BIND_SERVICE);
        assert_allowed(80, 1);
        assert_allowed(1, 1023);
        // It is no exemption from the quota.
        assert_errno!(raw::acquire4(sock::tcp4(), 80, 4097), EDQUOT);
        0
    });
    assert_eq!(bind_service_only.code(), 0);
}

pub(crate) fn the_sysctl_allows(sandbox: &Sandbox) {
    enable(sandbox);
    sysctl::set("ip_unprivileged_port_start", "80");
    let checked = proc::as_uid(USER, USER, || {
        assert_allowed(80, 100);
        assert_refused(sandbox, 79, 2);
        0
    });
    assert_eq!(checked, 0);
    sysctl::set("ip_unprivileged_port_start", "2000");
    let checked = proc::as_uid(USER, USER, || {
        assert_refused(sandbox, 1999, 2);
        assert_allowed(2000, 1);
        0
    });
    assert_eq!(checked, 0);
}

pub(crate) fn a_users_wildcard_starts_above(sandbox: &Sandbox) {
    enable_with(&portkeep_admin::InstallOptions {
        pool: (1000, 1031),
        ..options(sandbox)
    });
    let checked = proc::as_uid(USER, USER, || {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let request = Request::new(protocol, 0, 9);
            let conflict = request.refused(sandbox, libc::EADDRINUSE, ErrorKind::NoFreeBlock);
            assert_eq!(conflict, of(raw::CONFLICT_RESERVED, protocol, 0));
            assert_eq!(assert_ok!(raw::acquire(socket(protocol), 0, 8)).start, 1024);
        }
        0
    });
    assert_eq!(checked, 0);
    assert_eq!(assert_ok!(raw::acquire(sock::tcp4(), 0, 32)).start, 1000);
}
