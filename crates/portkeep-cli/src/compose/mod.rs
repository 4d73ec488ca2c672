//! The ports that a compose file publishes on the host.

mod published;
mod variables;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use portkeep::{PortRange, Protocol};
use saphyr::{LoadableYamlNode as _, Yaml};

use crate::error::{Context as _, Error, Result};
use crate::output::{printable, say};
use published::{Published, long, short};
use variables::Variables;

/// More than any compose file has.
const SIZE_MAX: u64 = 1 << 20;

/// Reads the published ports of all services; `-` is standard input.
pub fn published_ports(file: &Path) -> Result<Vec<PortRange>> {
    let name = file.display().to_string();
    let text = read(file).with_context(|| format!("cannot read {name}"))?;
    let variables = Variables::beside(file)?;
    let ports = ports_of(&text, &variables).map_err(|reason| {
        Error::refused(format!("{}: {reason}", printable(&name))).with_hint(RESOLVED)
    })?;
    if ports.is_empty() {
        let message = format!("{} publishes no port of a fixed number", printable(&name));
        return Err(Error::refused(message).with_hint("name ports beside the file"));
    }
    Ok(ports)
}

fn read(file: &Path) -> io::Result<String> {
    let input: Box<dyn io::Read> = match file.as_os_str().as_encoded_bytes() {
        b"-" => Box::new(io::stdin().lock()),
        _ => Box::new(fs::File::open(file)?),
    };
    let mut text = String::new();
    input.take(SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(text)
}

fn ports_of(text: &str, variables: &Variables) -> Result<Vec<PortRange>, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    let services = documents
        .first()
        .and_then(|file| file.as_mapping_get("services"))
        .and_then(Yaml::as_mapping)
        .ok_or("not a compose file: there are no services")?;
    if documents[0].as_mapping_get("include").is_some() {
        say(ELSEWHERE);
    }
    let (mut tcp, mut udp) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in services {
        let name = name.as_str().unwrap_or("?");
        if member(service, "extends").is_some() {
            say(ELSEWHERE);
        }
        let mode = member(service, "network_mode").and_then(Yaml::as_str);
        if mode.is_some_and(|mode| mode == "host" || mode == "none") {
            continue;
        }
        let ports = member(service, "ports").and_then(Yaml::as_sequence);
        for port in ports.into_iter().flatten() {
            let published = published(port, variables)
                .map_err(|reason| format!("service {}: {reason}", printable(name)))?;
            if let Some(Published { protocol, ports }) = published {
                match protocol {
                    Protocol::Tcp => tcp.extend(ports),
                    _ => udp.extend(ports),
                }
            }
        }
    }
    Ok([(Protocol::Tcp, tcp), (Protocol::Udp, udp)]
        .into_iter()
        .flat_map(|(protocol, ports)| rows(protocol, ports))
        .collect())
}

const RESOLVED: &str = "docker compose config | portkeep exclude --compose -";

const ELSEWHERE: &str = "ports that other files add by include or extends are not excluded\n\
     Hint: docker compose config | portkeep exclude --compose -";

fn published(port: &Yaml<'_>, variables: &Variables) -> Result<Option<Published>, String> {
    let scalar = |value: &Yaml<'_>| match (value.as_str(), value.as_integer()) {
        (Some(text), _) => variables.substitute(text).map(Some),
        (None, number) => Ok(number.map(|number| number.to_string())),
    };
    if port.as_mapping().is_none() {
        let text = scalar(port)?.ok_or("a port is neither text nor a mapping")?;
        return short(&text);
    }
    let value = |key| match member(port, key) {
        Some(value) => scalar(value),
        None => Ok(None),
    };
    long(
        value("published")?.as_deref(),
        value("protocol")?.as_deref(),
    )
}

/// The value of a key, of the mapping itself or of those that it merges.
fn member<'a, 'y>(mapping: &'a Yaml<'y>, key: &str) -> Option<&'a Yaml<'y>> {
    mapping.as_mapping_get(key).or_else(|| {
        let merged = mapping.as_mapping_get("<<")?;
        match merged.as_sequence() {
            Some(several) => several.iter().find_map(|one| member(one, key)),
            None => member(merged, key),
        }
    })
}

/// What several sources give, each port once.
pub fn union(ranges: impl IntoIterator<Item = PortRange>) -> Vec<PortRange> {
    let (mut tcp, mut udp) = (BTreeSet::new(), BTreeSet::new());
    for range in ranges {
        match range.protocol() {
            Protocol::Tcp => tcp.extend(range.ports()),
            _ => udp.extend(range.ports()),
        }
    }
    [(Protocol::Tcp, tcp), (Protocol::Udp, udp)]
        .into_iter()
        .flat_map(|(protocol, ports)| rows(protocol, ports))
        .collect()
}

fn rows(protocol: Protocol, ports: BTreeSet<u16>) -> Vec<PortRange> {
    let mut rows: Vec<PortRange> = Vec::new();
    for port in ports {
        let start = match rows.pop_if(|last| u32::from(last.end()) + 1 == u32::from(port)) {
            Some(last) => last.start(),
            None => port,
        };
        rows.extend(PortRange::new(protocol, start, port));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Result<String, String> {
        let variables = Variables::of([("WEB", "8081"), ("EMPTY", "")]);
        let ports = ports_of(text, &variables)?;
        let ports: Vec<_> = ports.iter().map(PortRange::to_string).collect();
        Ok(ports.join(" "))
    }

    fn of(port: &str) -> Result<String, String> {
        ports(&format!("services:\n  web:\n    ports:\n      - {port}\n"))
    }

    #[test]
    fn short_forms() {
        for (port, expected) in [
            ("\"8080:80\"", "8080/tcp"),
            ("8080:80", "8080/tcp"),
            ("22:22", "22/tcp"),
            ("\"80\"", ""),
            ("80", ""),
            ("\"3000-3005\"", ""),
            ("\"9090-9091:8080-8081\"", "9090-9091/tcp"),
            ("\"9000-9100:80\"", "9000-9100/tcp"),
            ("\"127.0.0.1:8001:8001\"", "8001/tcp"),
            ("\"127.0.0.1:5000-5010:5000-5010\"", "5000-5010/tcp"),
            ("\"127.0.0.1::5000\"", ""),
            ("\"[::1]:6000:6000\"", "6000/tcp"),
            ("\"::1:6000:6000\"", "6000/tcp"),
            ("\"6060:6060/udp\"", "6060/udp"),
            ("\"$WEB:80\"", "8081/tcp"),
            ("\"${WEB}:80\"", "8081/tcp"),
            ("\"${NONE:-8082}:80\"", "8082/tcp"),
            ("\"${EMPTY:-8083}:80\"", "8083/tcp"),
            ("\"${NONE-${WEB}}:80\"", "8081/tcp"),
            ("\"${WEB:+9}:80\"", "9/tcp"),
        ] {
            assert_eq!(of(port), Ok(expected.to_owned()), "{port}");
        }
    }

    #[test]
    fn long_forms() {
        let port = "{target: 80, published: \"8080\", protocol: tcp, host_ip: 127.0.0.1}";
        assert_eq!(of(port), Ok("8080/tcp".to_owned()));
        let port = "{target: 53, published: 5353, protocol: udp}";
        assert_eq!(of(port), Ok("5353/udp".to_owned()));
        assert_eq!(
            of("{target: 80, published: 8000-8009}"),
            Ok("8000-8009/tcp".to_owned())
        );
        assert_eq!(of("{target: 80}"), Ok(String::new()));
    }

    #[test]
    fn all_services_once() {
        let text = "
x-base: &base
  ports: ['8080:80']
services:
  a:
    <<: *base
  b:
    <<: [{image: b}, *base]
    ports: ['8081:80', '8000-8090:80']
  c: {network_mode: host, ports: ['1:1']}
  d: {image: d}
  e:
";
        assert_eq!(ports(text), Ok("8000-8090/tcp".to_owned()));
    }

    #[test]
    fn refusals_say_where() {
        for (port, expected) in [
            ("\"0:80\"", "service web: '0:80': '0' is not a port"),
            (
                "\"70000:80\"",
                "service web: '70000:80': '70000' is not a port",
            ),
            (
                "\"9-8:80\"",
                "service web: '9-8:80': the range ends before its start",
            ),
            ("\"80:80/sctp\"", ""),
            ("[]", "service web: a port is neither text nor a mapping"),
            (
                "\"${NONE}:80\"",
                "service web: the variable NONE is not set",
            ),
            (
                "\"${NONE:?no port}:80\"",
                "service web: the variable NONE is not set: no port",
            ),
            (
                "\"${WEB:80\"",
                "service web: '${WEB:80': a brace is missing",
            ),
        ] {
            match of(port) {
                Err(reason) => assert_eq!(reason, expected, "{port}"),
                Ok(ports) => assert_eq!(ports, expected, "{port}"),
            }
        }
        assert!(ports("a: [").is_err());
        for text in ["", "services: 5", "[]"] {
            let reason = "not a compose file: there are no services";
            assert_eq!(ports(text), Err(reason.to_owned()), "{text}");
        }
    }
}
