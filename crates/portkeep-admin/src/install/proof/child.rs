//! What the child process of the proof does. It was forked from a process that may have threads,
//! so it makes system calls and nothing else: no allocation, no lock, no panic.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::RawFd;

use portkeep::abi::{
    AcquireRequest, Be16, ConflictRecord, PORTKEEP_ACQUIRE, PORTKEEP_CONFLICT,
    PORTKEEP_CONFLICT_IN_USE, PORTKEEP_CONFLICT_RESERVED, Range, SOL_PORTKEEP,
};

/// What can go wrong, in the order of [`Outcome::step`].
pub const STEPS: &[&str] = &[
    "",
    "the child process cannot enter the cgroup",
    "it cannot make a network namespace",
    "the loopback interface does not come up",
    "the automatic range cannot be set",
    "a socket cannot be opened and bound",
    "a bound port was not seen as in use",
    "a port in use was refused with another error or another reason",
    "a free port could not be acquired",
    "a stranger's bind to a reserved port was not refused",
    "a stranger's bind was refused with another error or another reason",
    "a port was not free after the acquiring socket was closed",
];

/// How far the child got: step 0 is the end, otherwise what failed with which error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub step: u8,
    pub errno: i32,
}

impl Outcome {
    pub const PASSED: Outcome = Outcome { step: 0, errno: 0 };

    /// No answer means that the child died.
    pub fn from_bytes(bytes: &[u8]) -> Outcome {
        match *bytes {
            [step, a, b, c, d] => Outcome {
                step,
                errno: i32::from_ne_bytes([a, b, c, d]),
            },
            _ => Outcome {
                step: u8::MAX,
                errno: libc::EPIPE,
            },
        }
    }

    fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.errno.to_ne_bytes();
        [self.step, a, b, c, d]
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Tells the parent and ends the process.
pub fn main(procs: RawFd, report: RawFd) -> ! {
    let outcome = match run(procs) {
        Ok(()) => Outcome::PASSED,
        Err(outcome) => outcome,
    };
    let bytes = outcome.to_bytes();
    // SAFETY: `bytes` is readable; _exit ends the process without running anything of the parent's.
    unsafe {
        libc::write(report, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(0)
    }
}

type Step = Result<(), Outcome>;

fn fail<T>(step: u8, errno: i32) -> Result<T, Outcome> {
    Err(Outcome { step, errno })
}

fn run(procs: RawFd) -> Step {
    // The end of a killed installer is the end of this.
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: the bytes are readable for the length given.
    if unsafe { libc::write(procs, b"0".as_ptr().cast(), 1) } != 1 {
        return fail(1, errno());
    }
    // SAFETY: no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return fail(2, errno());
    }
    bring_loopback_up()?;
    // The bound ports below are outside the automatic range, the automatic ones inside; then the
    // range is moved away, for nothing can be acquired inside it.
    set_automatic_range(b"20000 20999")?;
    for (family, only) in [
        (libc::AF_INET, false),
        (libc::AF_INET6, false),
        (libc::AF_INET6, true),
    ] {
        bound_socket(family, libc::SOCK_STREAM, only)?;
        bound_socket(family, libc::SOCK_DGRAM, only)?;
    }
    automatic_ports()
}

fn bring_loopback_up() -> Step {
    // SAFETY: all zero is a valid ifreq; socket, ioctl and close get what they ask for.
    unsafe {
        let mut request: libc::ifreq = zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as _, b'o' as _]);
        request.ifr_ifru.ifru_flags = libc::IFF_UP as _;
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request);
        let errno = errno();
        libc::close(socket);
        if result == 0 { Ok(()) } else { fail(3, errno) }
    }
}

fn set_automatic_range(range: &[u8]) -> Step {
    let path = c"/proc/sys/net/ipv4/ip_local_port_range";
    // SAFETY: `path` is a C string, `range` is readable for its length.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let written = libc::write(file, range.as_ptr().cast(), range.len());
        let errno = errno();
        libc::close(file);
        if written == range.len() as isize {
            Ok(())
        } else {
            fail(4, errno)
        }
    }
}

/// An open socket, closed on drop.
struct Socket(RawFd);

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(self.0) };
    }
}

impl Socket {
    /// `None`: the kernel has no such family (IPv6 is switched off).
    fn new(family: i32, kind: i32) -> Result<Option<Socket>, Outcome> {
        // SAFETY: no pointers.
        match unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) } {
            -1 if errno() == libc::EAFNOSUPPORT => Ok(None),
            -1 => fail(5, errno()),
            descriptor => Ok(Some(Socket(descriptor))),
        }
    }

    fn ipv4(kind: i32) -> Result<Socket, Outcome> {
        Socket::new(libc::AF_INET, kind)?.ok_or(Outcome {
            step: 5,
            errno: libc::EAFNOSUPPORT,
        })
    }

    /// Binds to the wildcard address of the family; the error number, 0 if it succeeded.
    fn bind(&self, family: i32, port: u16) -> i32 {
        // SAFETY: all zero is a valid address of either family.
        unsafe {
            if family == libc::AF_INET {
                let mut address: libc::sockaddr_in = zeroed();
                address.sin_family = libc::AF_INET as _;
                address.sin_port = port.to_be();
                self.bind_to(&address)
            } else {
                let mut address: libc::sockaddr_in6 = zeroed();
                address.sin6_family = libc::AF_INET6 as _;
                address.sin6_port = port.to_be();
                self.bind_to(&address)
            }
        }
    }

    fn bind_to<T>(&self, address: &T) -> i32 {
        // SAFETY: the address is readable for the length of its type.
        let result =
            unsafe { libc::bind(self.0, (&raw const *address).cast(), size_of::<T>() as u32) };
        if result == 0 { 0 } else { errno() }
    }

    /// Acquires one port on this socket; the error number, 0 if it succeeded.
    fn acquire(&self, port: u16) -> i32 {
        let request = AcquireRequest {
            range: Range {
                start: Be16::new(port),
                count: 1,
            },
            ..AcquireRequest::default()
        };
        // SAFETY: `request` is readable for its size.
        let result = unsafe {
            libc::setsockopt(
                self.0,
                SOL_PORTKEEP,
                PORTKEEP_ACQUIRE,
                (&raw const request).cast(),
                size_of::<AcquireRequest>() as u32,
            )
        };
        if result == 0 { 0 } else { errno() }
    }

    /// The reason of the last refusal on this socket, with its port.
    fn reason(&self) -> (u8, u16) {
        let mut conflict = ConflictRecord::default();
        let mut length = size_of::<ConflictRecord>() as u32;
        // SAFETY: `conflict` has room for `length` bytes, and any bytes are valid for it.
        unsafe {
            libc::getsockopt(
                self.0,
                SOL_PORTKEEP,
                PORTKEEP_CONFLICT,
                (&raw mut conflict).cast(),
                &mut length,
            )
        };
        (conflict.kind, conflict.port.get())
    }
}

/// A port that a socket is bound to must be refused for that reason.
fn must_be_in_use(kind: i32, port: u16) -> Step {
    let asker = Socket::ipv4(kind)?;
    match asker.acquire(port) {
        libc::EADDRINUSE if asker.reason() == (PORTKEEP_CONFLICT_IN_USE, port) => Ok(()),
        0 => fail(6, 0),
        errno => fail(7, errno),
    }
}

/// One round: seen while bound; acquired once closed; enforced; free again at the end.
fn bound_socket(family: i32, kind: i32, v6_only: bool) -> Step {
    const PORT: u16 = 10001;
    let Some(holder) = Socket::new(family, kind)? else {
        return Ok(());
    };
    if v6_only {
        let on: libc::c_int = 1;
        // SAFETY: `on` is readable for its size.
        unsafe {
            libc::setsockopt(
                holder.0,
                libc::IPPROTO_IPV6,
                libc::IPV6_V6ONLY,
                (&raw const on).cast(),
                size_of_val(&on) as u32,
            )
        };
    }
    match holder.bind(family, PORT) {
        0 => {}
        errno => return fail(5, errno),
    }
    must_be_in_use(kind, PORT)?;
    drop(holder);

    let owner = Socket::ipv4(kind)?;
    match owner.acquire(PORT) {
        0 => {}
        errno => return fail(8, errno),
    }
    let Some(stranger) = Socket::new(family, kind)? else {
        return Ok(());
    };
    match stranger.bind(family, PORT) {
        libc::EADDRINUSE if stranger.reason() == (PORTKEEP_CONFLICT_RESERVED, PORT) => {}
        0 => return fail(9, 0),
        errno => return fail(10, errno),
    }
    drop(owner);
    match stranger.bind(family, PORT) {
        0 => Ok(()),
        errno => fail(11, errno),
    }
}

/// Ports that the kernel chose: of a TCP and of a UDP client.
fn automatic_ports() -> Step {
    let listener = Socket::ipv4(libc::SOCK_STREAM)?;
    let errno = listener.bind(libc::AF_INET, 10002);
    // SAFETY: no pointers.
    if errno != 0 || unsafe { libc::listen(listener.0, 1) } != 0 {
        return fail(5, errno);
    }
    let tcp = Socket::ipv4(libc::SOCK_STREAM)?;
    let udp = Socket::ipv4(libc::SOCK_DGRAM)?;
    let tcp_port = connect(&tcp)?;
    let udp_port = connect(&udp)?;
    set_automatic_range(b"30000 30999")?;
    must_be_in_use(libc::SOCK_STREAM, tcp_port)?;
    must_be_in_use(libc::SOCK_DGRAM, udp_port)
}

/// Connects to the listener without a bind before; the port that the kernel chose.
fn connect(socket: &Socket) -> Result<u16, Outcome> {
    // SAFETY: all zero is a valid address; the lengths are those of the type.
    unsafe {
        let mut address: libc::sockaddr_in = zeroed();
        let mut length = size_of_val(&address) as u32;
        address.sin_family = libc::AF_INET as _;
        address.sin_port = 10002u16.to_be();
        address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
        if libc::connect(socket.0, (&raw const address).cast(), length) != 0
            || libc::getsockname(socket.0, (&raw mut address).cast(), &mut length) != 0
        {
            return fail(5, errno());
        }
        Ok(u16::from_be(address.sin_port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_survives_the_pipe() {
        let outcome = Outcome {
            step: 7,
            errno: libc::EACCES,
        };
        assert_eq!(Outcome::from_bytes(&outcome.to_bytes()), outcome);
        assert_ne!(Outcome::from_bytes(&[]), Outcome::PASSED);
    }
}
