//! The virtual services of IPVS, from `/proc/net/ip_vs`.

use std::fs;

use portkeep::Protocol;

use crate::neighbours::rules::{Hook, Redirect};

/// Those at one of the ports from `start` to `end`.
pub fn redirects(protocol: Protocol, start: u16, end: u16) -> Vec<Redirect> {
    let text = fs::read_to_string("/proc/net/ip_vs").unwrap_or_default();
    parse(&text, protocol, start, end)
}

fn parse(text: &str, protocol: Protocol, start: u16, end: u16) -> Vec<Redirect> {
    let mut services: Vec<(Redirect, Vec<String>)> = Vec::new();
    let mut wanted = false;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (kind, place) = (words.next(), words.next());
        match (kind, place) {
            (Some("->"), Some(place)) => {
                let place = socket_address(place);
                if let (true, Some((_, places)), Some((address, port))) =
                    (wanted, services.last_mut(), place)
                {
                    places.push(format!("{address}:{port}"));
                }
            }
            (Some(kind @ ("TCP" | "UDP")), Some(place)) => {
                let is_of = kind.eq_ignore_ascii_case(&protocol.to_string());
                let place = socket_address(place).filter(|(_, port)| (start..=end).contains(port));
                wanted = is_of && place.is_some();
                if let (true, Some((address, port))) = (wanted, place) {
                    let redirect = Redirect {
                        rule: format!("the IPVS virtual service {address}:{port}"),
                        from: vec![Hook::OtherMachines, Hook::ThisMachine],
                        to: String::new(),
                        conditions: vec![format!("the address is {address}")],
                    };
                    services.push((redirect, Vec::new()));
                }
            }
            // A service by firewall mark has no port.
            _ => wanted = false,
        }
    }
    services
        .into_iter()
        .map(|(redirect, places)| Redirect {
            to: match places.is_empty() {
                true => "no server".to_owned(),
                false => places.join(" or "),
            },
            ..redirect
        })
        .collect()
}

/// As `0A000001:0050` or `[2001:0db8:0000:…]:0050`.
fn socket_address(text: &str) -> Option<(String, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if let Some(address) = address.strip_prefix('[') {
        let address: std::net::Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some((format!("[{address}]"), port));
    }
    let address = u32::from_str_radix(address, 16).ok()?;
    Some((std::net::Ipv4Addr::from(address).to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ip_vs_info_seq_show() of the kernel's net/netfilter/ipvs/ip_vs_ctl.c writes it.
    const TABLE: &str = "IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:0050 rr \n  -> 0AF40102:1F90      Masq    1      0          0         
  -> 0AF40103:1F90      Masq    1      0          0         
UDP  0A60000A:0035 rr \n  -> 0AF40104:0035      Masq    1      0          0         
FWM  00000001 wlc \n  -> 0AF40105:0050      Route   1      0          0         
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 wlc persistent 300 FFFFFFFF
";

    #[test]
    fn services() {
        let found = parse(TABLE, Protocol::Tcp, 80, 80);
        let of: Vec<_> = found.iter().map(|it| (&it.rule[..], &it.to[..])).collect();
        assert_eq!(
            of,
            [
                (
                    "the IPVS virtual service 10.96.0.1:80",
                    "10.244.1.2:8080 or 10.244.1.3:8080"
                ),
                ("the IPVS virtual service [2001:db8::1]:80", "no server")
            ]
        );
        assert_eq!(found[0].conditions, ["the address is 10.96.0.1"]);
        assert_eq!(parse(TABLE, Protocol::Udp, 1, 100)[0].to, "10.244.1.4:53");
        assert_eq!(parse(TABLE, Protocol::Udp, 80, 80), []);
        assert_eq!(parse("", Protocol::Udp, 80, 80), []);
    }
}
