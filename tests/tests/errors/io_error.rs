//! What is left of a refusal that becomes an `io::Error`.

use std::error::Error as _;
use std::io;
use std::net::Ipv4Addr;

use portkeep::{Backend, Error, ErrorKind, Reservation};
use portkeep_tests::{Sandbox, enable, sock};

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// One that the kernel part explains: the explanation is the message.
pub(crate) fn keeps_who_is_in_the_way(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let first = Reservation::builder()
        .backend(Backend::Kernel)
        .acquire()
        .expect("acquire");
    let again = Reservation::builder()
        .port(first.start())
        .backend(Backend::Kernel);
    let error = again.acquire().expect_err("reserved");
    let message = error.to_string();
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(error.to_string(), message);
    assert!(message.contains("is reserved by process"), "{message}");
    let inner = inner(&error).expect("the library's error");
    assert_eq!(
        (inner.kind(), inner.errno()),
        (ErrorKind::Reserved, Some(libc::EADDRINUSE))
    );
}

/// One that the system call explains: its error is the source.
pub(crate) fn keeps_the_error_of_the_call(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for backend in [Backend::Kernel, Backend::Held] {
        let reservation = Reservation::builder()
            .udp()
            .backend(backend)
            .acquire()
            .expect("acquire");
        // An address of nobody's (RFC 5737).
        let elsewhere = (Ipv4Addr::new(203, 0, 113, 1), reservation.start());
        let error = reservation
            .bind(sock::udp4(), elsewhere)
            .expect_err("not an address of ours");
        assert_eq!(
            (error.kind(), error.errno()),
            (ErrorKind::Io, Some(libc::EADDRNOTAVAIL))
        );
        let message = error.to_string();
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(error.to_string(), message);
        let source = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(
            source.and_then(io::Error::raw_os_error),
            Some(libc::EADDRNOTAVAIL)
        );
    }
}
