//! Control cgroups: where the option calls work. Enforcement is everywhere below the attach point.

use std::fs;
use std::path::PathBuf;

use portkeep_admin::{InstallOptions, inspect};
use portkeep_tests::proc::{self, Exit, fork_child};
use portkeep_tests::{Event, Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::scene::{PORT, acquire_port, assert_free, assert_works};

fn cgroup(sandbox: &Sandbox, name: &str) -> PathBuf {
    let path = sandbox.cgroup().join(name);
    fs::create_dir(&path).expect("make a cgroup");
    path
}

fn control(sandbox: &Sandbox, control: impl Into<Vec<PathBuf>>) -> InstallOptions {
    InstallOptions {
        control: control.into(),
        ..enable::options(sandbox)
    }
}

/// Without a hook the kernel itself answers, as for any level that it does not know.
fn assert_no_calls() {
    for socket in [sock::tcp4(), sock::udp6()] {
        assert_errno!(raw::acquire4(&socket, 0, 1), ENOPROTOOPT);
        assert_errno!(raw::release(&socket, 1), ENOPROTOOPT);
        assert_errno!(raw::associate(&socket, 1), ENOPROTOOPT);
        assert_errno!(raw::claim(&socket, 1), ENOPROTOOPT);
    }
    // do_ip_getsockopt of net/ipv4/ip_sockglue.c
    assert_errno!(raw::version(sock::tcp4()), EOPNOTSUPP);
    assert_errno!(raw::version(sock::tcp6()), ENOPROTOOPT);
    let error = portkeep::version().expect_err("no kernel part here");
    assert_eq!(error.kind(), portkeep::ErrorKind::NotEnabled);
}

fn assert_calls() {
    for socket in [sock::tcp4(), sock::udp6()] {
        assert_eq!(raw::version(&socket), Ok(1));
        assert_ok!(raw::acquire4(&socket, 0, 1));
    }
}

#[track_caller]
fn inside(cgroup: &std::path::Path, body: impl FnOnce()) {
    let code = proc::in_cgroup(cgroup, || {
        body();
        0
    });
    assert_eq!(code, 0);
}

pub(crate) fn calls_work_only_inside(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let managed = cgroup(sandbox, "managed");
    enable::enable_with(&control(sandbox, [managed.clone()]));
    assert_no_calls();
    inside(&cgroup(sandbox, "managed/deeper"), assert_calls);
    let (acquired, end) = (Event::new(), Event::new());
    let holder = fork_child(|| {
        proc::enter_cgroup(&managed);
        let _owner = acquire_port();
        acquired.set();
        end.wait();
        0
    });
    acquired.wait();
    assert_no_calls();
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    inside(&cgroup(sandbox, "unmanaged"), || {
        assert_errno!(sock::bind_any(sock::tcp6(), PORT), EADDRINUSE);
    });
    end.set();
    assert_eq!(holder.wait(), Exit::Code(0));
    assert_free(sandbox);
}

pub(crate) fn several_cgroups(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let (one, other) = (cgroup(sandbox, "one"), cgroup(sandbox, "other"));
    // One of them in another, and one twice.
    let nested = cgroup(sandbox, "one/nested");
    let list = [one.clone(), other.clone(), nested.clone(), one.clone()];
    enable::enable_with(&control(sandbox, list));
    assert_no_calls();
    for cgroup in [&one, &other, &nested] {
        inside(cgroup, assert_calls);
        inside(cgroup, || assert_works(sandbox));
    }
    let status = inspect(&enable::installation(sandbox)).expect("inspect");
    let mut control = status.expect("a status").control;
    control.sort();
    assert_eq!(control, [one, nested, other]);
}

pub(crate) fn moves_with_the_next_installation(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let (one, other) = (cgroup(sandbox, "one"), cgroup(sandbox, "other"));
    let installation = enable::installation(sandbox);
    let controlled = || {
        inspect(&installation)
            .expect("inspect")
            .expect("a status")
            .control
    };
    enable::enable_with(&control(sandbox, [one.clone()]));
    inside(&one, assert_calls);
    inside(&other, assert_no_calls);
    assert_eq!(controlled(), std::slice::from_ref(&one));

    assert!(enable::enable_with(&control(sandbox, [other.clone()])).upgraded);
    inside(&one, assert_no_calls);
    inside(&other, assert_calls);
    assert_eq!(controlled(), std::slice::from_ref(&other));

    enable::enable_with(&control(sandbox, []));
    for cgroup in [&one, &other] {
        inside(cgroup, assert_calls);
    }
    assert_calls();
    assert_eq!(controlled(), [sandbox.cgroup().to_path_buf()]);

    enable::enable_with(&control(sandbox, [one.clone(), other.clone()]));
    assert_no_calls();
    fs::remove_dir(&one).expect("remove the cgroup");
    assert_eq!(controlled(), std::slice::from_ref(&other));
    enable::enable_with(&control(sandbox, [other.clone()]));
    inside(&other, assert_calls);
}

pub(crate) fn what_is_reserved_stays_when_it_moves(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let (one, other) = (cgroup(sandbox, "one"), cgroup(sandbox, "other"));
    enable::enable_with(&control(sandbox, [one.clone()]));
    let (acquired, moved, end) = (Event::new(), Event::new(), Event::new());
    let holder = fork_child(|| {
        proc::enter_cgroup(&one);
        let owner = acquire_port();
        let token = assert_ok!(raw::instance(&owner)).token;
        let associated = sock::tcp4();
        assert_ok!(raw::associate(&associated, token));
        acquired.set();
        moved.wait();
        assert_errno!(raw::release(&owner, token), ENOPROTOOPT);
        assert_ok!(sock::bind_any(&associated, 0));
        assert_eq!(sock::local_port(&associated), PORT);
        acquired.set();
        end.wait();
        0
    });
    acquired.wait();
    enable::enable_with(&control(sandbox, [other]));
    moved.set();
    acquired.wait();
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    end.set();
    assert_eq!(holder.wait(), Exit::Code(0));
    assert_free(sandbox);
}
