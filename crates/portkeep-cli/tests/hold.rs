//! `portkeep hold`: ports kept from everybody until interrupted.

mod common;

use std::os::unix::process::CommandExt as _;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, proc, reservations, sock, trials};

use common::kernel_part::{
    PROTOCOLS, acquire, assert_free, assert_kept, assert_nothing_reserved, reserved,
    the_reservation,
};
use common::{
    EVERYBODY, Running, USER, done, hint, misused, portkeep, portkeep_as_user, refused, user_name,
};

trials! {
    root:
        exact_ranges_are_printed_and_held,
        a_count_is_a_block_of_the_pool,
        both_is_the_same_numbers,
        several_options_are_printed_in_order,
        exact_ranges_come_before_any_block,
        nobody_may_bind_meanwhile,
        orderly_signals_end_it_with_success,
        a_kill_frees_the_ports,
        ignored_signals_stay_ignored,
        an_ordinary_user_can,
        a_reserved_port_is_refused,
        its_owner_is_looked_up_in_the_list_that_the_option_names,
        a_bound_port_is_refused,
        nothing_is_held_when_one_is_refused,
        automatic_ports_are_held_by_sockets,
        privileged_ports_are_refused_to_an_ordinary_user,
        the_quota_of_an_ordinary_user,
        a_block_longer_than_the_pool,
        without_the_kernel_part_sockets_hold_them,
        more_than_can_be_held_is_refused_before_anything_is_taken,
        the_document_has_every_block,
        a_closed_standard_output_ends_it;
    plain:
        wrong_usage;
}

/// Starts a hold and reads the lines that it prints.
fn hold(options: &[&str], lines: usize) -> (Running, Vec<String>) {
    let mut running = Running::start(portkeep(["hold"].iter().chain(options)));
    let printed = (0..lines).map(|_| running.line()).collect();
    (running, printed)
}

/// Ends a hold in the orderly way and asserts that it printed nothing more.
#[track_caller]
fn end(mut running: Running) {
    running.signal(Signal::SIGTERM);
    assert_eq!(running.code(), 0);
    assert_eq!(running.rest(), "");
}

fn exact_ranges_are_printed_and_held(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (option, protocol, other) in [
        ("--tcp", Protocol::Tcp, Protocol::Udp),
        ("--udp", Protocol::Udp, Protocol::Tcp),
    ] {
        let name = option.trim_start_matches('-');
        let (running, printed) = hold(&[option, "20000-20003"], 1);
        assert_eq!(printed, [format!("20000-20003/{name}")]);
        assert_eq!(reserved(sandbox), [(protocol, 20000..=20003)]);
        let entry = the_reservation(sandbox);
        assert_eq!(entry.pid, running.pid().as_raw().cast_unsigned());
        assert_eq!((entry.command.as_str(), entry.uid), ("portkeep", 0));
        assert_kept(protocol, 20000..=20003);
        assert_free(other, 20000..=20003);
        end(running);
        assert_nothing_reserved(sandbox);
        assert_free(protocol, 20000..=20003);

        let (running, printed) = hold(&[option, "20000-20000"], 1);
        assert_eq!(printed, [format!("20000/{name}")]);
        assert_kept(protocol, 20000..=20000);
        assert_free(protocol, 20001..=20003);
        end(running);
    }
}

fn a_count_is_a_block_of_the_pool(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (running, printed) = hold(&["--tcp", "8"], 1);
    let entry = the_reservation(sandbox);
    let (start, end_port) = (*entry.ports.start(), *entry.ports.end());
    assert_eq!(printed, [format!("{start}-{end_port}/tcp")]);
    assert!(
        start >= enable::POOL_START && end_port - start == 7,
        "{entry:?}"
    );
    assert_kept(Protocol::Tcp, entry.ports.clone());
    end(running);
    assert_free(Protocol::Tcp, entry.ports);
}

fn both_is_the_same_numbers(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (running, printed) = hold(&["--both", "4"], 2);
    let ranges = reserved(sandbox);
    let [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] = ranges.as_slice() else {
        panic!("{ranges:?}")
    };
    assert_eq!(tcp, udp);
    let range = format!("{}-{}", tcp.start(), tcp.end());
    assert_eq!(printed, [format!("{range}/tcp"), format!("{range}/udp")]);
    for protocol in PROTOCOLS {
        assert_kept(protocol, tcp.clone());
    }
    end(running);
    assert_nothing_reserved(sandbox);
}

fn several_options_are_printed_in_order(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let options = [
        "--udp",
        "30001-30001",
        "--tcp",
        "20010-20011",
        "--both",
        "25000-25000",
        "--tcp",
        "20000-20001",
    ];
    let (running, printed) = hold(&options, 5);
    let expected = [
        "20010-20011/tcp",
        "20000-20001/tcp",
        "25000/tcp",
        "30001/udp",
        "25000/udp",
    ];
    assert_eq!(printed, expected);
    assert_eq!(reserved(sandbox).len(), 5);
    end(running);
    assert_nothing_reserved(sandbox);
}

/// Whatever block the kernel part chose, it must not be one that another option names.
fn exact_ranges_come_before_any_block(sandbox: &Sandbox) {
    enable::enable_with(&portkeep_admin::InstallOptions {
        pool: (61000, 61003),
        ..enable::options(sandbox)
    });
    for exact in ["61000-61001", "61002-61003"] {
        let (running, printed) = hold(&["--tcp", "2", "--tcp", exact], 2);
        assert_eq!(printed[1], format!("{exact}/tcp"));
        assert_kept(Protocol::Tcp, 61000..=61003);
        end(running);
    }
}

fn nobody_may_bind_meanwhile(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (running, _) = hold(&["--tcp", "20000-20003"], 1);
    // Without a flag only associated sockets may, and `hold` has none.
    assert_eq!(the_reservation(sandbox).flags, "-");
    assert_kept(Protocol::Tcp, 20000..=20003);
    end(running);
}

fn orderly_signals_end_it_with_success(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (mut running, _) = hold(&["--both", "20000-20003"], 2);
        assert_kept(Protocol::Udp, 20000..=20003);
        running.signal(signal);
        assert_eq!(running.code(), 0, "{signal}");
        assert_nothing_reserved(sandbox);
        assert_free(Protocol::Udp, 20000..=20003);
    }
}

fn a_kill_frees_the_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (mut running, _) = hold(&["--both", "20000-20003"], 2);
    assert_kept(Protocol::Tcp, 20000..=20003);
    running.signal(Signal::SIGKILL);
    running.wait();
    assert_nothing_reserved(sandbox);
    for protocol in PROTOCOLS {
        assert_free(protocol, 20000..=20003);
    }
}

fn ignored_signals_stay_ignored(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "trap '' HUP; exec \"$0\" hold --tcp 20000-20003",
        common::PORTKEEP,
    ]);
    let mut running = Running::start(command);
    assert_eq!(running.line(), "20000-20003/tcp");
    // While it is stopped what it would take stays pending, and what it ignores is dropped.
    running.signal(Signal::SIGSTOP);
    let stopped = waitpid(running.pid(), Some(WaitPidFlag::WUNTRACED)).expect("waitpid");
    assert_eq!(stopped, WaitStatus::Stopped(running.pid(), Signal::SIGSTOP));
    running.signal(Signal::SIGHUP);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()));
    let status = status.expect("read the status");
    let pending = status
        .lines()
        .find_map(|line| line.strip_prefix("ShdPnd:\t"));
    assert_eq!(pending, Some("0000000000000000"));
    running.signal(Signal::SIGCONT);
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert!(running.is_alive());
    end(running);
}

fn an_ordinary_user_can(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(portkeep_as_user(["hold", "--udp", "20000-20003"]));
    assert_eq!(running.line(), "20000-20003/udp");
    assert_eq!(the_reservation(sandbox).uid, USER);
    assert_kept(Protocol::Udp, 20000..=20003);
    end(running);
}

fn a_reserved_port_is_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(portkeep_as_user(["hold", "--udp", "20003-20004"]));
    running.line();
    let before = reserved(sandbox);
    let owner = format!(
        "process {} (portkeep), user {}",
        running.pid(),
        user_name(USER)
    );
    for option in ["--udp", "--both"] {
        for command in EVERYBODY {
            let words = ["hold", option, "20000-20003"];
            let reason = refused(&mut command(&words));
            assert_eq!(reason, format!("port 20003/udp is reserved by {owner}"));
            let hint = hint(&mut command(&words));
            assert!(hint.contains("`portkeep why 20003/udp`"), "{hint}");
        }
    }
    assert_eq!(reserved(sandbox), before);
    assert_free(Protocol::Tcp, 20000..=20003);
    assert!(running.is_alive());
}

/// The library would look where the environment leads.
fn its_owner_is_looked_up_in_the_list_that_the_option_names(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (running, _) = hold(&["--tcp", "20000-20000"], 1);
    let bpffs = sandbox.bpffs().to_str().expect("a path in UTF-8");
    let mut other = portkeep(["hold", "--tcp", "20000-20000", "--bpffs", bpffs]);
    let reason = refused(other.env("PORTKEEP_BPFFS", sandbox.state_dir()));
    let pid = running.pid();
    assert_eq!(
        reason,
        format!("port 20000/tcp is reserved by process {pid} (portkeep), user root")
    );
    assert_eq!(reserved(sandbox), [(Protocol::Tcp, 20000..=20000)]);
    end(running);
    assert_nothing_reserved(sandbox);
    done(&mut portkeep(["reserve", "20001/udp", "--user", "1000"]));
    let mut other = portkeep(["hold", "--udp", "20001-20001", "--bpffs", bpffs]);
    let reason = refused(other.env("PORTKEEP_BPFFS", sandbox.state_dir()));
    let expected = refused(&mut portkeep(["hold", "--udp", "20001-20001"]));
    assert_eq!(reason, expected);
    assert!(reason.contains(&user_name(1000)), "{reason}");
}

fn a_bound_port_is_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let bound = sock::tcp6();
    assert_ok!(sock::bind_any(&bound, 20002));
    let words = ["hold", "--tcp", "20000-20003"];
    let reason = refused(&mut portkeep(words));
    assert_eq!(reason, "port 20002/tcp is in use by a socket of user root");
    let hint = hint(&mut portkeep(words));
    assert!(hint.contains("`portkeep why 20002/tcp`"), "{hint}");
    assert_nothing_reserved(sandbox);
    drop(bound);
    let (running, _) = hold(&words[1..], 1);
    end(running);
}

fn nothing_is_held_when_one_is_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _taken = acquire(Protocol::Udp, 30000..=30000);
    let before = reserved(sandbox);
    let words = [
        "hold",
        "--tcp",
        "20000-20003",
        "--tcp",
        "3",
        "--udp",
        "30000-30001",
    ];
    let reason = refused(&mut portkeep(words));
    assert!(
        reason.starts_with("port 30000/udp is reserved by process "),
        "{reason}"
    );
    assert_eq!(reserved(sandbox), before);
    assert_free(Protocol::Tcp, 20000..=20003);
    assert_free(Protocol::Udp, 30001..=30001);
}

/// The kernel part cannot keep connect() from them.
fn automatic_ports_are_held_by_sockets(sandbox: &Sandbox) {
    enable::enable(sandbox);
    common::kernel_part::set_ipv4("ip_local_port_range", "32768 60999");
    for command in EVERYBODY {
        let mut running = Running::start(command(&["hold", "--tcp", "32767-32769"]));
        assert_eq!(running.line(), "32767-32769/tcp");
        assert_nothing_reserved(sandbox);
        assert_kept(Protocol::Tcp, 32767..=32769);
        let listed = done(&mut command(&["ls", "--columns", "ports,may-bind,command"]));
        assert_eq!(
            listed,
            "PORTS        MAY-BIND  COMMAND\n32767-32769  held      portkeep\n"
        );
        let reason = refused(&mut command(&["hold", "--tcp", "32769-32769"]));
        let owner = format!("port 32769/tcp is reserved by process {}", running.pid());
        assert!(reason.starts_with(&owner), "{reason}");
        end(running);
        assert_free(Protocol::Tcp, 32767..=32769);
    }
}

fn privileged_ports_are_refused_to_an_ordinary_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let words = ["hold", "--tcp", "1020-1030"];
    let reason = refused(&mut portkeep_as_user(words));
    assert!(reason.contains("privileged"), "{reason}");
    let hint = hint(&mut portkeep_as_user(words));
    assert!(hint.contains("CAP_NET_BIND_SERVICE"), "{hint}");
    assert_nothing_reserved(sandbox);
    let (running, printed) = hold(&words[1..], 1);
    assert_eq!(printed, ["1020-1030/tcp"]);
    end(running);
}

fn the_quota_of_an_ordinary_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let reason = refused(&mut portkeep_as_user(["hold", "--tcp", "20000-24096"]));
    assert!(reason.contains("quota"), "{reason}");
    assert_nothing_reserved(sandbox);
    let mut running = Running::start(portkeep_as_user(["hold", "--tcp", "20000-24095"]));
    assert_eq!(running.line(), "20000-24095/tcp");
    refused(&mut portkeep_as_user(["hold", "--udp", "1"]));
    end(running);
    done(&mut portkeep_as_user(["run", "--udp", "1", "--", "true"]));
}

fn a_block_longer_than_the_pool(sandbox: &Sandbox) {
    enable::enable_with(&portkeep_admin::InstallOptions {
        pool: (61000, 61003),
        ..enable::options(sandbox)
    });
    let reason = refused(&mut portkeep(["hold", "--tcp", "5"]));
    assert_eq!(reason, "the pool has no free run of 5 ports left");
    let reason = refused(&mut portkeep(["hold", "--tcp", "3", "--udp", "count=600"]));
    assert_eq!(reason, "the pool has no free run of 600 ports left");
    assert_nothing_reserved(sandbox);
    let (running, printed) = hold(&["--tcp", "4"], 1);
    assert_eq!(printed, ["61000-61003/tcp"]);
    assert_eq!(
        refused(&mut portkeep(["hold", "--tcp", "1"])),
        "the pool has no free port left"
    );
    end(running);
}

fn without_the_kernel_part_sockets_hold_them(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let both = [Protocol::Tcp, Protocol::Udp];
    for command in EVERYBODY {
        let mut running = Running::start(command(&["hold", "--both", "20000-20001"]));
        assert_eq!(
            [running.line(), running.line()],
            ["20000-20001/tcp", "20000-20001/udp"]
        );
        both.iter()
            .for_each(|&protocol| assert_kept(protocol, 20000..=20001));
        let reason = refused(&mut command(&["hold", "--udp", "20001-20001"]));
        assert!(
            reason.starts_with("port 20001/udp is reserved by process "),
            "{reason}"
        );
        end(running);
        both.iter()
            .for_each(|&protocol| assert_free(protocol, 20000..=20001));
        let mut verbose = Running::start(command(&["hold", "--verbose", "--tcp", "1"]));
        let line = verbose.line();
        let port = line.strip_suffix("/tcp").and_then(|it| it.parse().ok());
        let port: u16 = port.unwrap_or_else(|| panic!("not a port: {line}"));
        assert!(port >= 61000);
        verbose.signal(Signal::SIGKILL);
        verbose.wait();
        assert_free(Protocol::Tcp, port..=port);
    }
    // So it is in a cgroup that the kernel part does not reach.
    enable::enable(sandbox);
    let code = proc::in_cgroup(&sandbox.outside_cgroup(), || {
        let mut hold = Running::start(portkeep(["hold", "--tcp", "20000-20000"]));
        assert_eq!(hold.line(), "20000/tcp");
        assert_eq!(reservations::list(sandbox), []);
        0
    });
    assert_eq!(code, 0);
}

fn more_than_can_be_held_is_refused_before_anything_is_taken(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let mut command = portkeep_as_user(["hold", "--tcp", "20000-20099"]);
    let limit = || Ok(setrlimit(Resource::RLIMIT_NOFILE, 50, 50)?);
    // SAFETY: the closure makes a system call and allocates nothing.
    unsafe { command.pre_exec(limit) };
    let reason = refused(&mut command);
    assert!(
        reason.starts_with("holding the ports takes 100 descriptors"),
        "{reason}"
    );
    assert_free(Protocol::Tcp, 20000..=20099);
    // The soft limit is no limit.
    let mut command = portkeep_as_user(["hold", "--tcp", "20000-20099"]);
    let limit = || Ok(setrlimit(Resource::RLIMIT_NOFILE, 50, 500)?);
    // SAFETY: as above.
    unsafe { command.pre_exec(limit) };
    let mut running = Running::start(command);
    assert_eq!(running.line(), "20000-20099/tcp");
    assert_kept(Protocol::Tcp, 20000..=20099);
    end(running);
}

fn the_document_has_every_block(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for backend in ["held", "kernel"] {
        for command in EVERYBODY {
            let words = [
                "hold",
                "--json",
                "--both",
                "WEB=20000-20001",
                "--tcp",
                "30000-30000",
            ];
            let mut running = Running::start(command(&words));
            let mut text = String::new();
            while !text.ends_with("}\n") || text.ends_with(" }\n") {
                text += &(running.line() + "\n");
            }
            let document = common::json::parse("hold", &text);
            assert_eq!(document["pid"], running.pid().as_raw());
            let expected = serde_json::json!([
                {"backend": backend, "name": null, "protocols": ["tcp"], "start": 30000, "end": 30000},
                {"backend": backend, "name": "WEB", "protocols": ["tcp", "udp"], "start": 20000, "end": 20001},
            ]);
            assert_eq!(document["blocks"], expected);
            end(running);
        }
        enable::enable(sandbox);
    }
}

fn a_closed_standard_output_ends_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    drop(reader);
    let mut command = portkeep(["hold", "--tcp", "20000-20003"]);
    let status = command.stdout(writer).status().expect("start the command");
    assert_eq!(status.code(), Some(0));
    assert_nothing_reserved(sandbox);
}

fn wrong_usage() {
    misused(&["hold"]);
    misused(&["hold", "--tcp"]);
    misused(&["hold", "--tcp", "1", "8080"]);
    misused(&["hold", "--sctp", "1"]);
    for ports in [
        "", "0", "-", "0-5", "5-", "9-8", "65536", "1-65536", "x", "1,2", "8080/tcp", "8080",
    ] {
        for option in ["--tcp", "--udp", "--both"] {
            misused(&["hold", &format!("{option}={ports}")]);
        }
    }
}
