//! Acquires of ports that TCP sockets use without having been bound there themselves, or no more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_tests::enable::enable;
use portkeep_tests::socket2::Domain;
use portkeep_tests::time_wait::{self, Side};
use portkeep_tests::{Protocol, Sandbox, assert_ok, sock};

use crate::in_use::{assert_free, assert_in_the_way};
use crate::sysctl;

const PORT: u16 = 10100;

fn addresses() -> [IpAddr; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

pub(crate) fn every_state_of_a_listener_is_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    for address in addresses() {
        let listener = if address.is_ipv4() {
            sock::tcp4()
        } else {
            sock::tcp6()
        };
        assert_ok!(sock::bind(&listener, address, PORT));
        assert_eq!(time_wait::states(PORT), [], "bound, not listening");
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        assert_ok!(sock::listen(&listener));
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        drop(listener);
        assert_free(Protocol::Tcp, PORT);
    }
}

pub(crate) fn a_listeners_child_is_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    for address in addresses() {
        let connection = assert_ok!(sock::connection(address, PORT, 0));
        drop(connection.listener);
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        // The client closes first, so that TIME_WAIT is at its port.
        drop(connection.client);
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        drop(connection.server);
        // Until the client's last acknowledgement has come.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !time_wait::states(PORT).is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        assert_free(Protocol::Tcp, PORT);
    }
}

pub(crate) fn a_connected_client_is_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    for address in addresses() {
        let connection = assert_ok!(sock::connection(address, 10300, PORT));
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        drop(connection);

        sysctl::set("ip_local_port_range", "30000 30007");
        let connection = assert_ok!(sock::connection(address, 10300, 0));
        sysctl::set("ip_local_port_range", "32768 60999");
        let port = sock::local_port(&connection.client);
        assert!((30000..=30007).contains(&port));
        assert_in_the_way(sandbox, Protocol::Tcp, port, 0);
    }
}

pub(crate) fn a_multipath_socket_is_in_the_way(sandbox: &Sandbox) {
    enable(sandbox);
    for domain in [Domain::IPV4, Domain::IPV6] {
        // A kernel without Multipath TCP has no such socket to be in the way.
        let Ok(listener) = sock::mptcp(domain) else {
            continue;
        };
        assert_ok!(sock::bind_any(&listener, PORT));
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        assert_ok!(sock::listen(&listener));
        assert_in_the_way(sandbox, Protocol::Tcp, PORT, 0);
        drop(listener);
        assert_free(Protocol::Tcp, PORT);
    }
}

pub(crate) fn time_wait_alone_is_not(sandbox: &Sandbox) {
    enable(sandbox);
    for (index, address) in (0..).zip(addresses()) {
        for (side, port) in [(Side::Server, 10400 + index), (Side::Client, 10500 + index)] {
            let port = time_wait::leave(side, address, port);
            assert_free(Protocol::Tcp, port);
            assert_eq!(time_wait::states(port), [time_wait::TIME_WAIT]);
        }
    }
}

pub(crate) fn time_wait_beside_a_socket_is(sandbox: &Sandbox) {
    enable(sandbox);
    for (address, port) in addresses().into_iter().zip([PORT, PORT + 200]) {
        time_wait::leave(Side::Server, address, port);
        let bound = if address.is_ipv4() {
            sock::tcp4()
        } else {
            sock::tcp6()
        };
        sock::reuseaddr(&bound, true);
        assert_ok!(sock::bind(&bound, address, port));
        assert_eq!(time_wait::states(port).last(), Some(&time_wait::TIME_WAIT));
        assert_in_the_way(sandbox, Protocol::Tcp, port, 0);
        drop(bound);
        assert_free(Protocol::Tcp, port);
    }
}
