//! The flag `TREE`: the owner's descendants, as long as they are.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, ExitCode};
use std::thread;

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::getppid;
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Protocol, Sandbox, enable, raw};

use crate::scene::{BOTH, END, START, acquire, try_bind};

/// Makes this binary, executed with it in the environment, bind to a port and exit with the errno.
pub(crate) const BIND: &str = "PORTKEEP_TEST_BIND";

pub(crate) fn bind_and_exit(port: &OsStr) -> ExitCode {
    let port = port.to_str().and_then(|port| port.split_once('/'));
    let (port, protocol) = port.expect("PORT/PROTOCOL");
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let errno = try_bind(protocol, port.parse().expect("a port"));
    ExitCode::from(u8::try_from(errno).expect("errno values of bind are below 256"))
}

/// Executes a program that binds to the port: its exit code.
fn bind_in_program(protocol: Protocol, port: u16) -> Option<i32> {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let mut program = Command::new(env::current_exe().expect("this program"));
    program.env(BIND, format!("{port}/{protocol}"));
    program.status().expect("run this program").code()
}

pub(crate) fn descendants_may_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let _acquired = acquire(protocol, raw::TREE);
        assert_eq!(try_bind(protocol, START), 0);
        let child = fork_child(|| {
            assert_eq!(try_bind(protocol, START), 0);
            let grandchild = fork_child(|| {
                // Of a thread, too, and of children of a thread.
                let errno = thread::spawn(move || try_bind(protocol, START)).join();
                assert_eq!(errno.expect("the thread"), 0);
                let last = thread::spawn(move || bind_in_program(protocol, END)).join();
                assert_eq!(last.expect("the thread"), Some(0));
                try_bind(protocol, END + 1)
            });
            grandchild.code()
        });
        assert_eq!(child.wait(), Exit::Code(0));
    }
}

pub(crate) fn a_program_that_is_executed_may_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let acquired = acquire(protocol, raw::TREE);
        assert_eq!(bind_in_program(protocol, START), Some(0));
        drop(acquired);
        let acquired = acquire(protocol, raw::PROCESS);
        assert_eq!(
            bind_in_program(protocol, START),
            Some(libc::EADDRINUSE),
            "another process may not"
        );
        drop(acquired);
        let _acquired = acquire(protocol, 0);
        assert_eq!(bind_in_program(protocol, START), Some(libc::EADDRINUSE));
    }
}

pub(crate) fn parents_and_siblings_may_not(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        let (acquired, end) = (Event::new(), Event::new());
        // Older and younger than the owner.
        let go = Event::new();
        let elder = fork_child(|| {
            go.wait();
            try_bind(protocol, START)
        });
        let owner = fork_child(|| {
            let _acquired = acquire(protocol, raw::TREE);
            acquired.set();
            end.wait();
            0
        });
        acquired.wait();
        go.set();
        assert_eq!(elder.wait(), Exit::Code(libc::EADDRINUSE));
        let younger = fork_child(|| try_bind(protocol, START));
        assert_eq!(younger.wait(), Exit::Code(libc::EADDRINUSE));
        assert_eq!(try_bind(protocol, START), libc::EADDRINUSE);
        end.set();
        assert_eq!(owner.wait(), Exit::Code(0));
    }
}

/// An owner whose grandchild loses its parent: the errno of the grandchild's bind before and after.
fn daemonise(protocol: Protocol, subreaper: bool) -> (u64, u64) {
    let (here, there) = Channel::pair();
    let owner = fork_child(|| {
        set_child_subreaper(subreaper).expect("PR_SET_CHILD_SUBREAPER");
        let _acquired = acquire(protocol, raw::TREE);
        let end = Event::new();
        let parent = fork_child(|| {
            let bound = Event::new();
            let parent = std::process::id();
            std::mem::forget(fork_child(|| {
                there.send(try_bind(protocol, START) as u64);
                bound.set();
                while getppid().as_raw().cast_unsigned() == parent {
                    thread::yield_now();
                }
                there.send(try_bind(protocol, START) as u64);
                end.set();
                0
            }));
            bound.wait();
            0
        });
        assert_eq!(parent.wait(), Exit::Code(0));
        end.wait();
        0
    });
    let errnos = (here.recv(), here.recv());
    assert_eq!(owner.wait(), Exit::Code(0));
    errnos
}

pub(crate) fn a_daemon_is_no_descendant(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        assert_eq!(daemonise(protocol, false), (0, libc::EADDRINUSE as u64));
    }
}

pub(crate) fn a_daemon_stays_one_under_a_subreaper(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for protocol in BOTH {
        assert_eq!(daemonise(protocol, true), (0, 0));
    }
}
