//! Socket activation, as by systemd: a service gets a socket that somebody else has bound.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use portkeep_tests::raw::{self, user};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, enable, libc, proc, sock};

use crate::twice::twice;

const PORT: u16 = 8080;
/// An ordinary user.
const USER: u32 = 65534;

/// What sd_listen_fds(3) does, and an answer to one client.
const SERVICE: &str = "
import os, socket
assert os.environ['LISTEN_FDS'] == '1' and int(os.environ['LISTEN_PID']) == os.getpid()
listener = socket.socket(fileno=3)
connection, _ = listener.accept()
connection.sendall(b'%d %d' % (os.getuid(), listener.getsockname()[1]))
";

/// Binds as root, and hands the socket to a service of another user when a client comes.
fn activate() -> String {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("bind");
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).expect("connect");
    let mut service = Command::new("sh");
    // The process id is that of the shell, which the service takes over.
    service
        .args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"])
        .args(["/usr/bin/python3", "-c", SERVICE])
        .env("LISTEN_FDS", "1")
        .uid(USER)
        .gid(USER);
    let descriptor = listener.as_raw_fd();
    let hand_over = move || {
        // Twice, for it may be 3 already, and would be closed on exec then.
        // SAFETY: the descriptor is open in the child, too.
        match unsafe { libc::dup2(libc::dup(descriptor), 3) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the closure makes a system call.
    unsafe { service.pre_exec(hand_over) };
    let mut service = service.spawn().expect("start the service");
    drop(listener);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("receive");
    assert!(service.wait().expect("wait").success());
    answer
}

pub(crate) fn a_service_gets_its_socket(sandbox: &Sandbox) {
    let [without, with] = twice(sandbox, activate);
    assert_eq!(without, format!("{USER} {PORT}"));
    assert_eq!(without, with);
    // The same where the port is kept for whoever binds: the service itself need not be allowed.
    enable::enable(sandbox);
    assert_ok!(raw::create(sock::tcp4(), PORT, 1, 0, &[user(0)]));
    assert_eq!(activate(), without);
    let stranger = proc::as_uid(USER, USER, || {
        assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
        0
    });
    assert_eq!(stranger, 0);
}
