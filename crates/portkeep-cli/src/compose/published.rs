//! One entry of `ports`, by the Compose Specification.

use std::ops::RangeInclusive;

use portkeep::Protocol;

/// Ports of the host.
#[derive(Debug)]
pub struct Published {
    pub protocol: Protocol,
    pub ports: RangeInclusive<u16>,
}

/// `[HOST:]CONTAINER[/PROTOCOL]`, in which HOST is `[IP:][PORT | RANGE]`. None if the engine chooses the port.
pub fn short(text: &str) -> Result<Option<Published>, String> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, Some(protocol)),
        None => (text, None),
    };
    // An IPv6 address has colons itself.
    let host = ports.rsplit(':').nth(1);
    long(host, protocol).map_err(|reason| format!("'{text}': {reason}"))
}

/// `published` and `protocol` of the long form.
pub fn long(published: Option<&str>, protocol: Option<&str>) -> Result<Option<Published>, String> {
    let Some(published) = published.filter(|published| !published.is_empty()) else {
        return Ok(None);
    };
    let protocol = match protocol {
        None | Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        // Such as sctp, whose ports are others.
        Some(_) => return Ok(None),
    };
    let (first, last) = published.split_once('-').unwrap_or((published, published));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err("the range ends before its start".to_owned());
    }
    Ok(Some(Published {
        protocol,
        ports: first..=last,
    }))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|&port| port != 0)
        .ok_or_else(|| format!("'{text}' is not a port"))
}
