//! Sockets of every kind, seen without privilege and without the kernel part.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::id;

use portkeep_tests::time_wait::{self, Side};
use portkeep_tests::{assert_ok, sock};
use serde_json::Value;

use crate::common::json::elements;
use crate::common::misused;
use crate::why;

const LOCALHOST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// The states of the sockets, each of which has to be this process's.
#[track_caller]
fn own_states(document: &Value) -> Vec<&str> {
    assert_eq!(document["state"], "bound");
    let mut states = Vec::new();
    for socket in elements(&document["sockets"]) {
        assert_eq!(socket["processes"][0]["pid"], id(), "{socket}");
        states.extend(socket["state"].as_str());
    }
    states.sort_unstable();
    states
}

pub fn listener_and_connection() {
    for address in LOCALHOST {
        let connection = assert_ok!(sock::connection(address, 0, 0));
        let port = sock::local_port(&connection.listener);
        assert_eq!(
            own_states(&why(&format!("{port}/tcp"))),
            ["connected", "listening"]
        );
        let client = sock::local_port(&connection.client);
        let document = why(&format!("{client}/tcp"));
        assert_eq!(own_states(&document), ["connected"]);
        let peer = std::net::SocketAddr::new(address, port);
        assert_eq!(document["sockets"][0]["peer"], peer.to_string());
    }
}

pub fn ipv6_listener() {
    let listener = sock::tcp6();
    assert_ok!(sock::bind(&listener, Ipv6Addr::LOCALHOST, 0));
    assert_ok!(sock::listen(&listener));
    let port = sock::local_port(&listener);
    let document = why(&format!("{port}/tcp"));
    assert_eq!(own_states(&document), ["listening"]);
    assert_eq!(document["sockets"][0]["local"], format!("[::1]:{port}"));
}

pub fn bound_tcp_socket_that_does_not_listen() {
    let idle = sock::tcp4();
    assert_ok!(sock::bind(&idle, Ipv4Addr::LOCALHOST, 0));
    let document = why(&format!("{}/tcp", sock::local_port(&idle)));
    if elements(&document["sockets"]).is_empty() {
        // Before Linux 6.8 it cannot be seen; then the answer has to say so.
        let notes = elements(&document["notes"]).iter();
        let mut notes = notes.filter_map(Value::as_str);
        assert!(notes.any(|note| note.contains("neither")), "{document}");
        return;
    }
    assert_eq!(own_states(&document), ["bound"]);
}

pub fn udp_sockets() {
    for address in LOCALHOST {
        let socket = if address.is_ipv6() {
            sock::udp6()
        } else {
            sock::udp4()
        };
        assert_ok!(sock::bind(&socket, address, 0));
        let port = sock::local_port(&socket);
        assert_eq!(own_states(&why(&format!("{port}/udp"))), ["bound"]);
        assert_ok!(sock::connect(&socket, address, port));
        assert_eq!(own_states(&why(&format!("{port}/udp"))), ["connected"]);
        // The other protocol's ports are others.
        let document = why(&format!("{port}/tcp"));
        assert_ne!(document["sockets"][0]["processes"][0]["pid"], id());
    }
}

pub fn what_the_process_left_in_time_wait() {
    let port = time_wait::leave(Side::Server, Ipv4Addr::LOCALHOST, 0);
    let document = why(&format!("{port}/tcp"));
    assert_eq!(document["state"], "bound", "{document}");
    assert_eq!(document["sockets"][0]["state"], "time-wait", "{document}");
    assert_eq!(
        elements(&document["sockets"][0]["processes"]),
        [] as [Value; 0]
    );
}

pub fn wrong_usage() {
    misused(&["why"]);
    misused(&["why", "80/tcp", "81/tcp"]);
    for port in [
        "",
        "no-such-service",
        ":",
        "0/tcp",
        "65536/tcp",
        "80/sctp",
        "/tcp",
        "80/",
        "80/both",
        "80-81/tcp",
    ] {
        misused(&["why", port]);
    }
}
