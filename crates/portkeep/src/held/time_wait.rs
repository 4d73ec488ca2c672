//! TCP connections that have ended and wait for stray segments.

use std::fs;

/// Whether the TCP sockets at a port that the kernel lists are in `TIME_WAIT`, all of them.
///
/// Bound sockets that neither listen nor are connected are in no list, see
/// [`holder`](super::holder) for them.
pub(super) fn is_all_there_is(port: u16) -> bool {
    let lists = ["tcp", "tcp6"].map(|name| {
        fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
    });
    let mut states = lists
        .iter()
        .flat_map(|list| list.lines().filter_map(port_and_state))
        .filter(|(listed, _)| *listed == port)
        .map(|(_, state)| state)
        .peekable();
    states.peek().is_some() && states.all(|state| state == TIME_WAIT)
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
