//! The NAT rules of iptables, from iptables-save(8).

use std::fs;
use std::ops::RangeInclusive;

use portkeep::Protocol;

use crate::neighbours::output_of;
use crate::neighbours::rules::{Action, Chain, Hook, Match, Rule, other_than};

/// Whether the older iptables, which does not use nftables, has a table for NAT here.
pub fn has_legacy_nat() -> bool {
    ["ip_tables_names", "ip6_tables_names"]
        .iter()
        .filter_map(|name| fs::read_to_string(format!("/proc/net/{name}")).ok())
        .any(|names| names.lines().any(|name| name == "nat"))
}

/// The rules of the generation that uses nftables, and those of the older one. The latter makes tables
/// where there are none, so it is asked only where there are.
pub fn read() -> Vec<Chain> {
    let mut programs = vec!["iptables-nft-save", "ip6tables-nft-save"];
    if has_legacy_nat() {
        programs.extend(["iptables-legacy-save", "ip6tables-legacy-save"]);
    }
    programs
        .into_iter()
        .filter_map(|program| Some((program, output_of(program, &["-t", "nat"]).ok()?)))
        .flat_map(|(program, text)| parse(program, &text))
        .collect()
}

fn parse(program: &str, text: &str) -> Vec<Chain> {
    let family = if program.starts_with("ip6") {
        "ip6tables"
    } else {
        "iptables"
    };
    // Both generations can have chains of one name.
    let table = format!("{program} nat");
    let mut chains: Vec<Chain> = Vec::new();
    for line in text.lines() {
        if let Some(chain) = line.strip_prefix(':') {
            let name = chain.split(' ').next().unwrap_or_default();
            chains.push(Chain {
                name: format!("{table} {name}"),
                hook: match name {
                    "PREROUTING" => Some(Hook::OtherMachines),
                    "OUTPUT" => Some(Hook::ThisMachine),
                    _ => None,
                },
                rules: Vec::new(),
            });
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = split(rule);
            let Some((name, rest)) = words.split_first() else {
                continue;
            };
            let name = format!("{table} {name}");
            if let Some(chain) = chains.iter_mut().find(|it| it.name == name) {
                let name = format!("the {family} rule `-t nat {line}`");
                let rule = read_rule(name, &table, rest);
                chain.rules.push(rule);
            }
        }
    }
    chains
}

/// The words of a line; those with spaces are in quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in line.chars() {
        match character {
            _ if escaped => {
                words.last_mut().expect("one at least").push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("one at least").push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn read_rule(name: String, table: &str, words: &[String]) -> Rule {
    let mut rule = Rule {
        name,
        matches: Vec::new(),
        action: Action::Nothing,
    };
    let mut words = words.iter().map(String::as_str).peekable();
    let mut negated = false;
    while let Some(option) = words.next() {
        if option == "!" {
            negated = true;
            continue;
        }
        let mut value = Vec::new();
        while let Some(word) = words.next_if(|word| *word != "!" && !word.starts_with('-')) {
            value.push(word);
        }
        let first = value.first().copied().unwrap_or_default();
        match option {
            "-m" | "--comment" => {}
            "-p" if !negated => rule.matches.push(Match::Protocols(protocols(first))),
            "--dport" | "--dports" | "--ports" => {
                let ports: Vec<_> = first.split(',').filter_map(ports).collect();
                rule.matches.push(Match::Ports(match negated {
                    true => other_than(&ports),
                    false => ports,
                }));
            }
            // A socket can only be bound to a local address.
            "--dst-type" if first == "LOCAL" && !negated => {}
            "-j" => rule.action = target(table, first),
            "-g" => rule.action = Action::Goto(format!("{table} {first}")),
            "--to-destination" => rule.action = Action::Redirect(first.to_owned()),
            "--to-ports" => {
                rule.action = Action::Redirect(format!("port {first} of this machine"));
            }
            // Of a target, not of a match.
            _ if rule.action != Action::Nothing => {}
            _ => {
                let not = if negated { "! " } else { "" };
                let text = format!("{not}{option} {}", value.join(" "));
                rule.matches.push(Match::Other(text.trim_end().to_owned()));
            }
        }
        negated = false;
    }
    rule
}

fn target(table: &str, name: &str) -> Action {
    match name {
        "DNAT" => Action::Redirect("another address".to_owned()),
        "REDIRECT" => Action::Redirect("this machine".to_owned()),
        "RETURN" => Action::Return,
        "ACCEPT" | "DROP" => Action::End,
        "LOG" | "MARK" | "CONNMARK" | "TRACE" | "NFLOG" => Action::Nothing,
        chain => Action::Jump(format!("{table} {chain}")),
    }
}

fn protocols(name: &str) -> Vec<Protocol> {
    match name {
        "tcp" | "6" => vec![Protocol::Tcp],
        "udp" | "17" => vec![Protocol::Udp],
        "all" => vec![Protocol::Tcp, Protocol::Udp],
        _ => Vec::new(),
    }
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (start, end) = text.split_once(':').unwrap_or((text, text));
    Some(start.parse().ok()?..=end.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbours::rules::redirects;

    /// As Docker and kube-proxy write them.
    const SAVED: &str = r#"# Generated by iptables-save v1.8.9 (nf_tables)
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-NODEPORTS - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals -j x" -j KUBE-NODEPORTS
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A KUBE-NODEPORTS -p udp -m multiport --dports 30000,30002:30005 -j REDIRECT --to-ports 99 --random
COMMIT
"#;

    #[test]
    fn of_docker_and_others() {
        let chains = parse("iptables-save", SAVED);
        let found = redirects(&chains, Protocol::Tcp, 8080, 8080);
        let of: Vec<_> = found.iter().map(|it| (&it.to[..], &it.from[..])).collect();
        let to = "172.17.0.2:80";
        assert_eq!(
            of,
            [(to, &[Hook::OtherMachines][..]), (to, &[Hook::ThisMachine])]
        );
        assert_eq!(found[0].conditions, ["! -i docker0"]);
        assert_eq!(found[1].conditions, ["! -d 127.0.0.0/8", "! -i docker0"]);
        assert!(found[0].rule.contains("--dport 8080 -j DNAT"));
        let found = redirects(&chains, Protocol::Udp, 30003, 30003);
        assert_eq!(found[0].to, "port 99 of this machine");
        assert!(found[0].conditions.is_empty());
        assert_eq!(redirects(&chains, Protocol::Udp, 30001, 30001), []);
        assert_eq!(redirects(&chains, Protocol::Tcp, 8081, 8081), []);
    }

    #[test]
    fn words() {
        let words = split(r#"-A X --comment "a \"b\" -j" -j  Y"#);
        assert_eq!(words, ["-A", "X", "--comment", "a \"b\" -j", "-j", "Y"]);
    }
}
