//! The kernel's lists of sockets,
//! [`proc_net_tcp(5)`](https://man7.org/linux/man-pages/man5/proc_pid_net.5.html).
//!
//! Bound TCP sockets that neither listen nor are connected are in none of them.

use std::fs;

use crate::types::Protocol;

/// A socket of the calling thread's network namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub port: u16,
    pub is_time_wait: bool,
    pub uid: u32,
}

/// All of them over IPv4 and IPv6; none where the lists cannot be read.
pub(super) fn sockets(protocol: Protocol) -> Vec<Listed> {
    let read = |family| {
        let path = format!("/proc/thread-self/net/{protocol}{family}");
        fs::read_to_string(path).unwrap_or_default()
    };
    ["", "6"]
        .map(read)
        .iter()
        .flat_map(|list| list.lines())
        .filter_map(listed)
        .collect()
}

/// `TCP_TIME_WAIT` of `include/net/tcp_states.h`.
const TIME_WAIT: &str = "06";

fn listed(line: &str) -> Option<Listed> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (_, port) = columns.next()?.rsplit_once(':')?;
    let state = columns.nth(1)?;
    Some(Listed {
        port: u16::from_str_radix(port, 16).ok()?,
        is_time_wait: state == TIME_WAIT,
        uid: columns.nth(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = "   3: 0100007F:EE48 0100007F:C350 06 00000000:00000000 03:00001234 00000000  \
                    1000        0 0 3 0000000000000000";
        let expected = Listed {
            port: 61000,
            is_time_wait: true,
            uid: 1000,
        };
        assert_eq!(listed(line), Some(expected));
        assert_eq!(
            listed("  sl  local_address rem_address   st tx_queue"),
            None
        );
        assert_eq!(listed(""), None);
    }
}
