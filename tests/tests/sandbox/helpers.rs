//! The helpers for test bodies.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::catch_unwind;

use nix::sys::signal::Signal;
use nix::unistd::{Gid, setgroups};
use portkeep_tests::proc::{self, Exit};
use portkeep_tests::time_wait::{self, Side};
use portkeep_tests::{
    Channel, Event, Protocol, Sandbox, assert_errno, assert_ok, errno_name, ports, raw, sock,
};

use crate::isolation::processes;
use crate::runner::is_running;

pub(crate) fn a_child_reports_its_end(_sandbox: &Sandbox) {
    assert_eq!(proc::fork_child(|| 7).code(), 7);
    assert_eq!(proc::fork_child(|| 7).wait(), Exit::Code(7));
    let panicked = catch_unwind(|| proc::fork_child(|| panic!("on purpose")).code());
    assert!(panicked.is_err(), "a panic of the child reaches the parent");

    let event = Event::new();
    let child = proc::fork_child(|| {
        event.wait();
        0
    });
    child.kill(Signal::SIGTERM);
    assert_eq!(child.wait(), Exit::Signal(libc::SIGTERM));
    let child = proc::fork_child(|| {
        event.wait();
        3
    });
    event.set();
    assert_eq!(child.code(), 3);
}

pub(crate) fn a_dropped_child_is_killed(_sandbox: &Sandbox) {
    let event = Event::new();
    let child = proc::fork_child(|| {
        event.wait();
        0
    });
    let pid = child.pid().to_string();
    assert!(is_running(&pid));
    drop(child);
    assert!(!is_running(&pid));
}

pub(crate) fn a_user_has_no_privilege(sandbox: &Sandbox) {
    assert_ok!(sock::bind_any(sock::tcp4(), 80));
    setgroups(&[Gid::from_raw(1)]).expect("have a group to lose");
    let refused = proc::as_uid(65534, 65534, || {
        let status = fs::read_to_string("/proc/self/status").expect("read the status");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
        };
        assert_eq!(line("Uid:"), ["65534"; 4]);
        assert_eq!(line("Gid:"), ["65534"; 4]);
        assert_eq!(line("Groups:"), [""; 0]);
        assert_eq!(line("CapEff:"), ["0000000000000000"]);
        let written = fs::write(sandbox.state_dir().join("file"), "");
        assert_eq!(
            written.map_err(|error| error.kind()),
            Err(ErrorKind::PermissionDenied)
        );
        sock::bind_any(sock::tcp4(), 80).expect_err("a privileged port")
    });
    assert_errno!(Err::<(), _>(refused), EACCES);
}

pub(crate) fn a_child_has_another_network_namespace(_sandbox: &Sandbox) {
    let cookie = sock::netns_cookie(sock::udp4());
    let held = sock::tcp4();
    assert_ok!(sock::bind_any(&held, 8080));
    assert_ok!(sock::listen(&held));
    let checked = proc::in_netns(|| {
        assert_ne!(sock::netns_cookie(sock::udp4()), cookie);
        assert_ok!(sock::connection(Ipv6Addr::LOCALHOST, 8080, 0));
        0
    });
    assert_eq!(checked, 0);
    assert_eq!(
        sock::netns_cookie(sock::udp4()),
        cookie,
        "the parent stays where it was"
    );
}

pub(crate) fn a_child_has_another_cgroup(sandbox: &Sandbox) {
    let outside = sandbox.outside_cgroup();
    let alone = proc::in_cgroup(&outside, || {
        i32::from(processes(&outside) == [std::process::id()])
    });
    assert_eq!(alone, 1);
    assert!(processes(&sandbox.inside_cgroup()).contains(&std::process::id()));
}

pub(crate) fn descriptors_and_numbers_pass(_sandbox: &Sandbox) {
    let (own, others) = Channel::pair();
    let child = proc::fork_child(|| {
        let socket = sock::tcp4();
        assert_ok!(sock::bind_any(&socket, 8080));
        others.send(sock::cookie(&socket));
        others.send_fd(&socket);
        0
    });
    let cookie = own.recv();
    let socket = own.recv_fd();
    assert_eq!(child.code(), 0);
    assert_eq!(sock::cookie(&socket), cookie);
    assert_eq!(sock::local_port(&socket), 8080);
    assert_errno!(sock::bind_any(sock::tcp4(), 8080), EADDRINUSE);
}

pub(crate) fn time_wait_is_on_the_wanted_side(_sandbox: &Sandbox) {
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    for (side, address, wanted) in [
        (Side::Server, v4, 8001),
        (Side::Client, v4, 8002),
        (Side::Server, v6, 8003),
        (Side::Client, v6, 8004),
        (Side::Server, v4, 0),
        (Side::Client, v6, 0),
    ] {
        let port = time_wait::leave(side, address, wanted);
        assert!(wanted == 0 || port == wanted, "{side:?} {port}");
        assert_eq!(time_wait::states(port), [time_wait::TIME_WAIT]);
        let socket = if address.is_ipv6() {
            sock::tcp6()
        } else {
            sock::tcp4()
        };
        assert_errno!(sock::bind(&socket, address, port), EADDRINUSE);
        sock::reuseaddr(&socket, true);
        assert_ok!(sock::bind(&socket, address, port));
    }
}

pub(crate) fn probing_finds_what_is_bound(_sandbox: &Sandbox) {
    assert_eq!(ports::probe_free(Protocol::Tcp, 8000..=8100), []);
    let (only4, only6) = (sock::udp4(), sock::udp6());
    assert_ok!(sock::bind(&only4, Ipv4Addr::LOCALHOST, 8001));
    sock::v6only(&only6, true);
    assert_ok!(sock::bind_any(&only6, 8003));
    let bound = [(8001, libc::EADDRINUSE), (8003, libc::EADDRINUSE)];
    assert_eq!(ports::probe_free(Protocol::Udp, 8000..=8100), bound);
    assert_eq!(
        ports::probe_free(Protocol::Tcp, 8000..=8100),
        [],
        "another protocol"
    );
    drop((only4, only6));
    assert_eq!(
        ports::probe_free(Protocol::Udp, 8000..=8100),
        [],
        "and nothing stays bound"
    );
}

pub(crate) fn raw_options_reach_the_kernel(_sandbox: &Sandbox) {
    let (socket, level, option) = (sock::tcp4(), libc::SOL_SOCKET, libc::SO_REUSEADDR);
    assert_eq!(
        raw::get_bytes(&socket, level, option, 4),
        Ok(0_i32.to_ne_bytes().into())
    );
    assert_ok!(raw::set_bytes(&socket, level, option, &1_i32.to_ne_bytes()));
    assert_eq!(
        raw::get_bytes(&socket, level, option, 4),
        Ok(1_i32.to_ne_bytes().into())
    );
    assert_eq!(
        raw::get_bytes(&socket, level, option, 64).map(|value| value.len()),
        Ok(4)
    );
    assert_errno!(raw::set_unreadable(&socket, level, option, 4), EFAULT);
    assert_errno!(raw::get_unwritable(&socket, level, option, 4), EFAULT);
    assert_errno!(raw::set_bytes(&socket, level, option, &[]), EINVAL);
    let (file, one) = (
        fs::File::open("/dev/null").expect("open it"),
        1_i32.to_ne_bytes(),
    );
    assert_errno!(raw::set_bytes(&file, level, option, &one), ENOTSOCK);
}

pub(crate) fn assertions_name_both_errnos(_sandbox: &Sandbox) {
    let message = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<String>().expect("text");
    let other = catch_unwind(|| assert_errno!(Err::<(), _>(libc::EACCES), EADDRINUSE));
    let other = message(other.expect_err("another errno"));
    assert!(
        other.contains("expected EADDRINUSE (98), got EACCES (13)"),
        "{other}"
    );
    let none = catch_unwind(|| assert_errno!(Ok::<_, i32>(7), EADDRINUSE));
    let none = message(none.expect_err("no errno"));
    assert!(
        none.contains("expected EADDRINUSE (98), got Ok(7)"),
        "{none}"
    );
    let error = catch_unwind(|| assert_ok!(Err::<(), _>(io::Error::from_raw_os_error(1))));
    let error = message(error.expect_err("an error"));
    assert!(error.contains("expected Ok, got EPERM (1)"), "{error}");
    assert_errno!(Err::<(), _>(libc::EADDRINUSE), EADDRINUSE);
}

pub(crate) fn errnos_have_names() {
    assert_eq!(errno_name(libc::EADDRINUSE), "EADDRINUSE (98)");
    assert_eq!(errno_name(99_999), "unknown errno 99999");
}
