//! How the command learns its ports.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;

use portkeep::Protocol;

use crate::holding::Holding;

/// Sets PORT, PORTKEEP_TCP, PORTKEEP_UDP, and the variables that were named. Lists that would be empty
/// are removed, lest the command take an outer `portkeep run`'s ports for its own.
pub fn set(command: &mut Command, holding: &Holding) {
    let tcp = list(command, "PORTKEEP_TCP", holding, Protocol::Tcp);
    let udp = list(command, "PORTKEEP_UDP", holding, Protocol::Udp);
    if let Some(first) = tcp.or(udp) {
        command.env("PORT", first.to_string());
    }
    // PORT may be one of them.
    command.envs(holding.named());
}

fn list(command: &mut Command, name: &str, holding: &Holding, protocol: Protocol) -> Option<u16> {
    let ports: Vec<u16> = holding
        .ranges(protocol)
        .flat_map(|range| range.ports())
        .collect();
    if ports.is_empty() {
        command.env_remove(name);
    } else {
        let list: Vec<_> = ports.iter().map(u16::to_string).collect();
        command.env(name, list.join(","));
    }
    ports.first().copied()
}

/// An argument of the command with its ports for `{NAME}`, where NAME was given. Everything else in
/// braces stays as it is.
pub fn fill_in<'a>(argument: &'a OsStr, named: &[(&str, String)]) -> Cow<'a, OsStr> {
    let mut rest = argument.as_bytes();
    let mut filled = Vec::new();
    while let Some(open) = rest.iter().position(|&byte| byte == b'{') {
        let (before, after) = (&rest[..open], &rest[open + 1..]);
        let found = named.iter().find_map(|(name, ports)| {
            let end = after.strip_prefix(name.as_bytes())?.strip_prefix(b"}")?;
            Some((ports, end))
        });
        filled.extend(before);
        match found {
            Some((ports, end)) => {
                filled.extend(ports.as_bytes());
                rest = end;
            }
            None => {
                filled.push(b'{');
                rest = after;
            }
        }
    }
    if filled.is_empty() {
        return Cow::Borrowed(argument);
    }
    filled.extend(rest);
    Cow::Owned(OsString::from_vec(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_were_given_are_filled_in() {
        let named = [("A", "1".to_owned()), ("AB", "2,3".to_owned())];
        for (argument, expected) in [
            ("", ""),
            ("x", "x"),
            ("{A}", "1"),
            ("--p={AB},{A}{A}", "--p=2,3,11"),
            ("{{A}}", "{1}"),
            ("{B}{", "{B}{"),
            ("{A", "{A"),
            ("{a} ${A}", "{a} $1"),
            ("{}}{ABC}", "{}}{ABC}"),
        ] {
            assert_eq!(fill_in(OsStr::new(argument), &named), OsStr::new(expected));
        }
        let bytes = OsStr::from_bytes(b"\xff{A}\xfe");
        assert_eq!(fill_in(bytes, &named).as_bytes(), b"\xff1\xfe");
        assert_eq!(fill_in(bytes, &[]).as_bytes(), bytes.as_bytes());
    }
}
