//! What the library knows of sockets beyond what the kernel does.
//!
//! A `SOCKET` is a file descriptor. Descriptors that the program got elsewhere serve too; they are
//! overlapped sockets, as those of `socket` are.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::code::Code;
use crate::engine;
use crate::message::Direction;
use crate::monitor::{self, Deadline, Guard};
use crate::notice::{Notice, Outcome};
use crate::port::Association;
use crate::queue::Transfers;
use crate::request::Request;
use crate::thread::ThreadId;

/// A socket as it was looked up. Another one that gets its descriptor later has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) descriptor: c_int,
    serial: u64,
}

impl Handle {
    /// A number for the kernel to give back: the descriptor, and the serial as far as there is room.
    pub(crate) fn mark(&self) -> u64 {
        (u64::from(self.descriptor.cast_unsigned()) << 32) | (self.serial & 0xFFFF_FFFF)
    }

    /// The socket of a call that is being made. A program that closes it meanwhile with close(2)
    /// gets what it gets from any system call then.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the program's descriptor, which its call has given to the library.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

#[derive(Debug)]
pub(crate) struct Socket {
    serial: u64,
    /// Device and inode: tells when the descriptor was closed by `close(2)` and used again.
    inode: (u64, u64),
    /// Made by this library, so that the last `WSACleanup` closes it.
    pub(crate) own: bool,
    /// With the attribute of `WSA_FLAG_OVERLAPPED`.
    pub(crate) overlapped: bool,
    /// A thread has its turn with control calls on this socket; others wait for theirs.
    pub(crate) busy: bool,
    /// That thread is in the kernel with the descriptor, which may not be closed meanwhile.
    pub(crate) executing: bool,
    /// Threads that wait at it in the kernel.
    pub(crate) in_kernel: Vec<ThreadId>,
    /// A thread binds it by the way; to bind beside a holder takes several steps.
    pub(crate) binding: bool,
    /// The token of the held block that the socket may bind in; of the kernel part's blocks the
    /// kernel knows.
    pub(crate) associated: Option<u64>,
    /// `SO_EXCLUSIVEADDRUSE`
    pub(crate) exclusive: bool,
    /// `SIO_UDP_CONNRESET`
    pub(crate) reports_resets: bool,
    /// Overlapped requests which wait for their turn.
    pub(crate) waiting: VecDeque<Request>,
    /// Overlapped sending and receiving.
    pub(crate) transfers: Transfers,
    /// Where completions go to besides.
    pub(crate) port: Option<Association>,
    /// `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS`
    pub(crate) skips_port: bool,
}

/// The sockets by descriptor.
#[derive(Debug)]
pub(crate) struct Sockets {
    last: u64,
    sockets: BTreeMap<c_int, Socket>,
}

impl Sockets {
    pub(crate) const fn new() -> Sockets {
        Sockets {
            last: 0,
            sockets: BTreeMap::new(),
        }
    }

    fn add(&mut self, descriptor: c_int, inode: (u64, u64), own: bool, overlapped: bool) -> u64 {
        self.last += 1;
        let socket = Socket {
            serial: self.last,
            inode,
            own,
            overlapped,
            busy: false,
            executing: false,
            in_kernel: Vec::new(),
            binding: false,
            associated: None,
            exclusive: false,
            reports_resets: true,
            waiting: VecDeque::new(),
            transfers: Transfers::default(),
            port: None,
            skips_port: false,
        };
        self.sockets.insert(descriptor, socket);
        self.last
    }

    /// The socket, unless it has been closed since it was looked up.
    pub(crate) fn get(&mut self, handle: Handle) -> Option<&mut Socket> {
        self.sockets
            .get_mut(&handle.descriptor)
            .filter(|socket| socket.serial == handle.serial)
    }

    /// The socket of a [mark](Handle::mark), if it is there.
    pub(crate) fn marked(&self, mark: u64) -> Option<Handle> {
        let descriptor = c_int::try_from(mark >> 32).ok()?;
        let socket = self.sockets.get(&descriptor)?;
        let serial = socket.serial;
        Some(Handle { descriptor, serial }).filter(|handle| handle.mark() == mark)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Socket> {
        self.sockets.values_mut()
    }

    fn any_own(&self) -> Option<Handle> {
        let mut own = self.sockets.iter().filter(|(_, socket)| socket.own);
        own.next().map(|(&descriptor, socket)| Handle {
            descriptor,
            serial: socket.serial,
        })
    }
}

/// A number of the level `SOL_SOCKET`.
pub(crate) fn option(socket: BorrowedFd<'_>, option: c_int) -> Result<c_int, Code> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(value),
        _ => Err(Code::last_os_error()),
    }
}

pub(crate) fn is_stream(socket: c_int) -> bool {
    if socket < 0 {
        return false;
    }
    // SAFETY: the program's descriptor, for the time of its call.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    option(socket, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
}

pub(crate) fn is_nonblocking(socket: c_int) -> bool {
    // SAFETY: it takes no pointers.
    unsafe { libc::fcntl(socket, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// What `SIO_UDP_CONNRESET` has set.
pub(crate) fn reports_resets(socket: c_int) -> bool {
    let mut world = monitor::lock();
    match look_up(&mut world, socket as usize) {
        Ok(handle) => world.sockets.get(handle).is_none_or(|it| it.reports_resets),
        Err(_) => true,
    }
}

/// The device and inode of a descriptor, if it is a socket's.
fn inode(descriptor: c_int) -> Result<(u64, u64), Code> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `status` is a struct stat to write to.
    if unsafe { libc::fstat(descriptor, status.as_mut_ptr()) } != 0 {
        return Err(Code::NOTSOCK);
    }
    // SAFETY: all of it are integers, and it began as zeros.
    let status = unsafe { status.assume_init() };
    match status.st_mode & libc::S_IFMT {
        // The types of the fields differ between architectures.
        #[allow(clippy::unnecessary_cast)]
        libc::S_IFSOCK => Ok((status.st_dev as u64, status.st_ino as u64)),
        _ => Err(Code::NOTSOCK),
    }
}

/// The descriptor of a `SOCKET`, which is an unsigned number as wide as a pointer.
pub(crate) fn descriptor(socket: usize) -> Result<c_int, Code> {
    c_int::try_from(socket).map_err(|_| Code::NOTSOCK)
}

/// The socket; `WSAENOTSOCK` if the descriptor is not one's.
pub(crate) fn look_up(world: &mut Guard, socket: usize) -> Result<Handle, Code> {
    let descriptor = descriptor(socket)?;
    let inode = inode(descriptor);
    let serial = match (world.sockets.sockets.get(&descriptor), inode) {
        (Some(socket), Ok(inode)) if socket.inode == inode => socket.serial,
        (known, inode) => {
            if known.is_some() {
                forget(world, descriptor);
            }
            world.sockets.add(descriptor, inode?, false, true)
        }
    };
    Ok(Handle { descriptor, serial })
}

/// Takes note of a socket that the library has just made.
pub(crate) fn made(world: &mut Guard, descriptor: c_int, overlapped: bool) -> Result<(), Code> {
    forget(world, descriptor);
    let inode = inode(descriptor)?;
    world.sockets.add(descriptor, inode, true, overlapped);
    Ok(())
}

/// The socket is closed: what waits for its turn is aborted, also a blocking call that does or is
/// in its hook.
fn forget(world: &mut Guard, descriptor: c_int) {
    if let Some(socket) = world.sockets.sockets.remove(&descriptor) {
        let serial = socket.serial;
        world.held.end_of(Handle { descriptor, serial });
        let mut transfers = socket.transfers;
        engine::forget(world, descriptor, transfers.interest);
        for request in socket.waiting {
            request.notice.complete(world, Outcome::ABORTED);
        }
        let (aborted, _) = transfers.cancel(|_: &Notice, _: Direction| true);
        for notice in aborted {
            notice.complete(world, Outcome::ABORTED);
        }
        world.changed();
    }
}

/// How often calls in the kernel are woken until the last has left: one that has not begun to connect when
/// it is woken connects all the same.
const WAKE_INTERVAL_MS: u32 = 10;

/// Closes a socket. An operation that is in the kernel is waited for; the others are aborted, and calls that
/// wait in the kernel woken.
pub(crate) fn close(world: &mut Guard, handle: Handle) -> Result<(), Code> {
    loop {
        let entry = world.sockets.get(handle).ok_or(Code::NOTSOCK)?;
        entry.transfers.closing = true;
        let wakes = !entry.in_kernel.is_empty() && wake(handle);
        if !wakes && !entry.executing && !entry.transfers.is_active() {
            break;
        }
        world.wait(match wakes {
            true => Deadline::after(WAKE_INTERVAL_MS),
            false => Deadline::NEVER,
        });
    }
    forget(world, handle.descriptor);
    // SAFETY: the program gives its descriptor away.
    match unsafe { libc::close(handle.descriptor) } {
        0 => Ok(()),
        _ => Err(Code::last_os_error()),
    }
}

/// Wakes all calls that wait at a socket in the kernel; false if some may not wake, as those of `AF_UNIX` that
/// wait for their peer.
fn wake(socket: Handle) -> bool {
    let is_known = matches!(
        (
            option(socket.as_fd(), libc::SO_DOMAIN),
            option(socket.as_fd(), libc::SO_PROTOCOL),
        ),
        (
            Ok(libc::AF_INET | libc::AF_INET6),
            Ok(libc::IPPROTO_TCP | libc::IPPROTO_UDP)
        )
    );
    if !is_known {
        return false;
    }
    // SAFETY: shutdown(2) takes no pointers. On a socket without a peer it fails, and wakes all the same.
    unsafe { libc::shutdown(socket.descriptor, libc::SHUT_RDWR) };
    true
}

/// Closes the sockets that the library made.
pub(crate) fn close_own(world: &mut Guard) {
    while let Some(handle) = world.sockets.any_own() {
        // This forgets what the program closed itself, and may have opened something else for.
        let current = look_up(world, handle.descriptor as usize);
        if current == Ok(handle) {
            let _ = close(world, handle);
        }
    }
}
