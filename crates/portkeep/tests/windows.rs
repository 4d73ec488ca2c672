//! The native calls on Windows: those of a [`Reservation`], and of the functions that it is made of.
//!
//! Wine has none of them. There `scripts/wine-reserving` plays them, as Microsoft's documentation has them.
//! On Windows the persistent reservations take an elevated administrator.
#![cfg(windows)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};

use portkeep::{
    Backend, Consumers, Error, ErrorKind, PortRange, Protocol, Reservation, Token, persistent,
    sockopt,
};

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.expect_err("a refusal");
    assert!(!error.to_string().is_empty());
    error.kind()
}

/// The tests take ports that others of them must find free.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is not associated is refused, by another error than for ports in use.
#[track_caller]
fn strangers_are_refused(port: u16) {
    let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect_err("a refusal");
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_block_of_the_systems_choice() -> Result<(), Error> {
    let _alone = alone();
    let reservation = Reservation::builder().tcp().count(4).acquire()?;
    assert_eq!(reservation.backend(), Backend::System);
    assert_eq!((reservation.count(), reservation.ranges().count()), (4, 1));
    for port in reservation.start()..=reservation.end() {
        strangers_are_refused(port);
    }
    // The other protocol's ports are not its.
    UdpSocket::bind((Ipv4Addr::LOCALHOST, reservation.start())).expect("a port of UDP");
    let other = Reservation::builder().tcp().count(4).acquire()?;
    assert!(other.start() > reservation.end() || other.end() < reservation.start());
    Ok(())
}

#[test]
fn given_ports_and_who_is_in_the_way() -> Result<(), Error> {
    let _alone = alone();
    let block = Reservation::builder().udp().count(3).acquire()?;
    let (start, end) = (block.start(), block.end());
    for range in [start..=end, start..=start, end..=end + 1] {
        let again = Reservation::builder().udp().range(range).acquire();
        assert_eq!(refused(again), ErrorKind::InUse);
    }
    block.release()?;
    let again = Reservation::builder().udp().range(start..=end).acquire()?;
    assert_eq!((again.start(), again.end()), (start, end));
    drop(again);
    // It went with its socket.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, start)).expect("a free port");
    let over_a_socket = Reservation::builder().udp().port(start).acquire();
    assert_eq!(refused(over_a_socket), ErrorKind::InUse);
    drop(socket);
    Ok(())
}

#[test]
fn both_protocols_and_an_alignment() -> Result<(), Error> {
    let _alone = alone();
    let both = Reservation::builder()
        .tcp()
        .udp()
        .count(2)
        .align(8)
        .acquire()?;
    assert_eq!(both.ranges().count(), 2);
    assert!(both.start().is_multiple_of(8));
    assert_ne!(both.token(Protocol::Tcp), both.token(Protocol::Udp));
    both.udp_socket(Ipv4Addr::LOCALHOST, Some(both.start()))?;
    both.tcp_listener(Ipv4Addr::LOCALHOST, Some(both.start()))?;
    Ok(())
}

#[test]
fn sockets_of_the_reservation() -> Result<(), Error> {
    let _alone = alone();
    let tcp = Reservation::builder().tcp().count(2).acquire()?;
    let first = tcp.tcp_listener(Ipv4Addr::LOCALHOST, None)?;
    let second = tcp.tcp_listener(Ipv4Addr::LOCALHOST, None)?;
    let full = tcp.tcp_listener(Ipv4Addr::LOCALHOST, None);
    assert_eq!(refused(full), ErrorKind::NoFreePort);
    let port = first.local_addr().expect("a name").port();
    assert!((tcp.start()..=tcp.end()).contains(&port));
    let taken = tcp.tcp_listener(Ipv4Addr::LOCALHOST, Some(port));
    assert_eq!(refused(taken), ErrorKind::InUse);
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let outside = tcp.tcp_listener(Ipv4Addr::LOCALHOST, Some(tcp.end() + 1));
    assert_eq!(refused(outside), ErrorKind::OutsideBlock);
    let datagrams = tcp.udp_socket(Ipv4Addr::LOCALHOST, None);
    assert_eq!(refused(datagrams), ErrorKind::WrongProtocol);
    drop((first, second));
    tcp.tcp_listener(Ipv6Addr::LOCALHOST, Some(tcp.end()))?;
    Ok(())
}

#[test]
fn sockets_from_elsewhere() -> Result<(), Error> {
    let _alone = alone();
    let udp = Reservation::builder().udp().acquire()?;
    let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    assert_eq!(refused(udp.associate(&bound)), ErrorKind::AlreadyBound);
    let rebound = udp.bind(&bound, (Ipv4Addr::LOCALHOST, 0));
    assert_eq!(refused(rebound), ErrorKind::AlreadyBound);
    let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    assert_eq!(refused(udp.associate(&stream)), ErrorKind::WrongProtocol);
    Ok(())
}

#[test]
fn tokens() -> Result<(), Error> {
    let _alone = alone();
    let reservation = Reservation::builder().tcp().acquire()?;
    let token = reservation.token(Protocol::Tcp).expect("a token");
    let socket = reservation.sockets().next().expect("a socket");
    sockopt::associate(socket, token)?;
    let unknown = Token::from_raw(token.as_raw() ^ 0x55AA).expect("a number");
    let released = sockopt::release(socket, unknown);
    assert_eq!(refused(released), ErrorKind::UnknownToken);
    // Any socket of the process may release it, of the other protocol, too.
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    sockopt::release(&other, token)?;
    assert_eq!(refused(reservation.release()), ErrorKind::UnknownToken);
    Ok(())
}

#[test]
fn what_windows_does_not_have() {
    let _alone = alone();
    for consumers in [Consumers::PROCESS, Consumers::TREE] {
        let acquired = Reservation::builder().consumers(consumers).acquire();
        assert_eq!(refused(acquired), ErrorKind::InvalidInput);
    }
    for backend in [Backend::Kernel, Backend::Held] {
        let acquired = Reservation::builder().backend(backend).acquire();
        assert_eq!(refused(acquired), ErrorKind::NotSupported);
    }
    assert_eq!(refused(portkeep::list()), ErrorKind::NotSupported);
    assert_eq!(refused(portkeep::version()), ErrorKind::NotSupported);
    let reservation = Reservation::builder().acquire().expect("a reservation");
    let sockets = reservation.into_sockets();
    let claimed = Reservation::claim(sockets).expect_err("a refusal");
    assert_eq!(claimed.error().kind(), ErrorKind::NotSupported);
    // Nothing is lost by that.
    assert_eq!(claimed.into_sockets().len(), 1);
}

#[test]
fn persistent_reservations() -> Result<(), Error> {
    let _alone = alone();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let range = PortRange::with_count(protocol, 27000, 4)?;
        let part = PortRange::with_count(protocol, 27000, 3)?;
        assert_eq!(refused(persistent::lookup(range)), ErrorKind::UnknownToken);
        assert_eq!(refused(persistent::delete(range)), ErrorKind::UnknownToken);
        let token = persistent::create(range)?;
        assert_eq!(persistent::lookup(range)?, token);
        assert_eq!(refused(persistent::create(part)), ErrorKind::InUse);
        // Only the whole of it has a name.
        assert_eq!(refused(persistent::lookup(part)), ErrorKind::UnknownToken);
        assert_eq!(refused(persistent::delete(part)), ErrorKind::UnknownToken);
        let acquired = Reservation::builder()
            .protocol(protocol)
            .port(27003)
            .acquire();
        assert_eq!(refused(acquired), ErrorKind::InUse);
        persistent::delete(range)?;
        assert_eq!(refused(persistent::lookup(range)), ErrorKind::UnknownToken);
    }
    Ok(())
}
