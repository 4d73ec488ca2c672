//! Rules that take away the packets of reserved ports.

use std::io;

use portkeep_admin::Installation;

use crate::doctor::check::{Check, State};
use crate::locations::list;
use crate::neighbours::{Ruleset, virtual_services};
use crate::reservation_document::is_everywhere;

pub fn check(installation: &Installation) -> Check {
    const NAME: &str = "redirected ports";
    let ruleset = match Ruleset::read() {
        Ok(ruleset) => ruleset,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Check::not_ok(
                NAME,
                State::Unknown,
                "only root can see it",
                "run this as root",
            );
        }
        Err(error) => return Check::error(NAME, State::Unknown, error),
    };
    let own = portkeep::netns_cookie().unwrap_or(0);
    let entries = list(installation).unwrap_or_default();
    let here = entries
        .iter()
        .filter(|entry| entry.netns_cookie == own || is_everywhere(entry));
    let mut messages = Vec::new();
    for entry in here {
        let range = entry.range;
        let (protocol, start, end) = (range.protocol(), range.start(), range.end());
        let mut redirects = ruleset.redirects(protocol, start, end);
        redirects.extend(virtual_services(protocol, start, end));
        messages.extend(redirects.iter().map(|it| it.words(&range.to_string())));
    }
    if messages.is_empty() && ruleset.is_partial {
        return Check::not_ok(
            NAME,
            State::Unknown,
            "without nft(8) the rules of nftables are not seen",
            "install the package nftables",
        );
    }
    if messages.is_empty() {
        return Check::ok(
            NAME,
            "no NAT rule or IPVS service redirects a reserved port",
        );
    }
    Check::not_ok(
        NAME,
        State::Warning,
        messages.join("\n"),
        "`nft list ruleset` and `iptables-save` show the rules; who made them removes them",
    )
}
