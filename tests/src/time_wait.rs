//! Ports in TIME_WAIT.

use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::sock;

/// Which end of a connection closes first, and so keeps its port in TIME_WAIT (RFC 9293, 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The accepting side: the port of a listener that is gone.
    Server,
    /// The connecting side.
    Client,
}

/// Leaves `port` of `address` (0: an automatic one) in TIME_WAIT on the given side and returns it.
///
/// No other socket has the port when this returns: every bucket owner is in TIME_WAIT.
pub fn leave(side: Side, address: impl Into<IpAddr>, port: u16) -> u16 {
    let (server_port, client_port) = match side {
        Side::Server => (port, 0),
        Side::Client => (0, port),
    };
    let connection = crate::assert_ok!(sock::connection(address, server_port, client_port));
    let (first, second) = match side {
        Side::Server => (connection.server, connection.client),
        Side::Client => (connection.client, connection.server),
    };
    let port = sock::local_port(&first);
    drop(connection.listener);
    drop(first);
    drop(second);
    wait_until_alone(port);
    port
}

/// `TCP_TIME_WAIT` of `net/tcp_states.h`.
pub const TIME_WAIT: u8 = 6;

/// The states, as `net/tcp_states.h` numbers them, of this network namespace's TCP sockets with
/// the local port, read from `/proc/net/tcp` and `tcp6`; sockets only bound are not listed there.
#[must_use]
pub fn states(port: u16) -> Vec<u8> {
    ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
        .iter()
        .flat_map(|path| {
            parse(
                &fs::read_to_string(path).expect("read the TCP sockets"),
                port,
            )
        })
        .collect()
}

fn parse(table: &str, port: u16) -> Vec<u8> {
    let state = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (_, local) = columns.next()?.rsplit_once(':')?;
        let state = columns.nth(1)?;
        let of_port = u16::from_str_radix(local, 16).ok()? == port;
        of_port
            .then(|| u8::from_str_radix(state, 16).ok())
            .flatten()
    };
    table.lines().skip(1).filter_map(state).collect()
}

fn wait_until_alone(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let states = states(port);
        if states == [TIME_WAIT] {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "port {port} never was in TIME_WAIT only: {states:?}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   \
             1: 0100007F:1F90 0100007F:8000 06 00000000:00000000\n   \
             2: 0100007F:8000 0100007F:1F90 01 00000000:00000000\n";
        assert_eq!(parse(table, 8080), [10, 6]);
        assert_eq!(parse(table, 8081), []);
    }
}
