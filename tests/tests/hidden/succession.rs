//! A port that is handed from socket to socket, so that one is always bound to it.

use std::time::Duration;

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};

use crate::hunt::{Hunt, PORT};
use crate::stage::{Family, pad};

const ACQUIRES: u32 = 4000;

fn listener(family: Family) -> Option<Socket> {
    let socket = family.socket(Protocol::Tcp);
    socket.set_nonblocking(false).expect("clear O_NONBLOCK");
    // Refused while the port is marked.
    sock::bind(&socket, family.any(), PORT).ok()?;
    assert_ok!(sock::listen(&socket));
    Some(socket)
}

/// The listener leaves a connection behind, which no hook sees, and is closed; while the connection
/// lives, the next listener comes.
pub(crate) fn of_listener_and_connection(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in [Family::V4, Family::DualStack, Family::Mapped] {
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?}"), || {
            pad(1000);
            let mut current = Some(listener(family).expect("the first listener"));
            move |_| {
                let listening = current.take().expect("a listener");
                let client = client(family);
                assert_ok!(sock::connect(&client, family.target(), PORT));
                let connection = assert_ok!(sock::accept(&listening));
                drop(listening);
                while current.is_none() {
                    current = listener(family);
                }
                // A reset leaves nothing in TIME_WAIT.
                for end in [connection, client] {
                    end.set_linger(Some(Duration::ZERO)).expect("set SO_LINGER");
                }
            }
        });
    }
}

fn client(family: Family) -> Socket {
    match family {
        Family::V4 => sock::tcp4(),
        _ => sock::tcp6(),
    }
}

/// `shutdown()` of a listener disconnects it; it keeps its port and may listen again.
pub(crate) fn of_listen_and_shutdown(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for family in Family::ALL {
        Hunt::new(Protocol::Tcp, ACQUIRES).run(&format!("{family:?}"), || {
            pad(1000);
            let socket = family.bound(Protocol::Tcp);
            move |_| {
                assert_ok!(sock::listen(&socket));
                socket
                    .shutdown(std::net::Shutdown::Both)
                    .expect("shut the listener down");
            }
        });
    }
}
