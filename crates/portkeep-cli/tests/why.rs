//! `portkeep why` about real sockets. It needs no privilege and no kernel part.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::{Command, id};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
use serde_json::Value;

type Result = std::result::Result<(), Box<dyn Error>>;

fn why(port: &str) -> std::result::Result<Value, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    let output = command.args(["why", port, "--json"]).output()?;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(document["schema"], 1);
    Ok(document)
}

/// The states of the sockets, each of which has to be this process's.
fn own_states(document: &Value) -> Vec<&str> {
    assert_eq!(document["state"], "bound");
    let sockets = document["sockets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut states = Vec::new();
    for socket in sockets {
        assert_eq!(socket["processes"][0]["pid"], id(), "{socket}");
        states.extend(socket["state"].as_str());
    }
    states.sort_unstable();
    states
}

#[test]
fn listener_and_connection() -> Result {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let client = TcpStream::connect(address)?;
    let _server = listener.accept()?;
    let document = why(&format!("{}/tcp", address.port()))?;
    assert_eq!(own_states(&document), ["connected", "listening"]);
    let document = why(&format!("{}/tcp", client.local_addr()?.port()))?;
    assert_eq!(own_states(&document), ["connected"]);
    assert_eq!(document["sockets"][0]["peer"], address.to_string());
    Ok(())
}

#[test]
fn ipv6_listener() -> Result {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let document = why(&format!("{}/tcp", address.port()))?;
    assert_eq!(own_states(&document), ["listening"]);
    assert_eq!(document["sockets"][0]["local"], address.to_string());
    Ok(())
}

#[test]
fn bound_tcp_socket_that_does_not_listen() -> Result {
    let idle = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    bind(idle.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    let port = getsockname::<SockaddrIn>(idle.as_raw_fd())?.port();
    let document = why(&format!("{port}/tcp"))?;
    let notes = document["notes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if document["sockets"].as_array().is_some_and(Vec::is_empty) {
        // Before Linux 6.8 it cannot be seen; then the answer has to say so.
        let said = |note: &Value| note.as_str().is_some_and(|text| text.contains("neither"));
        assert!(notes.iter().any(said), "{document}");
        return Ok(());
    }
    assert_eq!(own_states(&document), ["bound"]);
    Ok(())
}

#[test]
fn udp_sockets() -> Result {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let socket = UdpSocket::bind(address)?;
        let port = socket.local_addr()?.port();
        assert_eq!(own_states(&why(&format!("{port}/udp"))?), ["bound"]);
        socket.connect(socket.local_addr()?)?;
        assert_eq!(own_states(&why(&format!("{port}/udp"))?), ["connected"]);
        // The other protocol's ports are others.
        assert_ne!(
            why(&format!("{port}/tcp"))?["sockets"][0]["processes"][0]["pid"],
            id()
        );
    }
    Ok(())
}

#[test]
fn what_the_process_left_in_time_wait() -> Result {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    // The side that closes first is left in TIME_WAIT.
    drop(server);
    drop(client);
    drop(listener);
    let document = why(&format!("{port}/tcp"))?;
    assert_eq!(document["state"], "bound", "{document}");
    assert_eq!(document["sockets"][0]["state"], "time-wait", "{document}");
    assert_eq!(
        document["sockets"][0]["processes"].as_array().map(Vec::len),
        Some(0)
    );
    Ok(())
}

#[test]
fn wrong_usage() -> Result {
    for port in ["80", "0/tcp", "65536/tcp", "80/sctp", "/tcp", "80/"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portkeep"));
        assert_eq!(
            command.args(["why", port]).output()?.status.code(),
            Some(2),
            "{port}"
        );
    }
    Ok(())
}
