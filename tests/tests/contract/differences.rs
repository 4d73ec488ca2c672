//! The lines of `docs/backends.md`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use nix::sys::resource::{Resource, setrlimit};
use portkeep::{Backend, Consumers, ErrorKind, Protocol, Reservation, list, list_held};
use portkeep_tests::{Sandbox, libc};

use crate::backends::{acquired, each, request};
use crate::strangers::{assert_free, assert_kept, socket};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

pub(crate) fn tokens_and_association(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let reservation = request().port(61100).acquire().expect("acquire");
        let token = reservation.token(Protocol::Tcp);
        let own = socket(Protocol::Tcp, HERE.into());
        let associated = reservation.associate(&own);
        if backend == Backend::Kernel {
            assert!(token.is_some());
            associated.expect("associate");
        } else {
            assert_eq!(token, None);
            let error = associated.expect_err("held");
            assert_eq!(error.kind(), ErrorKind::NotSupportedHeld);
            assert_eq!(error.errno(), Some(libc::EOPNOTSUPP));
        }
    });
}

pub(crate) fn consumers(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let acquired = request()
            .port(61100)
            .consumers(Consumers::PROCESS)
            .acquire();
        if backend == Backend::Kernel {
            let _reservation = acquired.expect("acquire");
            std::net::TcpListener::bind((HERE, 61100)).expect("bind");
        } else {
            assert_eq!(
                acquired.expect_err("held").kind(),
                ErrorKind::NotSupportedHeld
            );
            assert_free(61100..=61100);
        }
    });
}

pub(crate) fn claims(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let sockets = request()
            .port(61100)
            .acquire()
            .expect("acquire")
            .into_sockets();
        let claimed = Reservation::claim(sockets);
        if backend == Backend::Kernel {
            drop(claimed.expect("claim"));
        } else {
            let error = claimed.expect_err("held");
            assert_eq!(error.error().kind(), ErrorKind::NotEnabled);
            // They hold the port all the same.
            assert_kept(61100..=61100, &[Protocol::Tcp]);
            assert_eq!(error.into_sockets().len(), 1);
        }
    });
}

pub(crate) fn automatic_ports(sandbox: &Sandbox) {
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40019").expect("set it");
    each(sandbox, |backend| {
        let wanted = || request().tcp().udp().range(40004..=40015);
        if backend == Backend::Kernel {
            for request in [
                wanted().backend(backend),
                // Sockets could let nobody in.
                wanted().consumers(Consumers::PROCESS),
            ] {
                let error = request.acquire().expect_err("automatic");
                assert_eq!(error.kind(), ErrorKind::AutomaticRange);
                assert_eq!(error.errno(), Some(libc::EADDRNOTAVAIL));
            }
        }
        // Left to choose, the library gives the same answer, by sockets.
        let reservation = wanted().acquire().expect("acquire");
        assert_eq!(reservation.backend(), Backend::Held);
        assert_kept(40004..=40015, &[Protocol::Tcp, Protocol::Udp]);
        let listener = reservation.tcp_listener(HERE, Some(40004));
        drop(listener.expect("listen"));
        let mut taken = Vec::new();
        while let Ok(socket) = UdpSocket::bind((HERE, 0)) {
            assert!(
                !reservation
                    .ports()
                    .any(|it| it == socket.local_addr().expect("bound").port())
            );
            taken.push(socket);
        }
        assert!(!taken.is_empty());
        let mut connected = Vec::new();
        let listener = std::net::TcpListener::bind((HERE, 61100)).expect("listen");
        let address = listener.local_addr().expect("bound");
        while let Ok(stream) = std::net::TcpStream::connect(address) {
            let port = stream.local_addr().expect("bound").port();
            assert!(!reservation.ports().any(|it| it == port));
            connected.push(stream);
        }
        assert!(!connected.is_empty());
    });
}

/// Only the block that needs sockets is held by them.
pub(crate) fn automatic_ports_beside_others(sandbox: &Sandbox) {
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40019").expect("set it");
    std::fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", "40010").expect("set it");
    each(sandbox, |backend| {
        let of = |ports| {
            let reservation = request().tcp().range(ports).acquire().expect("acquire");
            reservation.backend()
        };
        assert_eq!(of(40010..=40010), backend);
        assert_eq!(of(40009..=40010), Backend::Held);
        assert_eq!(of(39990..=40000), Backend::Held);
        assert_eq!(of(61100..=61100), backend);
        assert_eq!(request().acquire().expect("acquire").backend(), backend);
        // Whoever comes second is told of the first, in both orders.
        let held = request().port(40005).acquire().expect("acquire");
        let error = request().port(40005).acquire().expect_err("held");
        assert_eq!(error.kind(), ErrorKind::Reserved);
        drop(held);
        assert_free(39990..=40019);
    });
}

pub(crate) fn limits(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        setrlimit(Resource::RLIMIT_NOFILE, 64, 64).expect("set the limit");
        let acquired = request().udp().range(61100..=61199).acquire();
        if backend == Backend::Kernel {
            drop(acquired.expect("acquire"));
        } else {
            let error = acquired.expect_err("more than descriptors");
            assert_eq!(error.kind(), ErrorKind::DescriptorLimit);
            assert_eq!(error.errno(), Some(libc::EMFILE));
            assert!(error.hint().is_some_and(|hint| hint.contains("ulimit")));
        }
        assert_free(61100..=61101);
    });
}

pub(crate) fn lists(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let reservation = request()
            .udp()
            .range(61100..=61101)
            .acquire()
            .expect("acquire");
        let range = reservation.range(Protocol::Udp).expect("a range");
        let netns = portkeep::netns_cookie().expect("the network namespace");
        let all_held = || {
            list_held()
                .into_iter()
                .filter(|entry| entry.netns_cookie == netns)
        };
        let held: Vec<_> = all_held().collect();
        let kernel = list().unwrap_or_default();
        if backend == Backend::Kernel {
            assert_eq!((held.len(), kernel.len()), (0, 1));
            assert_eq!(kernel[0].range, range);
        } else {
            assert_eq!((held.len(), kernel.len()), (1, 0));
            assert_eq!(
                (held[0].range, held[0].owner.pid),
                (range, std::process::id())
            );
        }
        drop(reservation);
        assert_eq!(all_held().count() + list().unwrap_or_default().len(), 0);
    });
}

pub(crate) fn release_with_copies(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let reservation = request().port(61100).acquire().expect("acquire");
        let copies: Vec<OwnedFd> = reservation
            .sockets()
            .map(|socket| socket.try_clone_to_owned().expect("copy"))
            .collect();
        reservation.release().expect("release");
        match backend {
            Backend::Kernel => assert_free(61100..=61100),
            _ => assert_kept(61100..=61100, &[Protocol::Tcp]),
        }
        drop(copies);
        assert_free(61100..=61100);
    });
}

/// One passes beside an owner's UDP socket that shares all IPv6 addresses, and no others, until that is
/// closed.
pub(crate) fn sockets_bound_to_devices(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let reservation = acquired(61100..=61100);
        let passes = |protocol| {
            let stranger = socket(protocol, HERE.into());
            stranger
                .bind_device(Some(b"lo"))
                .expect("bind to the device");
            stranger
                .bind(&SocketAddr::from((HERE, 61100)).into())
                .is_ok()
        };
        assert!(!passes(Protocol::Tcp) && !passes(Protocol::Udp));
        let owner = socket(Protocol::Udp, Ipv6Addr::UNSPECIFIED.into());
        owner.set_only_v6(true).expect("set it");
        owner.set_reuse_port(true).expect("set it");
        reservation
            .bind(&owner, (Ipv6Addr::UNSPECIFIED, 61100))
            .expect("bind");
        assert!(!passes(Protocol::Tcp));
        assert_eq!(passes(Protocol::Udp), backend == Backend::Held);
        drop(owner);
        // The next one has the port back.
        reservation.udp_socket(HERE, Some(61100)).expect("bind");
        assert!(!passes(Protocol::Tcp) && !passes(Protocol::Udp));
    });
}

/// Of UDP over IPv4, sockets of the same user that set `SO_REUSEPORT` as an owner did share its port.
pub(crate) fn sockets_that_share_with_an_owner(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let reservation = acquired(61100..=61100);
        for address in [
            HERE.into(),
            IpAddr::from(Ipv6Addr::UNSPECIFIED),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let sharing = || {
                    let sharing = socket(protocol, address);
                    sharing.set_reuse_port(true).expect("set it");
                    sharing
                };
                let owner = sharing();
                reservation.bind(&owner, (address, 61100)).expect("bind");
                if protocol == Protocol::Tcp {
                    assert_kept(61100..=61100, &[protocol]);
                    reservation.listen(&owner, 5).expect("listen");
                }
                let shares = sharing()
                    .bind(&SocketAddr::from((address, 61100)).into())
                    .is_ok();
                let held =
                    backend == Backend::Held && protocol == Protocol::Udp && address.is_ipv4();
                assert_eq!(shares, held, "{protocol}");
                drop(owner);
                assert_kept(61100..=61100, &[protocol]);
            }
        }
    });
}
