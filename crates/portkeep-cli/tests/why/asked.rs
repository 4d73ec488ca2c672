//! The ways in which a port is asked for, and connections that nobody has accepted.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use nix::mount::{MsFlags, mount};
use portkeep_tests::Sandbox;

use crate::common::json::elements;
use crate::common::{done, misused, outcome, portkeep};
use crate::{why, words};

pub fn by_number_service_and_protocol(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let services = sandbox.state_dir().join("services");
    let text = "http\t80/tcp\twww # web\ndomain 53/tcp\ndomain 53/udp\n";
    fs::write(&services, text).expect("write");
    let etc = "/etc/services";
    if !fs::exists(etc).expect("look") {
        return;
    }
    mount(
        Some(&services),
        etc,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .expect("mount");
    for (asked, ports) in [
        ("80", &["80/tcp", "80/udp"][..]),
        (":80", &["80/tcp", "80/udp"]),
        ("80/TCP", &["80/tcp"]),
        (":80/udp", &["80/udp"]),
        ("http", &["80/tcp"]),
        ("www", &["80/tcp"]),
        ("domain", &["53/tcp", "53/udp"]),
        ("domain/udp", &["53/udp"]),
    ] {
        let said = words(asked);
        let said: Vec<_> = said
            .lines()
            .filter(|line| line.contains(" is free: "))
            .collect();
        assert_eq!(said.len(), ports.len(), "{asked}: {said:?}");
        for (said, port) in said.iter().zip(ports) {
            assert!(
                said.starts_with(&format!("{port} is free")),
                "{asked}: {said}"
            );
        }
    }
    for wrong in ["https", "http/udp", "domain/sctp"] {
        misused(&["why", wrong]);
    }
    let wrong = outcome(&mut portkeep(["why", "gopher"])).stderr;
    assert!(wrong.contains("neither a port number"), "{wrong}");
}

/// One document for a protocol, one for each otherwise; the notes are told once.
pub fn of_both_protocols() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let port = listener.local_addr().expect("bound").port();
    let document = why(&port.to_string());
    assert_eq!(document["port"], port);
    let protocols: Vec<_> = elements(&document["protocols"])
        .iter()
        .map(|it| (it["protocol"].as_str(), it["sockets"][0]["state"].as_str()))
        .collect();
    assert_eq!(protocols[0], (Some("tcp"), Some("listening")));
    assert_eq!(protocols[1].0, Some("udp"));
    assert_eq!(why(&format!("{port}/TCP"))["protocol"], "tcp");
    let said = done(&mut portkeep(["why", &port.to_string()]));
    assert!(
        said.matches("reservations are not shown").count() < 2,
        "{said}"
    );
}

/// The listener has them, in its queue, and no process has closed them.
pub fn connections_that_wait_for_accept() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let port = listener.local_addr().expect("bound").port();
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    let gone = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    drop(gone);
    let asked = format!("{port}/tcp");
    let waits = "  the kernel, until a listener accepts the connection: ";
    for doing in ["connected, ", "closed by its peer, "] {
        let line = format!("{waits}{doing}127.0.0.1:{port} to ");
        let said = words(&asked);
        assert!(
            said.lines().any(|it| it.starts_with(&line)),
            "{line}: {said}"
        );
        assert!(!said.contains("after its process closed it"), "{said}");
    }
    let (accepted, _) = listener.accept().expect("accept");
    drop(listener);
    // Now the client closes last: the server's end is closed, and no process has it.
    drop(accepted);
    let said = words(&asked);
    assert!(!said.contains("until a listener accepts"), "{said}");
    drop(client);
}
