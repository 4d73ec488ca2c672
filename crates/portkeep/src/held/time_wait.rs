//! TCP connections that have ended and wait for stray segments.

use std::collections::HashMap;

use crate::held::proc_net;
use crate::types::Protocol;

/// The ports of this network namespace's TCP sockets that the kernel lists. Reading the list takes some
/// microseconds per socket, so it is read when it is first asked.
///
/// Bound sockets that neither listen nor are connected are in no list, see
/// [`holder`](super::holder) for them.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Whether all sockets at the port are in `TIME_WAIT`.
    ports: Option<HashMap<u16, bool>>,
}

impl Remains {
    /// Whether the sockets at a port are in `TIME_WAIT`, all of them, and there are any.
    pub(super) fn are_all_at(&mut self, port: u16) -> bool {
        let ports = self.ports.get_or_insert_with(read);
        ports.get(&port).copied().unwrap_or(false)
    }

    /// The first of these ports at which there is something else by now.
    pub(super) fn reread_living(&mut self, ports: &[u16]) -> Option<u16> {
        let now = self.ports.insert(read());
        ports
            .iter()
            .copied()
            .find(|port| now.get(port) == Some(&false))
    }
}

fn read() -> HashMap<u16, bool> {
    let mut ports = HashMap::new();
    for socket in proc_net::sockets(Protocol::Tcp) {
        *ports.entry(socket.port).or_insert(true) &= socket.is_time_wait;
    }
    ports
}
