//! TCP connections that have ended and wait for stray segments.

use std::collections::HashMap;
use std::fs;

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
    for name in ["tcp", "tcp6"] {
        let list = fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        for (port, state) in list.lines().filter_map(port_and_state) {
            *ports.entry(port).or_insert(true) &= state == TIME_WAIT;
        }
    }
    ports
}

/// `TCP_TIME_WAIT` of `include/net/tcp_states.h`, as `/proc/net/tcp` writes it.
const TIME_WAIT: &str = "06";

/// From a line of [`proc_net_tcp(5)`](https://man7.org/linux/man-pages/man5/proc_pid_net.5.html).
fn port_and_state(line: &str) -> Option<(u16, &str)> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (_, port) = columns.next()?.rsplit_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, columns.nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let line = "   3: 0100007F:EE48 0100007F:C350 06 00000000:00000000 03:00001234 00000000";
        assert_eq!(port_and_state(line), Some((61000, TIME_WAIT)));
        assert_eq!(port_and_state("  sl  local_address rem_address   st"), None);
        assert_eq!(port_and_state(""), None);
    }
}
