//! The argument of `why`: a port as people write it.

use std::fs;
use std::str::FromStr;

use portkeep::Protocol;

/// A port of one protocol or, if none was given, of each that it can be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPort {
    pub ports: Vec<(u16, Protocol)>,
    pub has_protocol: bool,
}

const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

impl FromStr for WantedPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (port, protocol) = match text.split_once('/') {
            Some((port, protocol)) => (port, Some(self::protocol(protocol)?)),
            None => (text, None),
        };
        // As ss(8) and error messages of servers write it.
        let port = port.strip_prefix(':').unwrap_or(port);
        let wanted = |it: Protocol| protocol.is_none_or(|protocol| protocol == it);
        let ports: Vec<_> = if port.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = crate::arguments::ports::port(port)?;
            BOTH.map(|protocol| (port, protocol)).into()
        } else {
            services(port)?
        };
        let ports: Vec<_> = ports.into_iter().filter(|(_, it)| wanted(*it)).collect();
        if ports.is_empty() {
            return Err(format!("no service '{text}' is in {SERVICES}"));
        }
        Ok(Self {
            ports,
            has_protocol: protocol.is_some(),
        })
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    text.to_ascii_lowercase()
        .parse()
        .map_err(|_| format!("'{text}' is not a protocol; write tcp or udp"))
}

const SERVICES: &str = "/etc/services";

/// The ports of a service, of which each protocol may have one.
fn services(name: &str) -> Result<Vec<(u16, Protocol)>, String> {
    let text = fs::read_to_string(SERVICES).map_err(|error| {
        format!("'{name}' is not a port number, and {SERVICES} cannot be read: {error}")
    })?;
    let mut found = ports_of(name, &text);
    found.dedup();
    match found[..] {
        [] => Err(format!(
            "'{name}' is neither a port number from 1 to 65535 nor a service in {SERVICES}"
        )),
        _ => Ok(found),
    }
}

/// From lines as in [`services(5)`](https://man7.org/linux/man-pages/man5/services.5.html).
fn ports_of(name: &str, text: &str) -> Vec<(u16, Protocol)> {
    let port = |line: &str| {
        let line = line.split('#').next()?;
        let mut words = line.split_ascii_whitespace();
        let official = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        let is_named = official == name || words.any(|alias| alias == name);
        let found = (port.parse().ok()?, protocol.parse().ok()?);
        is_named.then_some(found)
    };
    text.lines().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(u16, Protocol)>, String> {
        text.parse().map(|wanted: WantedPort| wanted.ports)
    }

    #[test]
    fn as_people_write_it() {
        let both = Ok(BOTH.map(|protocol| (80, protocol)).to_vec());
        assert_eq!(read("80"), both);
        assert_eq!(read(":80"), both);
        for text in ["80/tcp", ":80/tcp", "80/TCP", "80/Tcp"] {
            assert_eq!(read(text), Ok(vec![(80, Protocol::Tcp)]), "{text}");
        }
        assert_eq!(read("65535/udp"), Ok(vec![(65535, Protocol::Udp)]));
        for text in [
            "",
            ":",
            "0",
            "65536",
            "80/",
            "/tcp",
            "80/sctp",
            "80/tcp/udp",
            "-1",
            "no such",
        ] {
            assert!(read(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn services_by_name() {
        let text = "# comment\nhttp\t80/tcp www # WorldWideWeb\ndomain 53/tcp\ndomain 53/udp\n\
                    odd\nsctp 1/sctp\n";
        assert_eq!(ports_of("www", text), [(80, Protocol::Tcp)]);
        assert_eq!(
            ports_of("domain", text),
            [(53, Protocol::Tcp), (53, Protocol::Udp)]
        );
        for name in ["odd", "sctp", "WorldWideWeb", "comment", ""] {
            assert_eq!(ports_of(name, text), [], "{name}");
        }
    }
}
