//! Ports that cannot be had.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::process;

use portkeep::{ConflictKind, Error, ErrorKind};
use portkeep_tests::time_wait::{self, Side};
use portkeep_tests::{Sandbox, libc};

use crate::backends::{each, request};
use crate::strangers::assert_free;

#[track_caller]
fn assert_refused(error: &Error, kind: ErrorKind, port: u16) {
    assert_eq!(
        (error.kind(), error.errno()),
        (kind, Some(libc::EADDRINUSE))
    );
    let conflict = error.conflict().expect("a conflict");
    assert_eq!(conflict.port, Some(port), "{error}");
    assert!(
        error.to_string().starts_with(&format!("port {port}/")),
        "{error}"
    );
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("portkeep why"))
    );
}

pub(crate) fn a_bound_port_is_named(sandbox: &Sandbox) {
    each(sandbox, |_| {
        for number in 0..4 {
            let sockets = match number {
                0 => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 61103)).map(Into::into),
                1 => UdpSocket::bind((Ipv6Addr::LOCALHOST, 61103)).map(Into::into),
                2 => TcpListener::bind((Ipv4Addr::LOCALHOST, 61103)).map(Into::into),
                _ => TcpListener::bind((Ipv6Addr::UNSPECIFIED, 61103)).map(Into::into),
            };
            let bound: std::os::fd::OwnedFd = sockets.expect("bind");
            let wanted = match number {
                0 | 1 => request().udp(),
                _ => request().tcp(),
            };
            let error = wanted.range(61100..=61107).acquire().expect_err("in use");
            assert_refused(&error, ErrorKind::InUse, 61103);
            drop(bound);
            assert_free(61100..=61107);
        }
    });
}

pub(crate) fn a_reserved_port_is_named_with_its_owner(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let _first = request()
            .udp()
            .range(61104..=61110)
            .acquire()
            .expect("acquire");
        let error = request()
            .udp()
            .range(61100..=61107)
            .acquire()
            .expect_err("reserved");
        assert_refused(&error, ErrorKind::Reserved, 61104);
        let conflict = error.conflict().expect("a conflict");
        assert_eq!(conflict.kind, ConflictKind::Reserved);
        assert_eq!(conflict.owner_pid, Some(process::id()));
        assert!(conflict.owner_command.is_some() && conflict.age().is_some());
        let _other = request()
            .tcp()
            .range(61104..=61110)
            .acquire()
            .expect("another protocol");
    });
}

pub(crate) fn all_or_nothing_over_protocols(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let bound = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 61107)).expect("bind");
        let error = request()
            .tcp()
            .udp()
            .range(61100..=61107)
            .acquire()
            .expect_err("in use");
        assert_refused(&error, ErrorKind::InUse, 61107);
        drop(bound);
        assert_free(61100..=61107);
    });
}

pub(crate) fn a_block_longer_than_the_pool(sandbox: &Sandbox) {
    each(sandbox, |_| {
        for count in [4537, u16::MAX] {
            let error = request().count(count).acquire().expect_err("too long");
            // Whoever may hold or reserve fewer is told that first.
            let kinds = [
                ErrorKind::NoFreeBlock,
                ErrorKind::Quota,
                ErrorKind::DescriptorLimit,
            ];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
        assert_free(61000..=61003);
    });
}

pub(crate) fn what_is_merely_in_time_wait_is_free(sandbox: &Sandbox) {
    each(sandbox, |_| {
        // Where another backend's turn has left none in TIME_WAIT.
        let living = 61100 + (process::id() % 1000) as u16 * 2;
        let port = living + 1;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, living)).expect("listen");
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, living)).expect("connect");
        let (accepted, _) = listener.accept().expect("accept");
        // While the connection lives its port is in use.
        drop(listener);
        let error = request().port(living).acquire().expect_err("in use");
        assert_refused(&error, ErrorKind::InUse, living);
        drop((accepted, client));
        time_wait::leave(Side::Server, Ipv4Addr::LOCALHOST, port);
        let reservation = request().port(port).acquire().expect("acquire");
        crate::strangers::assert_kept(port..=port, &[portkeep::Protocol::Tcp]);
        let _listener = reservation
            .tcp_listener(Ipv4Addr::LOCALHOST, None)
            .expect("listen");
    });
}
