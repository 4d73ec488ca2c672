//! Persistent reservations, by the IP Helper API: they belong to no process and stay until they are
//! deleted.
//!
//! A token may change when the machine starts, so it is looked up. The functions that change
//! something need an elevated administrator.

use super::code;
use crate::types::{Error, ErrorKind, PortRange, Protocol, Token};

#[link(name = "iphlpapi")]
unsafe extern "system" {
    fn CreatePersistentTcpPortReservation(start: u16, count: u16, token: *mut u64) -> u32;
    fn CreatePersistentUdpPortReservation(start: u16, count: u16, token: *mut u64) -> u32;
    fn DeletePersistentTcpPortReservation(start: u16, count: u16) -> u32;
    fn DeletePersistentUdpPortReservation(start: u16, count: u16) -> u32;
    fn LookupPersistentTcpPortReservation(start: u16, count: u16, token: *mut u64) -> u32;
    fn LookupPersistentUdpPortReservation(start: u16, count: u16, token: *mut u64) -> u32;
}

/// Reserves ports until they are deleted.
///
/// # Errors
///
/// [`ErrorKind::InUse`], [`ErrorKind::NotPermitted`], [`ErrorKind::InvalidInput`]
#[doc(alias = "CreatePersistentTcpPortReservation")]
#[doc(alias = "CreatePersistentUdpPortReservation")]
pub fn create(range: PortRange) -> Result<Token, Error> {
    let call = match range.protocol() {
        Protocol::Tcp => CreatePersistentTcpPortReservation,
        Protocol::Udp => CreatePersistentUdpPortReservation,
    };
    let mut token = 0;
    // SAFETY: `token` is a number to write to.
    let result = unsafe { call(range.start().to_be(), range.count(), &raw mut token) };
    check(range, result)?;
    token_of(token)
}

/// Deletes the reservation of exactly these ports.
///
/// # Errors
///
/// [`ErrorKind::UnknownToken`] if there is none; [`ErrorKind::NotPermitted`]
#[doc(alias = "DeletePersistentTcpPortReservation")]
#[doc(alias = "DeletePersistentUdpPortReservation")]
pub fn delete(range: PortRange) -> Result<(), Error> {
    let call = match range.protocol() {
        Protocol::Tcp => DeletePersistentTcpPortReservation,
        Protocol::Udp => DeletePersistentUdpPortReservation,
    };
    // SAFETY: it takes no pointers.
    check(range, unsafe { call(range.start().to_be(), range.count()) })
}

/// The token of the reservation of exactly these ports.
///
/// # Errors
///
/// [`ErrorKind::UnknownToken`] if there is none.
#[doc(alias = "LookupPersistentTcpPortReservation")]
#[doc(alias = "LookupPersistentUdpPortReservation")]
pub fn lookup(range: PortRange) -> Result<Token, Error> {
    let call = match range.protocol() {
        Protocol::Tcp => LookupPersistentTcpPortReservation,
        Protocol::Udp => LookupPersistentUdpPortReservation,
    };
    let mut token = 0;
    // SAFETY: `token` is a number to write to.
    let result = unsafe { call(range.start().to_be(), range.count(), &raw mut token) };
    check(range, result)?;
    token_of(token)
}

fn check(range: PortRange, result: u32) -> Result<(), Error> {
    match result as i32 {
        0 => Ok(()),
        code::ERROR_NOT_FOUND => Err(Error::new(
            ErrorKind::UnknownToken,
            code::ERROR_NOT_FOUND,
            format!("there is no persistent reservation of exactly {range}"),
        )),
        code => Err(code::of_acquire(code, Some(range), range.count())),
    }
}

fn token_of(token: u64) -> Result<Token, Error> {
    Token::from_raw(token).ok_or_else(|| Error::new(ErrorKind::Io, None, "the token is 0"))
}
