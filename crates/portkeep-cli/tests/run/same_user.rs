//! `--same-user`: processes of the user that the command did not start.

use portkeep_tests::proc::as_uid;
use portkeep_tests::{Protocol, Sandbox, enable, libc, sock};

use crate::common::kernel_part::{assert_kept, assert_nothing_reserved};
use crate::common::{Running, USER, hint, portkeep, portkeep_as_user, refused};

const PORT: u16 = 20000;

fn bind_as(uid: u32) -> i32 {
    as_uid(uid, uid, || {
        let [tcp, udp] = [sock::tcp4(), sock::udp6()];
        let errnos = [tcp, udp].map(|socket| sock::bind_any(&socket, PORT).err().unwrap_or(0));
        assert_eq!(errnos[0], errnos[1], "TCP and UDP");
        errnos[0]
    })
}

pub fn other_processes_of_the_user_may_bind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let ports = ["--both", "20000-20000"];
    let command = ["--", "sh", "-c", "echo started; read line"];
    for (flags, errno) in [(&["--same-user"][..], 0), (&[], libc::EADDRINUSE)] {
        let run = ["run"].iter().chain(flags).chain(&ports).chain(&command);
        let mut running = Running::start(portkeep_as_user(run));
        assert_eq!(running.line(), "started");
        assert_eq!(bind_as(USER), errno, "{flags:?}");
        assert_eq!(bind_as(USER + 1), libc::EADDRINUSE);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            assert_kept(protocol, PORT..=PORT);
        }
        running.go_on();
        assert_eq!(running.code(), 0);
        assert_nothing_reserved(sandbox);
    }
    let hold = ["hold", "--same-user", "--both", "20000-20000"];
    let mut holding = Running::start(portkeep_as_user(hold));
    assert_eq!(holding.line(), "20000/tcp");
    assert_eq!(holding.line(), "20000/udp");
    assert_eq!(bind_as(USER), 0);
    assert_kept(Protocol::Tcp, PORT..=PORT);
}

/// Neither where sockets would have to hold the ports nor for automatic ports.
pub fn sockets_cannot_do_it(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let run = || portkeep(["run", "--same-user", "--tcp", "1", "echo", "it ran"]);
    let reason = refused(&mut run());
    assert!(reason.contains("held by sockets"), "{reason}");
    assert!(hint(&mut run()).contains("`portkeep enable`"));

    enable::enable(sandbox);
    let run = || {
        portkeep([
            "run",
            "--same-user",
            "--tcp",
            "33333-33333",
            "echo",
            "it ran",
        ])
    };
    let reason = refused(&mut run());
    assert!(reason.contains("33333/tcp"), "{reason}");
    assert!(hint(&mut run()).contains("ip_local_port_range"));
    assert_nothing_reserved(sandbox);
}
