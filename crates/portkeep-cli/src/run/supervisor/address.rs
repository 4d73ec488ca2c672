//! Socket addresses as a process writes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// How long addresses of IPv4 and IPv6 are, with room for what other programs put behind them.
pub const OF_IP: std::ops::RangeInclusive<usize> = 16..=32;
/// `sizeof(struct sockaddr_storage)`, which is all that the kernel takes, and what programs give that serve
/// any family.
pub const STORAGE: usize = 128;

/// A `struct sockaddr_in` or `struct sockaddr_in6`; `None` if it is another one or too short. Of
/// the latter the kernel lets the last field, the scope, be missing (`SIN6_LEN_RFC2133`). It takes
/// all addresses of no family for those of IPv4 (`__inet_bind()` in `net/ipv4/af_inet.c`).
pub fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match u16::from_ne_bytes(*family).into() {
        family @ (libc::AF_INET | libc::AF_UNSPEC) if bytes.len() >= 16 => {
            let address = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            let taken = family == libc::AF_INET || address.is_unspecified();
            taken.then_some((address, port).into())
        }
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = rest.first_chunk().copied().unwrap_or_default();
            Some(
                SocketAddrV6::new(
                    Ipv6Addr::from(*address),
                    port,
                    u32::from_ne_bytes(*flow),
                    u32::from_ne_bytes(scope),
                )
                .into(),
            )
        }
        _ => None,
    }
}

/// The family of a socket that can bind to it.
pub fn family(address: &SocketAddr) -> i32 {
    match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_both_families() {
        let mut v4 = vec![0; 16];
        v4[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        v4[2..8].copy_from_slice(&[0x1f, 0x90, 127, 0, 0, 1]);
        assert_eq!(parse(&v4), Some(([127, 0, 0, 1], 8080).into()));
        assert_eq!(parse(&v4[..15]), None);

        let mut v6 = vec![0; 28];
        v6[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        v6[2..4].copy_from_slice(&[0x1f, 0x90]);
        v6[23] = 1;
        v6[24..].copy_from_slice(&7_u32.to_ne_bytes());
        let parsed = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 8080, 0, 7);
        assert_eq!(parse(&v6), Some(parsed.into()));
        let without_scope = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 8080, 0, 0);
        assert_eq!(parse(&v6[..24]), Some(without_scope.into()));
        assert_eq!(parse(&v6[..23]), None);
    }

    #[test]
    fn of_no_family() {
        let mut bytes = vec![0; 16];
        bytes[2..4].copy_from_slice(&[0x1f, 0x90]);
        assert_eq!(parse(&bytes), Some((Ipv4Addr::UNSPECIFIED, 8080).into()));
        assert_eq!(parse(&bytes[..15]), None);
        bytes[4] = 127;
        assert_eq!(parse(&bytes), None);
    }

    #[test]
    fn of_no_other() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[1; 28]), None);
    }
}
