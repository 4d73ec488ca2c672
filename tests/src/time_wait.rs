//! Ports in TIME_WAIT.

use std::collections::HashMap;
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
    wait_until(|| states(port) == [TIME_WAIT]);
    port
}

/// Leaves each of these ports in TIME_WAIT on the server's side, with nothing else at it.
///
/// A network namespace has room for `net.ipv4.tcp_max_tw_buckets` of them.
pub fn leave_all(address: impl Into<IpAddr> + Copy, ports: impl Iterator<Item = u16> + Clone) {
    for port in ports.clone() {
        let connection = crate::assert_ok!(sock::connection(address, port, 0));
        drop((connection.listener, connection.server));
        drop(connection.client);
    }
    wait_until(|| {
        // A port may have been in TIME_WAIT before, with another connection.
        let states = all_states();
        let are = |port| {
            let states = states.get(&port);
            states.is_some_and(|states| states.iter().all(|it| *it == TIME_WAIT))
        };
        ports.clone().all(are)
    });
}

/// `TCP_TIME_WAIT` of `net/tcp_states.h`.
pub const TIME_WAIT: u8 = 6;

/// The states, as `net/tcp_states.h` numbers them, of this network namespace's TCP sockets with
/// the local port, read from `/proc/net/tcp` and `tcp6`; sockets only bound are not listed there.
#[must_use]
pub fn states(port: u16) -> Vec<u8> {
    all_states().remove(&port).unwrap_or_default()
}

fn all_states() -> HashMap<u16, Vec<u8>> {
    let mut states = HashMap::<_, Vec<_>>::new();
    for path in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let table = fs::read_to_string(path).expect("read the TCP sockets");
        for (port, state) in table.lines().skip(1).filter_map(parse) {
            states.entry(port).or_default().push(state);
        }
    }
    states
}

fn parse(line: &str) -> Option<(u16, u8)> {
    let mut columns = line.split_whitespace().skip(1);
    let (_, port) = columns.next()?.rsplit_once(':')?;
    let state = columns.nth(1)?;
    Some((
        u16::from_str_radix(port, 16).ok()?,
        u8::from_str_radix(state, 16).ok()?,
    ))
}

fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "they never were in TIME_WAIT only"
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
        let states: Vec<_> = table.lines().skip(1).filter_map(parse).collect();
        assert_eq!(states, [(8080, 10), (8080, 6), (32768, 1)]);
    }
}
