//! NAT rules, whatever they were written with, and which of them a packet to a port meets.

use std::ops::RangeInclusive;

use portkeep::Protocol;
use serde::Serialize;

/// A chain of rules.
#[derive(Debug, Default)]
pub struct Chain {
    /// Family, table and name, as in `ip nat prerouting`.
    pub name: String,
    /// Whose packets go through it first; `None` if only other chains lead here.
    pub hook: Option<Hook>,
    pub rules: Vec<Rule>,
}

/// Whose packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    OtherMachines,
    ThisMachine,
}

/// A rule, which applies where everything matches.
#[derive(Debug)]
pub struct Rule {
    /// As in `nft rule ip nat prerouting handle 5`.
    pub name: String,
    pub matches: Vec<Match>,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    Protocols(Vec<Protocol>),
    /// The ports that a packet is sent to.
    Ports(Vec<RangeInclusive<u16>>),
    /// Anything else, in words: it holds for some packets.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Redirects, as `to 10.0.0.5:80`.
    Redirect(String),
    Jump(String),
    Goto(String),
    Return,
    /// The packet leaves the hook's chains as it is.
    End,
    /// It goes on.
    Nothing,
}

/// A rule that redirects packets to a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redirect {
    pub rule: String,
    /// Whose packets it redirects.
    pub from: Vec<Hook>,
    /// Where they go, as `10.0.0.5:80`.
    pub to: String,
    /// What else has to hold, in the words of the rule.
    pub conditions: Vec<String>,
}

impl Redirect {
    /// As in `8080/tcp is redirected by …`; `name` is the port.
    pub fn words(&self, name: &str) -> String {
        let whom = match self.from[..] {
            [Hook::OtherMachines] => " from other machines",
            [Hook::ThisMachine] => " from this machine",
            _ => "",
        };
        if self.conditions.is_empty() {
            return format!(
                "{name} is redirected by {} to {}; a socket bound there gets nothing{whom}.",
                self.rule, self.to
            );
        }
        format!(
            "{name} is redirected by {} to {} where {}; a socket bound there does not get such \
             packets{whom}.",
            self.rule,
            self.to,
            self.conditions.join(" and ")
        )
    }
}

/// How deep jumps are followed: as deep as the kernel does (NFT_JUMP_STACK_SIZE).
const DEPTH: usize = 16;
/// Rules of load balancers lead to many places; these are enough to see what happens.
const REDIRECTS_MAX: usize = 16;

struct Walk<'a> {
    chains: &'a [Chain],
    protocol: Protocol,
    start: u16,
    end: u16,
    hook: Hook,
    found: Vec<Redirect>,
    /// Chains call each other; a walk that branches without end stops.
    steps: usize,
}

const STEPS_MAX: usize = 100_000;

#[derive(PartialEq, Eq)]
enum Went {
    On,
    /// No packet comes back from there.
    Away,
}

/// The rules that redirect packets to one of the ports.
pub fn redirects(chains: &[Chain], protocol: Protocol, start: u16, end: u16) -> Vec<Redirect> {
    let mut all: Vec<Redirect> = Vec::new();
    for base in chains {
        let Some(hook) = base.hook else { continue };
        let mut walk = Walk {
            chains,
            protocol,
            start,
            end,
            hook,
            found: Vec::new(),
            steps: 0,
        };
        walk.chain(base, &[], 0);
        for found in walk.found {
            let known = all.iter_mut().find(|it| {
                (&it.rule, &it.to, &it.conditions) == (&found.rule, &found.to, &found.conditions)
            });
            match known {
                Some(known) if !known.from.contains(&hook) => known.from.push(hook),
                Some(_) => {}
                None => all.push(found),
            }
        }
    }
    all.truncate(REDIRECTS_MAX);
    all
}

impl Walk<'_> {
    fn chain(&mut self, chain: &Chain, conditions: &[String], depth: usize) -> Went {
        for rule in &chain.rules {
            self.steps += 1;
            if self.steps > STEPS_MAX || self.found.len() >= REDIRECTS_MAX {
                return Went::Away;
            }
            let Some(own) = self.conditions(rule) else {
                continue;
            };
            let always = own.is_empty();
            let conditions = [conditions, &own].concat();
            let went = match &rule.action {
                Action::Nothing => Went::On,
                Action::End => Went::Away,
                Action::Return if always => return Went::On,
                Action::Return => Went::On,
                Action::Redirect(to) => {
                    self.found.push(Redirect {
                        rule: rule.name.clone(),
                        from: vec![self.hook],
                        to: to.clone(),
                        conditions,
                    });
                    Went::Away
                }
                Action::Jump(name) | Action::Goto(name) => {
                    let target = self.chains.iter().find(|it| it.name == *name);
                    let went = match target {
                        Some(target) if depth < DEPTH => self.chain(target, &conditions, depth + 1),
                        _ => Went::On,
                    };
                    match rule.action {
                        Action::Goto(_) if always => return went,
                        _ => went,
                    }
                }
            };
            if always && went == Went::Away {
                return Went::Away;
            }
        }
        Went::On
    }

    /// What else has to hold; `None` if the rule never applies. A rule for some of the ports does not
    /// apply always.
    fn conditions(&self, rule: &Rule) -> Option<Vec<String>> {
        let mut conditions = Vec::new();
        for it in &rule.matches {
            match it {
                Match::Protocols(protocols) => {
                    if !protocols.contains(&self.protocol) {
                        return None;
                    }
                }
                Match::Ports(ports) => {
                    let overlaps = |it: &RangeInclusive<u16>| {
                        *it.start() <= self.end && self.start <= *it.end()
                    };
                    let covers = |it: &RangeInclusive<u16>| {
                        *it.start() <= self.start && self.end <= *it.end()
                    };
                    let some: Vec<_> = ports.iter().filter(|it| overlaps(it)).collect();
                    if some.is_empty() {
                        return None;
                    }
                    if !some.iter().any(|it| covers(it)) {
                        let names: Vec<_> = some.iter().map(|it| range(it)).collect();
                        conditions.push(format!("the port is {}", names.join(" or ")));
                    }
                }
                Match::Other(words) => conditions.push(words.clone()),
            }
        }
        Some(conditions)
    }
}

fn range(ports: &RangeInclusive<u16>) -> String {
    match ports.start() == ports.end() {
        true => ports.start().to_string(),
        false => format!("{}-{}", ports.start(), ports.end()),
    }
}

/// Everything but these ports.
pub fn other_than(ports: &[RangeInclusive<u16>]) -> Vec<RangeInclusive<u16>> {
    let mut sorted = ports.to_vec();
    sorted.sort_by_key(|it| *it.start());
    let mut others = Vec::new();
    let mut next = 0_u32;
    for it in sorted {
        if u32::from(*it.start()) > next {
            others.push(next as u16..=*it.start() - 1);
        }
        next = next.max(u32::from(*it.end()) + 1);
    }
    if next <= u32::from(u16::MAX) {
        others.push(next as u16..=u16::MAX);
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, matches: Vec<Match>, action: Action) -> Rule {
        let name = name.to_owned();
        Rule {
            name,
            matches,
            action,
        }
    }

    fn chain(name: &str, hook: Option<Hook>, rules: Vec<Rule>) -> Chain {
        let name = name.to_owned();
        Chain { name, hook, rules }
    }

    fn to(place: &str) -> Action {
        Action::Redirect(place.to_owned())
    }

    fn ports(ports: RangeInclusive<u16>) -> Match {
        Match::Ports(vec![ports])
    }

    fn names(chains: &[Chain], start: u16, end: u16) -> Vec<String> {
        redirects(chains, Protocol::Tcp, start, end)
            .into_iter()
            .map(|it| it.rule)
            .collect()
    }

    #[test]
    fn the_first_rule_that_always_applies_is_the_last() {
        let some = || Match::Other("iif is eth0".to_owned());
        let chains = [
            chain(
                "pre",
                Some(Hook::OtherMachines),
                vec![
                    rule("udp", vec![Match::Protocols(vec![Protocol::Udp])], to("u")),
                    rule("some", vec![ports(80..=80), some()], to("s")),
                    rule(
                        "jump",
                        vec![ports(0..=99)],
                        Action::Jump("other".to_owned()),
                    ),
                    rule("late", vec![], to("l")),
                ],
            ),
            chain(
                "other",
                None,
                vec![
                    rule("return", vec![ports(81..=81)], Action::Return),
                    rule("all", vec![], to("a")),
                ],
            ),
        ];
        assert_eq!(names(&chains, 80, 80), ["some", "all"]);
        assert_eq!(names(&chains, 81, 81), ["late"]);
        assert_eq!(names(&chains, 100, 100), ["late"]);
        // Of a range some.
        assert_eq!(names(&chains, 99, 100), ["all", "late"]);
    }

    #[test]
    fn chains_that_call_each_other_end() {
        let jump = |name: &str| rule("jump", vec![], Action::Jump(name.to_owned()));
        let chains = [
            chain("a", Some(Hook::ThisMachine), vec![jump("b"), jump("b")]),
            chain("b", None, vec![jump("a"), jump("a")]),
        ];
        assert_eq!(names(&chains, 1, 1), [] as [&str; 0]);
    }

    #[test]
    fn other_ports() {
        assert_eq!(other_than(&[80..=80]), [0..=79, 81..=65535]);
        assert_eq!(other_than(&[0..=9, 65535..=65535]), [10..=65534]);
        assert_eq!(other_than(&[0..=65535]), []);
        assert_eq!(other_than(&[]), [0..=65535]);
    }
}
