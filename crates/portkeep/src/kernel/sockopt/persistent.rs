//! Persistent reservations: the socket options CREATE, DELETE and LOOKUP.

use std::io;

use crate::kernel::in_the_way::name_owner;
use crate::kernel::option::{decode, get, protocol_of, recorded_conflict};
use crate::netns;
use crate::socket::AsSocket;
use crate::sys;
use crate::types::abi::{self, SOL_PORTKEEP};
use crate::types::{Consumer, CreateFlags, DeleteFlags, Error, PortRange, Token};

/// Reserves `count` ports of the socket's protocol and network namespace until they are deleted, or
/// until the next boot. Takes `CAP_NET_ADMIN` over the network namespace.
///
/// `start` 0 is a wildcard: any free block of the pool. `align` is a power of two that the start is
/// a multiple of; 0 means 1. At most [`abi::PORTKEEP_CONSUMERS_MAX`] `consumers` may bind there
/// without associating, their ids as the caller sees them. The socket is not tied to the reservation.
///
/// # Errors
///
/// [`NotAdministrator`](crate::ErrorKind::NotAdministrator) without the privilege;
/// [`Reserved`](crate::ErrorKind::Reserved), [`InUse`](crate::ErrorKind::InUse),
/// [`NoFreeBlock`](crate::ErrorKind::NoFreeBlock),
/// [`AutomaticRange`](crate::ErrorKind::AutomaticRange),
/// [`NotPermitted`](crate::ErrorKind::NotPermitted),
/// [`NotFound`](crate::ErrorKind::NotFound), with [`CreateFlags::CHANGE`];
/// [`InvalidInput`](crate::ErrorKind::InvalidInput), also for a user or group that is not mapped in
/// the caller's user namespace; [`TablesFull`](crate::ErrorKind::TablesFull).
#[doc(alias = "CreatePersistentTcpPortReservation")]
#[doc(alias = "CreatePersistentUdpPortReservation")]
pub fn create(
    socket: impl AsSocket,
    start: u16,
    count: u16,
    align: u16,
    flags: CreateFlags,
    consumers: &[Consumer],
) -> Result<(PortRange, Token), Error> {
    let socket = socket.as_fd();
    let protocol = protocol_of(socket)?;
    let range = match start {
        0 if count == 0 => return Err(Error::invalid_input("the number of ports must not be 0")),
        0 => None,
        _ => Some(PortRange::with_count(protocol, start, count)?),
    };
    if consumers.len() > abi::PORTKEEP_CONSUMERS_MAX {
        return Err(Error::invalid_input(format!(
            "{} consumers are too many: a reservation can have {}",
            consumers.len(),
            abi::PORTKEEP_CONSUMERS_MAX
        )));
    }
    let request = abi::AcquireRequest {
        range: abi::Range {
            start: abi::Be16::new(start),
            count,
        },
        flags: flags.bits(),
        align,
        reserved: [0; 6],
    };
    let mut value = sys::bytes_of(&request).to_vec();
    for consumer in consumers {
        value.extend_from_slice(sys::bytes_of(&consumer.record()));
    }
    patiently(|| sys::set_option_bytes(socket, SOL_PORTKEEP, abi::PORTKEEP_CREATE, &value))
        .map_err(|error| {
            let refusal = Error::from_create(error, range, count, recorded_conflict(socket));
            name_owner(refusal, || netns::cookie_of(socket))
        })?;
    // The kernel part remembers the last result by socket and thread, so it is read right here.
    let doing = "reading which ports were reserved";
    let instance: abi::Instance = get(socket, abi::PORTKEEP_CREATE, doing)?;
    decode(instance, protocol, doing)
}

/// Ends a persistent reservation of the socket's protocol and network namespace, which is of exactly
/// these ports unless `flags` say otherwise. Takes `CAP_NET_ADMIN` over the network namespace.
///
/// Sockets that are bound there stay so.
///
/// # Errors
///
/// [`NotAdministrator`](crate::ErrorKind::NotAdministrator) without the privilege;
/// [`NotFound`](crate::ErrorKind::NotFound), [`InvalidInput`](crate::ErrorKind::InvalidInput);
/// [`TablesFull`](crate::ErrorKind::TablesFull) if there is no room for the second half of a block.
#[doc(alias = "DeletePersistentTcpPortReservation")]
#[doc(alias = "DeletePersistentUdpPortReservation")]
pub fn delete(
    socket: impl AsSocket,
    start: u16,
    count: u16,
    flags: DeleteFlags,
) -> Result<(), Error> {
    let socket = socket.as_fd();
    let range = PortRange::with_count(protocol_of(socket)?, start, count)?;
    let request = abi::DeleteRequest {
        range: range.into(),
        flags: flags.bits(),
    };
    patiently(|| sys::set_option(socket, SOL_PORTKEEP, abi::PORTKEEP_DELETE, &request))
        .map_err(|error| Error::from_persistent_call("deleting", error, range))
}

/// Calls again while another call changes the block, or a connect() chooses its port there: some
/// microseconds.
fn patiently(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut tries = 0..CHANGE_TRIES;
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && tries.next().is_some() => {
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

/// How often a block that others use is tried to be changed.
const CHANGE_TRIES: u32 = 1000;

/// The token of the persistent reservation of exactly these ports, in the socket's network namespace
/// or in every one. It takes no privilege; to associate a socket with it does.
///
/// # Errors
///
/// [`NotFound`](crate::ErrorKind::NotFound), [`InvalidInput`](crate::ErrorKind::InvalidInput)
#[doc(alias = "LookupPersistentTcpPortReservation")]
#[doc(alias = "LookupPersistentUdpPortReservation")]
pub fn lookup(socket: impl AsSocket, start: u16, count: u16) -> Result<Token, Error> {
    let socket = socket.as_fd();
    let protocol = protocol_of(socket)?;
    let range = PortRange::with_count(protocol, start, count)?;
    let request: abi::Range = range.into();
    sys::set_option(socket, SOL_PORTKEEP, abi::PORTKEEP_LOOKUP, &request)
        .map_err(|error| Error::from_persistent_call("looking up", error, range))?;
    let doing = "reading which reservation was found";
    let instance: abi::Instance = get(socket, abi::PORTKEEP_LOOKUP, doing)?;
    decode(instance, protocol, doing).map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ErrorKind;
    use std::net::UdpSocket;

    #[test]
    fn what_needs_no_kernel_part_to_be_refused() -> Result<(), Box<dyn std::error::Error>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let create = |start, count, consumers: &[Consumer]| {
            super::create(&socket, start, count, 1, CreateFlags::ADOPT, consumers)
        };
        let nine = [Consumer::EVERYBODY; 9];
        for error in [
            create(0, 0, &[]).expect_err("no port"),
            create(65535, 2, &[]).expect_err("past the last port"),
            create(5, 1, &nine).expect_err("too many consumers"),
            delete(&socket, 0, 1, DeleteFlags::default()).expect_err("port 0"),
            lookup(&socket, 5, 0).expect_err("no port"),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(error.errno(), Some(libc::EINVAL));
        }
        Ok(())
    }

    #[test]
    fn flags() {
        let both = CreateFlags::ADOPT | CreateFlags::EVERY_NETNS;
        assert_eq!(both.bits(), abi::PORTKEEP_ADOPT | abi::PORTKEEP_EVERY_NETNS);
        let mut flags = DeleteFlags::default();
        flags |= DeleteFlags::PART;
        assert_eq!(flags.bits(), abi::PORTKEEP_PART);
    }
}
