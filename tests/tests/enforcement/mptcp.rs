//! Multipath TCP: the socket is no TCP socket, the ports that it takes are TCP ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portkeep_tests::socket2::Domain;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw, sock};

use crate::scene::{END, START, acquire};

pub(crate) fn listeners_are_refused(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let addresses = [
        (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        (Domain::IPV4, Ipv4Addr::LOCALHOST.into()),
        (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
        (Domain::IPV6, Ipv6Addr::LOCALHOST.into()),
    ];
    for (domain, address) in addresses {
        let listener = match sock::mptcp(domain) {
            Err(errno @ (libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)) => {
                println!("no MPTCP here: {}", portkeep_tests::errno_name(errno));
                return;
            }
            socket => assert_ok!(socket),
        };
        let owner = acquire(Protocol::Tcp, 0);
        for port in [START, END] {
            assert_errno!(sock::bind(&listener, address, port), EADDRINUSE);
        }
        assert_ok!(sock::bind(&listener, address, END + 1));
        assert_ok!(sock::listen(&listener));

        let next = assert_ok!(sock::mptcp(domain));
        drop(owner);
        assert_ok!(sock::bind(&next, address, START));
        assert_ok!(sock::listen(&next));
        // And the other way round: its port is in use.
        let acquirer = sock::tcp4();
        assert_errno!(raw::acquire4(&acquirer, START, 1), EADDRINUSE);
        let conflict = assert_ok!(raw::conflict(&acquirer));
        assert_eq!(
            (conflict.kind, conflict.port),
            (raw::CONFLICT_IN_USE, START)
        );
    }
}
