//! Sockets of the owner.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use portkeep::{ErrorKind, Protocol};
use portkeep_tests::{Sandbox, libc, sock};

use crate::backends::{acquired, each, request};
use crate::strangers::socket;

/// Where to bind, and where what comes there is sent to.
const PLACES: [(IpAddr, IpAddr); 5] = [
    (
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
    ),
    (
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
    ),
    (
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ),
    (
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ),
    (
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
    ),
];

fn assert_answers(listener: &TcpListener, at: SocketAddr) {
    let mut client = TcpStream::connect(at).expect("connect");
    let (mut accepted, _) = listener.accept().expect("accept");
    accepted.write_all(b"hello").expect("send");
    drop(accepted);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("receive");
    assert_eq!(text, "hello");
}

fn assert_receives(socket: &UdpSocket, at: SocketAddr) {
    let client = UdpSocket::bind((IpAddr::from(Ipv6Addr::UNSPECIFIED), 0)).expect("bind");
    let at = match at.ip() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), at.port()).into(),
        IpAddr::V6(_) => at,
    };
    client.send_to(b"hello", at).expect("send");
    let mut data = [0; 8];
    assert_eq!(socket.recv(&mut data).expect("receive"), 5);
}

pub(crate) fn listeners_and_sockets_at_every_address(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61102);
        for (address, at) in PLACES {
            let listener = reservation
                .tcp_listener(address, Some(61102))
                .expect("listen");
            assert_eq!(
                listener.local_addr().expect("bound"),
                (address, 61102).into()
            );
            assert_answers(&listener, (at, 61102).into());
            let socket = reservation.udp_socket(address, Some(61102)).expect("bind");
            assert_receives(&socket, (at, 61102).into());
        }
    });
}

pub(crate) fn any_port_until_all_are_taken(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61103);
        let here = Ipv4Addr::LOCALHOST;
        let listeners = [0; 4].map(|_| reservation.tcp_listener(here, None).expect("listen"));
        let mut ports = listeners
            .each_ref()
            .map(|it| it.local_addr().expect("bound").port());
        ports.sort_unstable();
        assert_eq!(ports, [61100, 61101, 61102, 61103]);
        let error = reservation
            .tcp_listener(here, None)
            .expect_err("all are taken");
        assert_eq!(
            (error.kind(), error.errno()),
            (ErrorKind::NoFreePort, Some(libc::EADDRINUSE))
        );
        let [first, ..] = listeners;
        let port = first.local_addr().expect("bound").port();
        drop(first);
        let again = reservation.tcp_listener(here, None).expect("one is free");
        assert_eq!(again.local_addr().expect("bound").port(), port);

        let sockets = [0; 4].map(|_| reservation.udp_socket(here, None).expect("bind"));
        let error = reservation
            .udp_socket(here, None)
            .expect_err("all are taken");
        assert_eq!(error.kind(), ErrorKind::NoFreePort);
        drop(sockets);
    });
}

pub(crate) fn close_and_open_again(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61100);
        for (address, at) in PLACES.into_iter().cycle().take(100) {
            let listener = reservation
                .tcp_listener(address, Some(61100))
                .expect("listen");
            assert_answers(&listener, (at, 61100).into());
            reservation.udp_socket(address, Some(61100)).expect("bind");
        }
    });
}

pub(crate) fn sockets_with_options_keep_them(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61100);
        for (address, _) in PLACES {
            for (reuse, share) in [(false, false), (true, false), (false, true), (true, true)] {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let own = socket(protocol, address);
                    own.set_reuse_address(reuse).expect("set it");
                    own.set_reuse_port(share).expect("set it");
                    reservation.bind(&own, (address, 61100)).expect("bind");
                    if protocol == Protocol::Tcp {
                        reservation.listen(&own, 5).expect("listen");
                    }
                    let flags = (
                        own.reuse_address().expect("ask"),
                        own.reuse_port().expect("ask"),
                    );
                    assert_eq!(flags, (reuse, share));
                    assert_eq!(own.device().expect("ask"), None);
                }
            }
        }
    });
}

pub(crate) fn several_sockets_at_one_port(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61101);
        let v4 = reservation
            .tcp_listener(Ipv4Addr::LOCALHOST, Some(61100))
            .expect("listen");
        let v6 = reservation
            .tcp_listener(Ipv6Addr::LOCALHOST, Some(61100))
            .expect("listen");
        assert_answers(&v4, (Ipv4Addr::LOCALHOST, 61100).into());
        assert_answers(&v6, (Ipv6Addr::LOCALHOST, 61100).into());
        // At the same address only those that all share.
        let error = reservation.tcp_listener(Ipv4Addr::LOCALHOST, Some(61100));
        assert_eq!(error.expect_err("taken").kind(), ErrorKind::InUse);
        drop((v4, v6));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let own = [0; 3].map(|_| {
                let own = socket(protocol, Ipv6Addr::UNSPECIFIED.into());
                own.set_reuse_port(true).expect("set it");
                reservation
                    .bind(&own, (Ipv6Addr::UNSPECIFIED, 61101))
                    .expect("bind");
                if protocol == Protocol::Tcp {
                    reservation.listen(&own, 5).expect("listen");
                }
                own
            });
            if protocol == Protocol::Udp {
                // The kernel spreads senders over those that share.
                for own in &own {
                    own.set_nonblocking(true).expect("set it");
                }
                for _ in 0..200 {
                    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
                    client
                        .send_to(b"x", (Ipv4Addr::LOCALHOST, 61101))
                        .expect("send");
                }
                for own in own {
                    let own = UdpSocket::from(own);
                    assert_eq!(own.recv(&mut [0; 8]).expect("its share"), 1);
                }
            }
        }
    });
}

pub(crate) fn what_is_refused(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = request()
            .tcp()
            .range(61100..=61101)
            .acquire()
            .expect("acquire");
        let here = Ipv4Addr::LOCALHOST;
        let refused = |result: Result<(), portkeep::Error>| result.expect_err("refused").kind();
        let outside = reservation.tcp_listener(here, Some(61102)).map(drop);
        assert_eq!(refused(outside), ErrorKind::OutsideBlock);
        let udp = reservation.udp_socket(here, None).map(drop);
        assert_eq!(refused(udp), ErrorKind::WrongProtocol);
        let own = socket(Protocol::Tcp, here.into());
        assert_eq!(
            refused(reservation.bind(&own, (here, 61102))),
            ErrorKind::OutsideBlock
        );
        let own = socket(Protocol::Tcp, here.into());
        reservation.bind(&own, (here, 61100)).expect("bind");
        assert_eq!(
            refused(reservation.bind(&own, (here, 61100))),
            ErrorKind::AlreadyBound
        );
        let file = std::fs::File::open("/dev/null").expect("open");
        assert_eq!(
            refused(reservation.bind(&file, (here, 61100))),
            ErrorKind::NotASocket
        );
        let unix = std::os::unix::net::UnixDatagram::unbound().expect("make a socket");
        assert_eq!(
            refused(reservation.bind(&unix, (here, 61100))),
            ErrorKind::NotSupportedSocket
        );
    });
}

/// Linux would give them any port.
pub(crate) fn listeners_that_were_not_bound(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let reservation = acquired(61100..=61101);
        for (everywhere, at) in PLACES {
            if !everywhere.is_unspecified() {
                continue;
            }
            let listeners: Vec<_> = (0..2)
                .map(|_| {
                    let listener = socket(Protocol::Tcp, everywhere);
                    // The connections of those before are in TIME_WAIT.
                    listener.set_reuse_address(true).expect("SO_REUSEADDR");
                    reservation.listen(&listener, 1).expect("listen");
                    TcpListener::from(listener)
                })
                .collect();
            let mut ports: Vec<_> = listeners
                .iter()
                .map(|listener| listener.local_addr().expect("an address").port())
                .collect();
            ports.sort_unstable();
            assert_eq!(ports, [61100, 61101]);
            for listener in &listeners {
                let address = listener.local_addr().expect("an address");
                assert!(address.ip().is_unspecified());
                assert_answers(listener, (at, address.port()).into());
                // Once more: the queue's length changes.
                reservation.listen(listener, 2).expect("listen again");
            }
            let full = socket(Protocol::Tcp, everywhere);
            let error = reservation.listen(&full, 1).expect_err("no port is free");
            assert_eq!(error.kind(), ErrorKind::NoFreePort, "{error}");
            assert_eq!(error.errno(), Some(libc::EADDRINUSE));
            assert_eq!(sock::local_port(&full), 0);
            // Not a stream: nothing is bound.
            let datagrams = socket(Protocol::Udp, everywhere);
            let error = reservation.listen(&datagrams, 1).expect_err("no stream");
            assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
            assert_eq!(sock::local_port(&datagrams), 0);
        }
    });
}
