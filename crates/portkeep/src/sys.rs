//! The system calls the crate makes.

use std::ffi::{CStr, c_int};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::slice;
use std::time::Duration;

/// Turns the -1 of a system call into the error that errno tells.
fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A value that can be given to or taken from the kernel as bytes.
///
/// # Safety
///
/// The type has no padding, and every bit pattern is one of its values.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers have no padding and no invalid values.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
/// The bytes of a value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: it is so long, has no padding, and is borrowed as long as its bytes.
    unsafe { slice::from_raw_parts((&raw const *value).cast(), mem::size_of::<T>()) }
}

/// `setsockopt(2)`
pub(crate) fn set_option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &T,
) -> io::Result<()> {
    set_option_bytes(socket, level, option, bytes_of(value))
}

/// `setsockopt(2)` of a value that has no one length.
pub(crate) fn set_option_bytes(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `getsockopt(2)` of a value that is exactly as long as `T`.
pub(crate) fn get_option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`; the kernel writes no more than the length.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    if length as usize != mem::size_of::<T>() {
        return Err(io::Error::from_raw_os_error(libc::EPROTO));
    }
    // SAFETY: the value began as zeros, and any bytes the kernel wrote make a valid T.
    Ok(unsafe { value.assume_init() })
}

/// The number that names a socket until the next boot (`SO_COOKIE`, Linux 4.12).
pub(crate) fn cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    get_option(socket, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// `socket(2)`, closed on exec.
pub(crate) fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A number that nobody can foresee, or the process id where there is none yet, early at boot.
pub(crate) fn random() -> u32 {
    portkeep_host::random::bytes(libc::GRND_NONBLOCK)
        .map_or_else(|_| std::process::id(), u32::from_ne_bytes)
}

/// `bind(2)`
pub(crate) fn bind(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(address) => bind_to(
            socket,
            &libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            },
        ),
        SocketAddr::V6(address) => bind_to(
            socket,
            &libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            },
        ),
    }
}

fn bind_to<T>(socket: BorrowedFd<'_>, address: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `address`, a whole socket address of its family.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const *address).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `listen(2)`; the kernel cuts the queue to `net.core.somaxconn`.
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    // SAFETY: listen(2) takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(())
}

/// `connect(2)` to `AF_UNSPEC`, which dissolves what a datagram socket is connected to.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nowhere = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    // SAFETY: the pointer and the length describe `nowhere`, which outlives the call.
    check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            &raw const nowhere,
            mem::size_of::<libc::sockaddr>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// The user that a socket counts as (`fstat(2)`).
pub(crate) fn user_of(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes a whole stat.
    check(unsafe { libc::fstat(socket.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: all fields are integers, and the call has succeeded.
    Ok(unsafe { status.assume_init() }.st_uid)
}

/// Makes a socket count as another user's (`fchown(2)`, Linux 4.10), which takes `CAP_CHOWN`.
pub(crate) fn set_user(socket: BorrowedFd<'_>, user: u32) -> io::Result<()> {
    // SAFETY: fchown(2) takes no pointers.
    check(unsafe { libc::fchown(socket.as_raw_fd(), user, libc::gid_t::MAX) })?;
    Ok(())
}

/// Locks a file against other processes, or unlocks it (`F_SETLKW` of `fcntl(2)`).
pub(crate) fn lock_file(file: BorrowedFd<'_>, locked: bool) -> io::Result<()> {
    // SAFETY: all fields are integers, zeros are the whole file.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = if locked { libc::F_WRLCK } else { libc::F_UNLCK } as libc::c_short;
    loop {
        // SAFETY: the kernel reads a flock.
        match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) }) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A filter that drops whatever a socket receives (`SO_ATTACH_FILTER` of `socket(7)`).
pub(crate) fn receive_nothing(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut nothing = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut nothing,
    };
    // SAFETY: the kernel copies the program, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            mem::size_of_val(&program) as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// The soft limit on the number of descriptors (`RLIMIT_NOFILE` of `getrlimit(2)`).
pub(crate) fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is an rlimit to write to.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    // It has 32 bits on 32-bit.
    #[allow(clippy::unnecessary_cast)]
    Ok(limit.rlim_cur as u64)
}

/// The user that this process acts as (`geteuid(2)`).
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The index of a network interface, by its name (`if_nametoindex(3)`).
pub(crate) fn interface_index(name: &CStr) -> Option<i32> {
    // SAFETY: the name is a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    i32::try_from(index).ok().filter(|&index| index != 0)
}

/// The index of the network interface that has an address (`getifaddrs(3)`).
pub(crate) fn interface_of(address: IpAddr) -> io::Result<Option<i32>> {
    let mut first = std::ptr::null_mut();
    // SAFETY: on success the call writes the head of a list that is ours to free.
    check(unsafe { libc::getifaddrs(&raw mut first) })?;
    let mut found = None;
    let mut next = first;
    // SAFETY: each pointer of the list is null or to a valid entry until freeifaddrs(3).
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: ifa_addr is null or points to an address as long as its family says.
        if unsafe { ip_of(entry.ifa_addr) } == Some(address) {
            // SAFETY: the name is a C string of the list.
            found = interface_index(unsafe { CStr::from_ptr(entry.ifa_name) });
            break;
        }
    }
    // SAFETY: the list came from getifaddrs(3), and nothing refers to it any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// # Safety
///
/// The pointer is null or to a socket address as long as its family says.
unsafe fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises.
    let family = unsafe { address.as_ref() }?.sa_family;
    match family.into() {
        libc::AF_INET => {
            // SAFETY: the family says what it is; `read_unaligned` asks for no alignment.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// The port an IPv4 or IPv6 socket is bound to, `None` if it is not bound (`getsockname(2)`).
pub(crate) fn bound_port(socket: BorrowedFd<'_>) -> io::Result<Option<u16>> {
    let address = name(socket)?;
    // The port is at the same place in sockaddr_in.
    const _: () = assert!(
        mem::offset_of!(libc::sockaddr_in, sin_port)
            == mem::offset_of!(libc::sockaddr_in6, sin6_port)
    );
    let internet = [libc::AF_INET, libc::AF_INET6].contains(&i32::from(address.sin6_family));
    Ok(Some(u16::from_be(address.sin6_port)).filter(|&port| internet && port != 0))
}

/// The address an IPv4 or IPv6 socket is bound to (`getsockname(2)`).
pub(crate) fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let address = name(socket)?;
    // SAFETY: it is as long as the address of either family.
    let ip = unsafe { ip_of((&raw const address).cast()) };
    let ip = ip.ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
    Ok(SocketAddr::new(ip, u16::from_be(address.sin6_port)))
}

/// Where listen(2) would bind an IPv4 or IPv6 stream socket that has no port yet; `None` if it would
/// bind nothing.
pub(crate) fn unbound_stream(socket: BorrowedFd<'_>) -> io::Result<Option<SocketAddr>> {
    if get_option::<c_int>(socket, libc::SOL_SOCKET, libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Ok(None);
    }
    match local_address(socket) {
        Ok(address) => Ok(Some(address).filter(|address| address.port() == 0)),
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn name(socket: BorrowedFd<'_>) -> io::Result<libc::sockaddr_in6> {
    let mut address = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut length = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `address`; the kernel writes no more than the length.
    check(unsafe {
        libc::getsockname(
            socket.as_raw_fd(),
            address.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    // SAFETY: all fields are integers, and what the kernel has not written is zero.
    Ok(unsafe { address.assume_init() })
}

/// The time since boot, suspended time included (`CLOCK_BOOTTIME` of `clock_gettime(2)`).
pub(crate) fn time_since_boot() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec to write to. The call cannot fail: the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), now.tv_nsec as u32)
}
