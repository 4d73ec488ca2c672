//! Binds that are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portkeep::sockopt;
use portkeep_tests::enable::enable;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::holder::{Holder, socket};
use crate::ledger::{USER, assert_charged, unchanged};
use crate::refusal::{NONE, of, reserved};

const START: u16 = 10100;
const END: u16 = START + 99;

type New = fn() -> Socket;

/// Asserts that no unassociated socket binds in the block, and that each is told why.
#[track_caller]
fn assert_strangers_refused(sandbox: &Sandbox, protocol: Protocol) {
    let (v4, v6): (New, New) = match protocol {
        Protocol::Tcp => (sock::tcp4, sock::tcp6),
        Protocol::Udp => (sock::udp4, sock::udp6),
    };
    for (new, address) in [
        (v4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        (v4, Ipv4Addr::new(127, 9, 9, 9).into()),
        (v6, Ipv6Addr::UNSPECIFIED.into()),
        (v6, Ipv6Addr::LOCALHOST.into()),
        (v6, Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()),
    ] {
        for port in [START, START + 50, END] {
            let stranger = new();
            sock::reuseaddr(&stranger, true);
            sock::reuseport(&stranger, true);
            assert_eq!(raw::conflict(&stranger), Ok(NONE));
            assert_errno!(sock::bind(&stranger, address, port), EADDRINUSE);
            let conflict = assert_ok!(raw::conflict(&stranger));
            assert_eq!(conflict, reserved(sandbox, protocol, port));
            let told = sockopt::conflict(&stranger).expect("the library reads the record");
            assert_eq!(
                (told.port, told.owner_pid),
                (Some(port), Some(conflict.owner_pid))
            );
            assert_eq!(sock::local_port(&stranger), 0);
            assert_ok!(sock::bind(&stranger, address, END + 1));
        }
        assert_ok!(sock::bind(new(), address, START - 1));
    }
}

pub(crate) fn a_stranger_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    for (protocol, uid) in [(Protocol::Tcp, 0), (Protocol::Udp, USER)] {
        let holder = Holder::start(uid, protocol, START, 100);
        assert_eq!(
            reserved(sandbox, protocol, START).owner_pid,
            holder.child.pid()
        );
        unchanged(sandbox, || assert_strangers_refused(sandbox, protocol));
        drop(holder);
        assert_ok!(sock::bind_any(socket(protocol), START));
    }
    assert_charged(USER, 0);
}

pub(crate) fn the_owner_is_refused_unassociated(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        assert_ok!(raw::acquire4(&own, START, 100));
        unchanged(sandbox, || assert_strangers_refused(sandbox, protocol));
        assert_errno!(sock::bind_any(&own, START), EADDRINUSE);
        assert_eq!(
            assert_ok!(raw::conflict(&own)),
            reserved(sandbox, protocol, START)
        );
    }
}

/// Whoever reads why a call was refused must not be told about an earlier one.
pub(crate) fn a_record_is_about_the_last_refusal(sandbox: &Sandbox) {
    enable(sandbox);
    let own = sock::tcp4();
    let token = assert_ok!(raw::acquire(&own, START, 100)).token;
    let refused = || {
        let refused = sock::tcp4();
        assert_errno!(raw::acquire4(&refused, 40000, 1), EADDRNOTAVAIL);
        let automatic = of(raw::CONFLICT_AUTOMATIC, Protocol::Tcp, 40000);
        assert_eq!(raw::conflict(&refused), Ok(automatic));
        refused
    };
    let bound_in_block = refused();
    assert_errno!(sock::bind_any(&bound_in_block, START), EADDRINUSE);
    let expected = reserved(sandbox, Protocol::Tcp, START);
    assert_eq!(raw::conflict(&bound_in_block), Ok(expected));
    assert_errno!(raw::acquire4(&bound_in_block, 40001, 1), EADDRNOTAVAIL);
    assert_eq!(assert_ok!(raw::conflict(&bound_in_block)).port, 40001);

    let senseless = refused();
    assert_errno!(raw::acquire4(&senseless, START, 0), EINVAL);
    assert_eq!(
        raw::conflict(&senseless),
        Ok(NONE),
        "after a senseless acquire"
    );
    let outside = refused();
    assert_ok!(raw::associate(&outside, token));
    assert_errno!(sock::bind_any(&outside, END + 1), EADDRNOTAVAIL);
    assert_eq!(
        raw::conflict(&outside),
        Ok(NONE),
        "after a bind outside the block"
    );
}
