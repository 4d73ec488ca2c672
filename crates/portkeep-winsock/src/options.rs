//! `getsockopt` and `setsockopt`: what Windows has otherwise than Linux. The other options are Linux'.

use std::ffi::{c_int, c_void};
use std::os::fd::BorrowedFd;

use libc::{socklen_t, timeval};

use crate::address;
use crate::calls::{call, may_call};
use crate::code::Code;
use crate::last_error;
use crate::monitor;
use crate::socket;
use crate::user_memory;

/// `SO_EXCLUSIVEADDRUSE`
const EXCLUSIVEADDRUSE: c_int = !libc::SO_REUSEADDR;
/// `SO_DONTLINGER`
const DONTLINGER: c_int = !libc::SO_LINGER;

/// Options of the level `SOL_SOCKET` that are not as on Linux.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// In milliseconds, where the value is too short for Linux' structure.
    Timeout,
    Exclusive,
    DoNotLinger,
    ReuseAddress,
    Error,
}

fn special(level: c_int, option: c_int) -> Option<Special> {
    // Programs with a time of 64 bits on 32-bit have other numbers for the timeouts.
    const NEW_RCVTIMEO: c_int = 66;
    const NEW_SNDTIMEO: c_int = 67;
    if level != libc::SOL_SOCKET {
        return None;
    }
    Some(match option {
        libc::SO_RCVTIMEO | libc::SO_SNDTIMEO | NEW_RCVTIMEO | NEW_SNDTIMEO => Special::Timeout,
        EXCLUSIVEADDRUSE => Special::Exclusive,
        DONTLINGER => Special::DoNotLinger,
        libc::SO_REUSEADDR => Special::ReuseAddress,
        libc::SO_ERROR => Special::Error,
        _ => return None,
    })
}

/// The timeout of Linux' old number, whose structure the library has.
fn timeout(option: c_int) -> c_int {
    match option {
        libc::SO_RCVTIMEO | 66 => libc::SO_RCVTIMEO,
        _ => libc::SO_SNDTIMEO,
    }
}

fn set<T>(socket: c_int, option: c_int, value: &T) -> Result<c_int, Code> {
    let length = size_of::<T>() as socklen_t;
    // SAFETY: the pointer and the length describe the value.
    call(|| unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            option,
            (&raw const *value).cast(),
            length,
        )
    })
}

fn get<T>(socket: c_int, option: c_int, mut value: T) -> Result<T, Code> {
    let mut length = size_of::<T>() as socklen_t;
    // SAFETY: the pointer and the length describe the value, which is made of integers.
    call(|| unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

/// What the library has noted at the socket.
fn noted<T>(socket: c_int, action: impl FnOnce(&mut socket::Socket) -> T) -> Result<T, Code> {
    let mut world = monitor::lock();
    let handle = socket::look_up(&mut world, socket as usize)?;
    world.sockets.get(handle).map(action).ok_or(Code::NOTSOCK)
}

fn is_set(socket: c_int, option: c_int) -> Result<bool, Code> {
    get::<c_int>(socket, option, 0).map(|value| value != 0)
}

/// `setsockopt`
///
/// # Safety
///
/// As of setsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_setsockopt(
    socket: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let special = special(level, option)
        .filter(|it| *it != Special::Timeout || (length as usize) < size_of::<timeval>());
    let result = may_call().and_then(|()| match special {
        // It is an int on Windows.
        _ if length.cast_signed() < 0 => Err(Code::FAULT),
        Some(special) => set_special(socket, special, option, value, length),
        // SAFETY: the caller vouches for the value.
        None => call(|| unsafe { libc::setsockopt(socket, level, option, value, length) })
            .map_err(|code| short(level, length, code)),
    });
    last_error::or_socket_error(result)
}

/// Linux' word for a value that is too short for a number.
fn short(level: c_int, length: socklen_t, code: Code) -> Code {
    let is_short = (length as usize) < size_of::<c_int>();
    match code == Code::INVAL && level == libc::SOL_SOCKET && is_short {
        true => Code::FAULT,
        false => code,
    }
}

fn set_special(
    socket: c_int,
    special: Special,
    option: c_int,
    value: *const c_void,
    length: socklen_t,
) -> Result<c_int, Code> {
    // What is wrong with the socket is told first.
    noted(socket, |_| ())?;
    if (length as usize) < size_of::<u32>() {
        return Err(Code::FAULT);
    }
    let number = user_memory::read(value.cast::<u32>())?;
    match special {
        Special::Timeout => {
            let time = timeval {
                tv_sec: (number / 1000) as libc::time_t,
                tv_usec: (number % 1000 * 1000) as libc::suseconds_t,
            };
            set(socket, timeout(option), &time)
        }
        Special::Exclusive => {
            if number != 0 && is_set(socket, libc::SO_REUSEADDR)? {
                return Err(Code::INVAL);
            }
            if address::is_bound(socket) {
                return Err(Code::INVAL);
            }
            noted(socket, |it| it.exclusive = number != 0)?;
            Ok(0)
        }
        Special::ReuseAddress => {
            if number != 0 && noted(socket, |it| it.exclusive)? {
                return Err(Code::INVAL);
            }
            set(socket, option, &number)
        }
        Special::DoNotLinger => {
            let mut linger = linger(socket)?;
            linger.l_onoff = c_int::from(number == 0);
            set(socket, libc::SO_LINGER, &linger)
        }
        Special::Error => Err(Code(10042)),
    }
}

fn linger(socket: c_int) -> Result<libc::linger, Code> {
    let none = libc::linger {
        l_onoff: 0,
        l_linger: 0,
    };
    get(socket, libc::SO_LINGER, none)
}

/// `getsockopt`
///
/// # Safety
///
/// As of getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portkeep_winsock_getsockopt(
    socket: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    let result = may_call().and_then(|()| {
        if user_memory::read(length)?.cast_signed() < 0 {
            return Err(Code::FAULT);
        }
        let special = match special(level, option) {
            None | Some(Special::ReuseAddress) => None,
            Some(Special::Timeout)
                if user_memory::read(length)? as usize >= size_of::<timeval>() =>
            {
                None
            }
            special => special,
        };
        match special {
            Some(special) => get_special(socket, special, option, value, length),
            // SAFETY: the caller vouches for the pointers.
            None => call(|| unsafe { libc::getsockopt(socket, level, option, value, length) }),
        }
    });
    last_error::or_socket_error(result)
}

fn get_special(
    socket: c_int,
    special: Special,
    option: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> Result<c_int, Code> {
    noted(socket, |_| ())?;
    if (user_memory::read(length)? as usize) < size_of::<u32>() {
        return Err(Code::FAULT);
    }
    // Before the error is taken from the socket.
    user_memory::check_writable(value, size_of::<u32>())?;
    let number = match special {
        Special::Timeout => {
            let none = timeval {
                tv_sec: 0,
                tv_usec: 0,
            };
            let time = get(socket, timeout(option), none)?;
            (time.tv_sec as u32)
                .saturating_mul(1000)
                .saturating_add(time.tv_usec as u32 / 1000)
        }
        Special::Exclusive => noted(socket, |it| it.exclusive)?.into(),
        Special::DoNotLinger => u32::from(linger(socket)?.l_onoff == 0),
        Special::ReuseAddress | Special::Error => match get::<c_int>(socket, option, 0)? {
            0 => 0,
            errno if special == Special::Error => Code::from_errno(errno).0.unsigned_abs(),
            set => set.unsigned_abs(),
        },
    };
    user_memory::write(value.cast::<u32>(), number)?;
    user_memory::write(length, size_of::<u32>() as socklen_t)?;
    Ok(0)
}

/// `SIO_CPU_AFFINITY`: of a UDP socket that is not bound.
pub(crate) fn set_processor(socket: BorrowedFd<'_>, processor: u16) -> Result<(), Code> {
    use std::os::fd::AsRawFd as _;
    let kind = (
        socket::option(socket, libc::SO_TYPE)?,
        socket::option(socket, libc::SO_PROTOCOL)?,
    );
    if kind != (libc::SOCK_DGRAM, libc::IPPROTO_UDP) {
        return Err(Code::OPNOTSUPP);
    }
    let socket = socket.as_raw_fd();
    // SAFETY: sysconf(3) takes no pointers.
    let processors = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    if libc::c_long::from(processor) >= processors || address::is_bound(socket) {
        return Err(Code::INVAL);
    }
    set(socket, libc::SO_INCOMING_CPU, &c_int::from(processor))?;
    set::<c_int>(socket, libc::SO_REUSEPORT, &1)?;
    Ok(())
}
