//! Sockets that the kernel itself opened, which no process has.

use std::fs;

use portkeep::Protocol;
use serde_json::Value;

use crate::neighbours::{output_of, wireguard};

/// What the kernel has sockets for, in this network namespace.
#[derive(Debug, Default)]
pub struct KernelSockets(Vec<(Protocol, u16, String)>);

impl KernelSockets {
    /// Asks ip(8), netlink and /proc, as far as they are there.
    pub fn find() -> Self {
        let mut found = Vec::new();
        if let Ok(text) = output_of("ip", &["-d", "-j", "link", "show"]) {
            found.extend(tunnels(&text));
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        found.extend(nfs(&read("/proc/fs/nfsd/portlist")));
        for (protocol, path) in [
            (Protocol::Tcp, "/proc/sys/fs/nfs/nlm_tcpport"),
            (Protocol::Udp, "/proc/sys/fs/nfs/nlm_udpport"),
        ] {
            let port = read(path).trim().parse().unwrap_or(0);
            if port != 0 {
                found.push((protocol, port, "the NFS lock manager".to_owned()));
            }
        }
        Self(found)
    }

    /// What the kernel has a socket at the port for.
    pub fn name(&self, protocol: Protocol, port: u16) -> Option<&str> {
        let mut found = self.0.iter();
        found
            .find(|(of, at, _)| (*of, *at) == (protocol, port))
            .map(|(.., name)| name.as_str())
    }
}

/// From `ip -d -j link show`.
fn tunnels(text: &str) -> Vec<(Protocol, u16, String)> {
    let links: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    links
        .iter()
        .filter_map(|link| {
            let info = &link["linkinfo"];
            let name = link["ifname"].as_str()?;
            let shown = || u16::try_from(info["info_data"]["port"].as_u64()?).ok();
            let (kind, port) = match info["info_kind"].as_str()? {
                "vxlan" => ("VXLAN", shown()?),
                "geneve" => ("Geneve", shown()?),
                "bareudp" => ("bareudp", shown()?),
                "wireguard" => ("WireGuard", wireguard::port(name)?),
                _ => return None,
            };
            Some((Protocol::Udp, port, format!("the {kind} interface {name}")))
        })
        .collect()
}

/// From `/proc/fs/nfsd/portlist`, as `tcp 2049`.
fn nfs(text: &str) -> Vec<(Protocol, u16, String)> {
    text.lines()
        .filter_map(|line| {
            let (protocol, port) = line.split_once(' ')?;
            let protocol = match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            Some((
                protocol,
                port.trim().parse().ok()?,
                "the NFS server".to_owned(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_words_of_the_tools() {
        let server = || "the NFS server".to_owned();
        assert_eq!(
            nfs("tcp 2049\nudp 2049\nrdma 20049\n"),
            [
                (Protocol::Tcp, 2049, server()),
                (Protocol::Udp, 2049, server())
            ]
        );
        assert_eq!(tunnels("not JSON"), []);
        assert_eq!(
            tunnels(r#"[{"ifname":"lo"},{"linkinfo":{"info_kind":"vxlan"}}]"#),
            []
        );
    }
}
