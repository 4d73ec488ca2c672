//! The rules of nftables, from `nft -j` (libnftables-json(5)).

use std::collections::HashMap;
use std::io;
use std::ops::RangeInclusive;

use portkeep::Protocol;
use serde_json::Value;

use crate::neighbours::output_of;
use crate::neighbours::rules::{Action, Chain, Hook, Match, Rule, other_than};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub chains: Vec<Chain>,
    /// Whether there are rules of iptables, which nft cannot explain.
    pub has_foreign: bool,
    /// Whether nft(8) is not installed, so there may be rules that nobody sees.
    pub is_missing: bool,
}

pub fn read() -> io::Result<Found> {
    let text = match output_of("nft", &["-j", "list", "ruleset"]) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Found {
                is_missing: true,
                ..Found::default()
            });
        }
        text => text?,
    };
    let ruleset = serde_json::from_str(&text).map_err(io::Error::other)?;
    Ok(parse(&ruleset))
}

/// The elements of named sets and maps, by family, table and name.
type Sets<'a> = HashMap<String, &'a [Value]>;

fn parse(ruleset: &Value) -> Found {
    let objects = ruleset["nftables"].as_array();
    let objects = objects.map(Vec::as_slice).unwrap_or_default();
    let of = |it: &Value, name: &str| {
        let word = |member: &str| it[member].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", word("family"), word("table"), word(name))
    };
    let mut sets = Sets::new();
    for object in objects {
        for kind in ["set", "map"] {
            let elements = object[kind]["elem"].as_array();
            if let Some(elements) = elements {
                sets.insert(of(&object[kind], "name"), elements);
            }
        }
    }
    let mut found = Found::default();
    for object in objects {
        let chain = &object["chain"];
        if chain.is_object() {
            found.chains.push(Chain {
                name: of(chain, "name"),
                hook: hook(chain),
                rules: Vec::new(),
            });
        }
        let rule = &object["rule"];
        if !rule.is_object() {
            continue;
        }
        let expressions = rule["expr"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        found.has_foreign |= expressions.iter().any(|it| it["xt"].is_object());
        let name = of(rule, "chain");
        let Some(chain) = found.chains.iter_mut().find(|it| it.name == name) else {
            continue;
        };
        let reading = Reading {
            rule,
            table: of(rule, ""),
            sets: &sets,
            name: format!("nft rule {name} handle {}", rule["handle"]),
        };
        chain.rules.extend(reading.rules(expressions));
    }
    found
}

fn hook(chain: &Value) -> Option<Hook> {
    // A transparent proxy takes packets in a chain of another type.
    match (chain["type"].as_str()?, chain["hook"].as_str()?) {
        ("nat" | "filter", "prerouting") => Some(Hook::OtherMachines),
        ("nat", "output") => Some(Hook::ThisMachine),
        _ => None,
    }
}

struct Reading<'a> {
    rule: &'a Value,
    /// Family and table, with a space at the end.
    table: String,
    sets: &'a Sets<'a>,
    name: String,
}

impl Reading<'_> {
    /// One rule; a verdict map becomes one for each element.
    fn rules(&self, expressions: &[Value]) -> Vec<Rule> {
        let mut matches = Vec::new();
        for expression in expressions {
            if let Some(it) = expression.get("match") {
                matches.extend(self.matches(it));
            } else if let Some(map) = expression.get("vmap") {
                return self.verdict_map(map, &matches);
            } else if expression.get("xt").is_some() {
                // iptables-save(8) explains it.
                return Vec::new();
            } else if let Some(action) = self.action(expression) {
                return vec![self.rule_with(matches, action)];
            }
        }
        vec![self.rule_with(matches, Action::Nothing)]
    }

    fn rule_with(&self, matches: Vec<Match>, action: Action) -> Rule {
        let comment = self.rule["comment"].as_str();
        let comment = comment.map_or(String::new(), |it| format!(" (\"{it}\")"));
        Rule {
            name: format!("{}{comment}", self.name),
            matches,
            action,
        }
    }

    fn action(&self, expression: &Value) -> Option<Action> {
        let (name, value) = expression.as_object()?.iter().next()?;
        let chain = || {
            format!(
                "{}{}",
                self.table,
                value["target"].as_str().unwrap_or_default()
            )
        };
        Some(match name.as_str() {
            "dnat" => Action::Redirect(self.place(value)),
            "redirect" => Action::Redirect(self.place(value)),
            "tproxy" => Action::Redirect(format!("the transparent proxy at {}", self.place(value))),
            "jump" => Action::Jump(chain()),
            "goto" => Action::Goto(chain()),
            "return" => Action::Return,
            "accept" | "drop" | "reject" | "queue" => Action::End,
            _ => return None,
        })
    }

    /// As `10.0.0.5:80`, or `port 80 of this machine`.
    fn place(&self, value: &Value) -> String {
        let address = match &value["addr"] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => Some("one of several addresses".to_owned()),
        };
        let port = match &value["port"] {
            Value::Null => None,
            Value::Number(number) => Some(number.to_string()),
            range => Some(match range_of(range) {
                Some(it) => format!("{}-{}", it.start(), it.end()),
                None => "one of several ports".to_owned(),
            }),
        };
        match (address, port) {
            (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
            (Some(address), Some(port)) => format!("{address}:{port}"),
            (Some(address), None) => address,
            (None, Some(port)) => format!("port {port} of this machine"),
            (None, None) => "this machine".to_owned(),
        }
    }

    fn verdict_map(&self, map: &Value, matches: &[Match]) -> Vec<Rule> {
        let elements = self.elements(&map["data"]);
        let of_element = |element: &Value| {
            let (key, verdict) = (element.get(0)?, element.get(1)?);
            let own = self.compare(&map["key"], "==", key);
            let action = self.action(verdict)?;
            let all = [matches, &own].concat();
            Some(self.rule_with(all, action))
        };
        elements.iter().filter_map(of_element).collect()
    }

    /// The elements of an anonymous or a named set or map.
    fn elements<'a>(&'a self, data: &'a Value) -> &'a [Value] {
        match data.as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => {
                let known = self.sets.get(&format!("{}{name}", self.table));
                known.copied().unwrap_or_default()
            }
            None => data["set"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default(),
        }
    }

    fn matches(&self, it: &Value) -> Vec<Match> {
        let operator = it["op"].as_str().unwrap_or("==");
        self.compare(&it["left"], operator, &it["right"])
    }

    fn compare(&self, left: &Value, operator: &str, right: &Value) -> Vec<Match> {
        if let (Some(left), Some(right)) = (left["concat"].as_array(), right["concat"].as_array()) {
            let pairs = left.iter().zip(right);
            return pairs
                .flat_map(|(left, right)| self.compare(left, operator, right))
                .collect();
        }
        if let Some(parts) = left["concat"].as_array() {
            return self.concatenated(parts, right);
        }
        let equal = matches!(operator, "==" | "in");
        if let Some(protocol) = port_of(left) {
            let mut matches: Vec<_> = protocol
                .map(|it| Match::Protocols(vec![it]))
                .into_iter()
                .collect();
            let ports = self.ports(right);
            matches.push(match equal {
                true => Match::Ports(ports),
                false => Match::Ports(other_than(&ports)),
            });
            return matches;
        }
        if is_protocol(left) && equal {
            return vec![Match::Protocols(self.protocols(right))];
        }
        // A socket can only be bound to a local address.
        if left["fib"]["result"] == "type" && right == "local" && equal {
            return Vec::new();
        }
        let is = if equal { "is" } else { "is not" };
        vec![Match::Other(format!(
            "{} {is} {}",
            words(left),
            words(right)
        ))]
    }

    /// A concatenation compared with a set: the ports of its elements, and the rest in words.
    fn concatenated(&self, parts: &[Value], right: &Value) -> Vec<Match> {
        let place = parts.iter().position(|it| port_of(it).is_some());
        let rest: Vec<_> = parts.iter().map(words).collect();
        let mut matches = vec![Match::Other(format!("{} are in a set", rest.join(" and ")))];
        if let Some(place) = place {
            let of_element = |it: &Value| {
                let it = it["elem"]["val"]
                    .as_object()
                    .map_or(it, |_| &it["elem"]["val"]);
                it["concat"].get(place).cloned()
            };
            let ports: Vec<_> = self.elements(right).iter().filter_map(of_element).collect();
            let ports = ports.iter().filter_map(range_of).collect();
            matches.push(Match::Ports(ports));
        }
        matches
    }

    fn ports(&self, right: &Value) -> Vec<RangeInclusive<u16>> {
        match range_of(right) {
            Some(range) => vec![range],
            None => self.elements(right).iter().filter_map(range_of).collect(),
        }
    }

    fn protocols(&self, right: &Value) -> Vec<Protocol> {
        match protocol_of(right) {
            Some(protocol) => vec![protocol],
            None => self
                .elements(right)
                .iter()
                .filter_map(protocol_of)
                .collect(),
        }
    }
}

/// Whether it is the port that a packet is sent to, and of which protocol if of one.
fn port_of(left: &Value) -> Option<Option<Protocol>> {
    let payload = &left["payload"];
    (payload["field"] == "dport").then(|| match payload["protocol"].as_str() {
        Some("tcp") => Some(Protocol::Tcp),
        Some("udp") => Some(Protocol::Udp),
        _ => None,
    })
}

fn is_protocol(left: &Value) -> bool {
    let payload = &left["payload"];
    left["meta"]["key"] == "l4proto"
        || payload["field"] == "protocol"
        || (payload["protocol"] == "ip6" && payload["field"] == "nexthdr")
}

fn protocol_of(value: &Value) -> Option<Protocol> {
    match (value.as_str(), value.as_u64()) {
        (Some("tcp"), _) | (_, Some(6)) => Some(Protocol::Tcp),
        (Some("udp"), _) | (_, Some(17)) => Some(Protocol::Udp),
        _ => None,
    }
}

/// A port, or a range of ports, or either with a timeout or a counter.
fn range_of(value: &Value) -> Option<RangeInclusive<u16>> {
    let number = |it: &Value| u16::try_from(it.as_u64()?).ok();
    if let Some(element) = value["elem"].as_object() {
        return range_of(element.get("val")?);
    }
    if let Some(range) = value["range"].as_array() {
        return Some(number(range.first()?)?..=number(range.get(1)?)?);
    }
    number(value).map(|port| port..=port)
}

/// An expression about as nft writes it.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let Some((kind, inner)) = members.iter().next() else {
                return String::new();
            };
            let member = |name: &str| inner[name].as_str().unwrap_or_default();
            let list = |separator: &str| {
                let parts = inner.as_array().map(Vec::as_slice).unwrap_or_default();
                parts.iter().map(words).collect::<Vec<_>>().join(separator)
            };
            match kind.as_str() {
                "payload" => format!("{} {}", member("protocol"), member("field")),
                "meta" | "ct" => member("key").to_owned(),
                "fib" => format!("the {} of the address", member("result")),
                "prefix" => format!("{}/{}", member("addr"), inner["len"]),
                "range" => list("-"),
                "set" => list(" or "),
                "concat" => list(" and "),
                other => other.to_owned(),
            }
        }
        other => other.to_string(),
    }
}
