//! The calls of `ws2_32.dll` that the crate makes.

use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::windows::io::{AsRawSocket, BorrowedSocket, FromRawSocket, OwnedSocket};
use std::sync::OnceLock;

use super::code::WSAEINVAL;
use crate::types::Protocol;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 23;
const SOL_SOCKET: c_int = 0xFFFF;
const SO_TYPE: c_int = 0x1008;
const SOCKET_ERROR: c_int = -1;
const INVALID_SOCKET: usize = usize::MAX;
/// The longest queue of `listen`.
pub(crate) const SOMAXCONN: c_int = 0x7FFF_FFFF;
const SO_PROTOCOL_INFOW: c_int = 0x2005;
/// The length of a `WSAPROTOCOL_INFOW`, and where its `iAddressFamily` is.
const PROTOCOL_INFO_LENGTH: usize = 628;
const PROTOCOL_INFO_FAMILY: usize = 76;
const WSA_FLAG_OVERLAPPED: u32 = 0x01;
const WSA_FLAG_NO_HANDLE_INHERIT: u32 = 0x80;

#[link(name = "ws2_32")]
unsafe extern "system" {
    fn WSAStartup(version: u16, data: *mut c_void) -> c_int;
    fn WSAGetLastError() -> c_int;
    fn WSASocketW(
        family: c_int,
        kind: c_int,
        protocol: c_int,
        info: *const c_void,
        group: u32,
        flags: u32,
    ) -> usize;
    fn WSAIoctl(
        socket: usize,
        code: u32,
        input: *const c_void,
        input_length: u32,
        output: *mut c_void,
        output_length: u32,
        returned: *mut u32,
        overlapped: *mut c_void,
        routine: *const c_void,
    ) -> c_int;
    fn bind(socket: usize, address: *const c_void, length: c_int) -> c_int;
    fn listen(socket: usize, backlog: c_int) -> c_int;
    fn getsockname(socket: usize, name: *mut c_void, length: *mut c_int) -> c_int;
    fn getsockopt(
        socket: usize,
        level: c_int,
        option: c_int,
        value: *mut c_void,
        length: *mut c_int,
    ) -> c_int;
}

/// A value that can be given to or taken from the system as bytes.
///
/// # Safety
///
/// It is made of integers, for which every bit pattern is a value, and has Windows' layout.
pub(crate) unsafe trait Plain: Copy {}

/// `INET_PORT_RANGE`; the start is in network byte order.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Range {
    pub(crate) start: u16,
    pub(crate) count: u16,
}

/// `INET_PORT_RESERVATION_INSTANCE`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Instance {
    pub(crate) range: Range,
    pub(crate) padding: u32,
    pub(crate) token: u64,
}

const _: () = {
    assert!(size_of::<Range>() == 4);
    assert!(size_of::<Instance>() == 16 && align_of::<Instance>() == 8);
    assert!(mem::offset_of!(Instance, token) == 8);
};

// SAFETY: two integers.
unsafe impl Plain for Range {}
// SAFETY: integers without padding, as asserted.
unsafe impl Plain for Instance {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}

fn check(result: c_int) -> Result<(), i32> {
    match result {
        // SAFETY: it takes nothing.
        SOCKET_ERROR => Err(unsafe { WSAGetLastError() }),
        _ => Ok(()),
    }
}

fn start() -> Result<(), i32> {
    static STARTED: OnceLock<i32> = OnceLock::new();
    let code = *STARTED.get_or_init(|| {
        // WSADATA, which is shorter on 64-bit and on 32-bit.
        let mut data = [0_u64; 64];
        // SAFETY: `data` has room for a WSADATA. It is never cleaned up, as std's start is not.
        unsafe { WSAStartup(0x0202, data.as_mut_ptr().cast()) }
    });
    match code {
        0 => Ok(()),
        code => Err(code),
    }
}

/// A socket that child processes do not inherit.
pub(crate) fn socket(protocol: Protocol, ipv6: bool) -> Result<OwnedSocket, i32> {
    start()?;
    let family = if ipv6 { AF_INET6 } else { AF_INET };
    let flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    // SAFETY: the pointer may be null.
    let socket = unsafe {
        WSASocketW(
            family.into(),
            protocol.socket_type(),
            protocol.number(),
            std::ptr::null(),
            0,
            flags,
        )
    };
    if socket == INVALID_SOCKET {
        // SAFETY: it takes nothing.
        return Err(unsafe { WSAGetLastError() });
    }
    // SAFETY: the system has just returned this socket, nobody else owns it.
    Ok(unsafe { OwnedSocket::from_raw_socket(socket as _) })
}

fn raw(socket: BorrowedSocket<'_>) -> usize {
    socket.as_raw_socket() as usize
}

/// A blocking control call without output.
pub(crate) fn control<T: Plain>(
    socket: BorrowedSocket<'_>,
    code: u32,
    input: &T,
) -> Result<(), i32> {
    ioctl(socket, code, input, std::ptr::null_mut(), 0)
}

/// A blocking control call with an output.
pub(crate) fn control_with_output<T: Plain, U: Plain>(
    socket: BorrowedSocket<'_>,
    code: u32,
    input: &T,
) -> Result<U, i32> {
    let mut output = MaybeUninit::<U>::zeroed();
    ioctl(
        socket,
        code,
        input,
        output.as_mut_ptr().cast(),
        size_of::<U>() as u32,
    )?;
    // SAFETY: the value began as zeros, and any bytes that were written make a valid one.
    Ok(unsafe { output.assume_init() })
}

fn ioctl<T: Plain>(
    socket: BorrowedSocket<'_>,
    code: u32,
    input: &T,
    output: *mut c_void,
    output_length: u32,
) -> Result<(), i32> {
    let mut returned = 0;
    // SAFETY: the pointers and lengths describe values that outlive the call, which is not overlapped.
    check(unsafe {
        WSAIoctl(
            raw(socket),
            code,
            (&raw const *input).cast(),
            size_of::<T>() as u32,
            output,
            output_length,
            &raw mut returned,
            std::ptr::null_mut(),
            std::ptr::null(),
        )
    })
}

/// The protocol by `SO_TYPE`, which a raw socket does not have either.
pub(crate) fn protocol_of(socket: BorrowedSocket<'_>) -> Result<Option<Protocol>, i32> {
    let (mut kind, mut length) = (0_i32, size_of::<i32>() as c_int);
    // SAFETY: the pointers describe `kind`, an int.
    check(unsafe {
        getsockopt(
            raw(socket),
            SOL_SOCKET,
            SO_TYPE,
            (&raw mut kind).cast(),
            &raw mut length,
        )
    })?;
    Ok([Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .find(|protocol| protocol.socket_type() == kind))
}

/// `SOCKADDR_IN` in 16 bytes, `SOCKADDR_IN6` in 28.
pub(crate) fn bind_to(socket: BorrowedSocket<'_>, address: SocketAddr) -> Result<(), i32> {
    let mut bytes = [0_u8; 28];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    let length = match address {
        SocketAddr::V4(address) => {
            bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            16
        }
        SocketAddr::V6(address) => {
            bytes[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..].copy_from_slice(&address.scope_id().to_ne_bytes());
            28
        }
    };
    // SAFETY: the pointer and the length describe `bytes`, an address of its family.
    check(unsafe { bind(raw(socket), bytes.as_ptr().cast(), length) })
}

/// `listen`
pub(crate) fn start_listening(socket: BorrowedSocket<'_>, backlog: c_int) -> Result<(), i32> {
    // SAFETY: it takes no pointers.
    check(unsafe { listen(raw(socket), backlog) })
}

/// Where `listen` would bind an IPv4 or IPv6 stream socket that has no port yet, if Windows did as
/// Linux does; `None` for other sockets.
pub(crate) fn unbound_stream(socket: BorrowedSocket<'_>) -> Result<Option<SocketAddr>, i32> {
    if bound_port(socket)?.is_some() || protocol_of(socket)? != Some(Protocol::Tcp) {
        return Ok(None);
    }
    // The family is in the `WSAPROTOCOL_INFOW` of the socket.
    let mut info = [0_i32; PROTOCOL_INFO_LENGTH / 4];
    let mut length = PROTOCOL_INFO_LENGTH as c_int;
    // SAFETY: the pointers describe `info`, which is as long as a WSAPROTOCOL_INFOW.
    check(unsafe {
        getsockopt(
            raw(socket),
            SOL_SOCKET,
            SO_PROTOCOL_INFOW,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    let family = info[PROTOCOL_INFO_FAMILY / 4];
    Ok([
        (AF_INET, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        (AF_INET6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    ]
    .into_iter()
    .find(|(number, _)| i32::from(*number) == family)
    .map(|(_, address)| SocketAddr::new(address, 0)))
}

/// The port of a socket that has a name, which `getsockname` refuses with `WSAEINVAL` otherwise.
pub(crate) fn bound_port(socket: BorrowedSocket<'_>) -> Result<Option<u16>, i32> {
    let mut address = [0_u8; 128];
    let mut length = size_of_val(&address) as c_int;
    // SAFETY: the pointers describe `address`, which is as long as a SOCKADDR_STORAGE.
    let named = unsafe { getsockname(raw(socket), address.as_mut_ptr().cast(), &raw mut length) };
    match check(named) {
        // Both families have the port, in network byte order, behind the family.
        Ok(()) => Ok(Some(u16::from_be_bytes([address[2], address[3]]))),
        Err(WSAEINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}
