//! Making and closing sockets.

use std::ffi::{c_int, c_void};

use crate::address;
use crate::blocking;
use crate::code::Code;
use crate::kernel_wait;
use crate::last_error;
use crate::monitor;
use crate::socket;
use crate::startup;

const WSA_FLAG_OVERLAPPED: u32 = 0x01;
const WSA_FLAG_NO_HANDLE_INHERIT: u32 = 0x80;

/// `AF_INET6` of Windows, where programs take the number from users and files. Linux had it for
/// IrDA, until 4.17.
pub(crate) const WINDOWS_AF_INET6: c_int = 23;

/// Makes a socket that is closed on exec: a program that is started gets none unasked on Windows.
fn create(family: c_int, kind: c_int, protocol: c_int, overlapped: bool) -> Result<c_int, Code> {
    blocking::check_call()?;
    // All under the lock: nobody takes the new socket for the one that had its descriptor before.
    let mut world = monitor::lock();
    startup::check()?;
    let family = match family {
        WINDOWS_AF_INET6 => libc::AF_INET6,
        // Windows has protocols of only one family by default.
        libc::AF_UNSPEC if protocol == 0 => return Err(Code::INVAL),
        libc::AF_UNSPEC => libc::AF_INET,
        family => family,
    };
    // On Windows 0 is the first type that goes with the protocol, and TCP if that is 0 too.
    let kind = match (kind, protocol) {
        (0, 0 | libc::IPPROTO_TCP) => libc::SOCK_STREAM,
        (0, libc::IPPROTO_UDP) => libc::SOCK_DGRAM,
        _ => kind,
    };
    // SAFETY: socket(2) takes no pointers.
    let descriptor = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if descriptor < 0 {
        return Err(Code::last_os_error());
    }
    if family == libc::AF_INET6 {
        // The default on Windows. Of a socket that is not bound the call cannot fail.
        // SAFETY: the pointer and the length describe the number.
        unsafe {
            let on: c_int = 1;
            let length = size_of::<c_int>() as libc::socklen_t;
            let (level, option) = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
            libc::setsockopt(descriptor, level, option, (&raw const on).cast(), length);
        }
    }
    socket::made(&mut world, descriptor, overlapped)?;
    Ok(descriptor)
}

/// `socket`: an overlapped socket, or -1 (`INVALID_SOCKET`).
#[unsafe(no_mangle)]
pub extern "C" fn portkeep_winsock_socket(family: c_int, kind: c_int, protocol: c_int) -> usize {
    number(create(family, kind, protocol, true))
}

/// A `SOCKET`: `INVALID_SOCKET` has all bits set.
fn number(result: Result<c_int, Code>) -> usize {
    last_error::or_socket_error(result) as usize
}

/// `WSASocketW`: a socket, overlapped only with `WSA_FLAG_OVERLAPPED`. `WSAEINVAL` for other flags
/// than that and `WSA_FLAG_NO_HANDLE_INHERIT`, for a socket group and for a protocol catalogue's
/// entry, neither of which there is.
#[unsafe(no_mangle)]
pub extern "C" fn WSASocketW(
    family: c_int,
    kind: c_int,
    protocol: c_int,
    protocol_info: *const c_void,
    group: u32,
    flags: u32,
) -> usize {
    let known = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    let result = match protocol_info.is_null() && group == 0 && flags & !known == 0 {
        true => create(family, kind, protocol, flags & WSA_FLAG_OVERLAPPED != 0),
        false => Err(Code::INVAL),
    };
    number(result)
}

/// `WSASocketA`: what differs from `WSASocketW` is the catalogue's entry.
#[unsafe(no_mangle)]
pub extern "C" fn WSASocketA(
    family: c_int,
    kind: c_int,
    protocol: c_int,
    protocol_info: *const c_void,
    group: u32,
    flags: u32,
) -> usize {
    WSASocketW(family, kind, protocol, protocol_info, group, flags)
}

/// `accept`: the new socket is overlapped if the listening one is, and does not block if that does not.
///
/// # Safety
///
/// As of accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_accept(
    listener: c_int,
    address: *mut libc::sockaddr,
    length: *mut libc::socklen_t,
) -> usize {
    let accept = || {
        blocking::check_call()?;
        address::check_room(listener, address, length)?;
        let overlapped = {
            let mut world = monitor::lock();
            startup::check()?;
            let handle = socket::look_up(&mut world, listener as usize)?;
            world
                .sockets
                .get(handle)
                .is_none_or(|socket| socket.overlapped)
        };
        let flags = match socket::is_nonblocking(listener) {
            true => libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            false => libc::SOCK_CLOEXEC,
        };
        // SAFETY: the caller vouches for the pointers.
        let accept = || unsafe { libc::accept4(listener, address, length, flags) };
        let accept = || match accept() {
            -1 => Err(Code::last_os_error()),
            descriptor => Ok(descriptor),
        };
        let descriptor = kernel_wait::at_one(listener, accept, |_| true)
            .map_err(|code| blocking::timed_out(listener, 0, code))?;
        socket::made(&mut monitor::lock(), descriptor, overlapped)?;
        Ok(descriptor)
    };
    number(accept())
}

/// `closesocket`: what is pending on the socket ends with `WSA_OPERATION_ABORTED`, a blocking
/// control call of another thread with `WSAEINTR`.
#[unsafe(no_mangle)]
pub extern "C" fn closesocket(socket: usize) -> c_int {
    let close = || {
        blocking::check_call()?;
        let mut world = monitor::lock();
        startup::check()?;
        let handle = socket::look_up(&mut world, socket)?;
        socket::close(&mut world, handle).map(|()| 0)
    };
    last_error::or_socket_error(close())
}
