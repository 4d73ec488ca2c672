//! Ports that the kernel chooses, many of them.

use std::net::Ipv4Addr;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, sock};

use crate::common::kernel_part::{assert_kept, set_ipv4};
use crate::common::persistent::{enable, protected};
use crate::common::{USER, outcome, portkeep};

const MANY: usize = 20_000;

/// In the middle of the automatic range, half of it.
fn reserve() {
    enable();
    set_ipv4("ip_local_port_range", "40000 41999");
    let user = USER.to_string();
    // It warns of a lopsided choice, rightly.
    let outcome = outcome(&mut portkeep([
        "reserve",
        "40500-41499/both",
        "--user",
        &user,
    ]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(protected(), "40500-41499");
}

fn is_inside(port: u16) -> bool {
    (40500..=41499).contains(&port)
}

pub fn no_connection_starts_there(_sandbox: &Sandbox) {
    reserve();
    let listener = sock::tcp4();
    sock::bind(&listener, Ipv4Addr::LOCALHOST, 20000).expect("bind");
    sock::listen(&listener).expect("listen");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..MANY {
        let client = sock::tcp4();
        sock::connect(&client, Ipv4Addr::LOCALHOST, 20000).expect("connect");
        let port = sock::local_port(&client);
        assert!(!is_inside(port), "{port}");
        seen.insert(port);
        // Reset, lest the ports stay in TIME_WAIT and run out.
        client
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("SO_LINGER");
        drop(client);
        drop(sock::accept(&listener).expect("accept"));
    }
    assert!(seen.len() > 100, "{}", seen.len());
    let datagrams = (0..MANY).map(|_| {
        let socket = sock::udp4();
        sock::connect(&socket, Ipv4Addr::LOCALHOST, 20000).expect("connect");
        sock::local_port(&socket)
    });
    assert_eq!(datagrams.filter(|port| is_inside(*port)).count(), 0);
    assert_kept(Protocol::Tcp, 40500..=40509);
}

pub fn no_bind_gets_there(_sandbox: &Sandbox) {
    reserve();
    for make in [
        sock::tcp4 as fn() -> Socket,
        sock::tcp6,
        sock::udp4,
        sock::udp6,
    ] {
        for _ in 0..MANY / 4 {
            let socket = make();
            sock::bind_any(&socket, 0).expect("bind");
            let port = sock::local_port(&socket);
            assert!(
                (40000..=41999).contains(&port) && !is_inside(port),
                "{port}"
            );
        }
    }
    // All at once, until none is left: those outside and no more.
    let mut sockets = Vec::new();
    loop {
        let socket = sock::udp6();
        if sock::bind_any(&socket, 0).is_err() {
            break;
        }
        assert!(!is_inside(sock::local_port(&socket)));
        sockets.push(socket);
    }
    assert_eq!(sockets.len(), 1000);
    assert_kept(Protocol::Udp, 40500..=41499);
}
