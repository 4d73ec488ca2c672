//! Sending and receiving from several buffers, as far as it goes without waiting.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use libc::{iovec, msghdr, sockaddr_storage, socklen_t};

use crate::address;
use crate::blocking;
use crate::code::Code;
use crate::create::WINDOWS_AF_INET6;
use crate::implicit;
use crate::kernel_wait;
use crate::notice::Outcome;
use crate::socket;
use crate::status::Status;
use crate::stream;
use crate::user_memory;

/// `WSABUF`: 16 bytes, 8 on 32-bit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Buffer {
    /// `len`
    pub length: u32,
    /// `buf`
    pub start: *mut c_void,
}

/// The most buffers that the kernel takes at once, `UIO_MAXIOV`.
const MOST_BUFFERS: usize = 1024;

/// Flags of the headers, whose numbers are Linux'. `MSG_PARTIAL` is `MSG_TRUNC` there, and asks for nothing.
const SENDING: c_int = libc::MSG_OOB | libc::MSG_DONTROUTE | libc::MSG_TRUNC;
const RECEIVING: c_int = libc::MSG_OOB | libc::MSG_PEEK | libc::MSG_WAITALL | libc::MSG_TRUNC;
const TOLD: c_int = libc::MSG_OOB | libc::MSG_TRUNC | libc::MSG_CTRUNC;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Receive,
    Send,
}

/// What is to be sent or received, and how much of it is left.
#[derive(Debug)]
pub(crate) struct Message {
    buffers: Vec<iovec>,
    /// Buffers that are done with, and the bytes of all.
    first: usize,
    bytes: usize,
    flags: c_int,
    is_stream: bool,
    peer: Peer,
}

// SAFETY: the buffers are the program's, which keeps them for the library until the message is done.
unsafe impl Send for Message {}

#[derive(Debug)]
pub(crate) enum Peer {
    /// That of `sendto`, if it names one.
    To(Box<Option<(sockaddr_storage, socklen_t)>>),
    /// Where to write that of `recvfrom`, if anywhere, and the length.
    From {
        address: *mut c_void,
        length: *mut c_int,
    },
}

impl Message {
    /// Fails for flags that there are not, and for an array that cannot be read. As on Windows the
    /// array may go when the call returns, and the buffers may not.
    pub(crate) fn new(
        descriptor: c_int,
        buffers: *const Buffer,
        count: u32,
        flags: c_int,
        peer: Peer,
    ) -> Result<Message, Code> {
        let known = match peer {
            Peer::To(_) => SENDING,
            Peer::From { .. } => RECEIVING,
        };
        if flags & !known != 0 {
            return Err(Code::OPNOTSUPP);
        }
        let buffers = (0..count as usize)
            .map(|index| {
                let buffer = user_memory::read(buffers.wrapping_add(index))?;
                Ok(iovec {
                    iov_base: buffer.start,
                    iov_len: buffer.length as usize,
                })
            })
            .collect::<Result<_, Code>>()?;
        Ok(Message {
            buffers,
            first: 0,
            bytes: 0,
            flags: flags & !libc::MSG_TRUNC,
            is_stream: socket::is_stream(descriptor),
            peer,
        })
    }

    /// With one buffer, and flags as Linux takes them: of the calls of the C library.
    pub(crate) fn of_one(
        descriptor: c_int,
        buffer: *mut c_void,
        length: usize,
        flags: c_int,
        peer: Peer,
    ) -> Result<Message, Code> {
        // It is an int on Windows: more is a negative one.
        if c_int::try_from(length).is_err() {
            return Err(Code::FAULT);
        }
        Ok(Message {
            buffers: vec![iovec {
                iov_base: buffer,
                iov_len: length,
            }],
            first: 0,
            bytes: 0,
            flags,
            is_stream: socket::is_stream(descriptor),
            peer,
        })
    }

    pub(crate) fn direction(&self) -> Direction {
        match self.peer {
            Peer::To(_) => Direction::Send,
            Peer::From { .. } => Direction::Receive,
        }
    }

    /// Goes on as far as it can without waiting; `None` if there is more to wait for.
    pub(crate) fn attempt(&mut self, descriptor: c_int) -> Option<Outcome> {
        loop {
            match self.call(descriptor, libc::MSG_DONTWAIT) {
                Err(Code::INTR) => {}
                Err(Code::CONNRESET) if self.passes_over_resets(descriptor) => {}
                Err(Code::WOULDBLOCK) if self.waits_for_nothing(descriptor) => {
                    return Some(Err(Code::INVAL).into());
                }
                Err(Code::WOULDBLOCK) => return None,
                Ok(outcome) if self.wants_more(outcome.bytes) => {}
                Ok(outcome) => {
                    return Some(Outcome {
                        bytes: self.bytes as u32,
                        ..outcome
                    });
                }
                Err(code) => return Some(Err(code).into()),
            }
        }
    }

    /// Makes it as a blocking call, or as one of a socket that does not block.
    pub(crate) fn make(&mut self, descriptor: c_int) -> Result<Outcome, Code> {
        // Of these a call that does not wait does a part, or another thing.
        let mut waits = self.flags & (libc::MSG_WAITALL | libc::MSG_FASTOPEN) != 0;
        if waits && self.waits_for_nothing(descriptor) {
            return Err(Code::INVAL);
        }
        loop {
            let made = match waits {
                false => self.call(descriptor, libc::MSG_DONTWAIT),
                true => {
                    let call = || self.call(descriptor, 0);
                    kernel_wait::at_one(descriptor, call, |outcome| outcome.bytes != 0)
                }
            };
            match made {
                Err(Code::CONNRESET) if self.passes_over_resets(descriptor) => {}
                Err(Code::WOULDBLOCK) if self.waits_for_nothing(descriptor) => {
                    return Err(Code::INVAL);
                }
                Err(Code::WOULDBLOCK) if !waits && self.may_wait(descriptor) => waits = true,
                // What has been sent is told, and what is wrong by the next call.
                Err(_) if self.is_left_to_send() && self.bytes != 0 => {
                    return Ok(Ok(self.bytes as u32).into());
                }
                Err(code) => return Err(blocking::timed_out(descriptor, self.flags, code)),
                Ok(_) if self.is_left_to_send() && (waits || self.may_wait(descriptor)) => {
                    waits = true;
                }
                Ok(outcome) => {
                    return Ok(Outcome {
                        bytes: self.bytes as u32,
                        ..outcome
                    });
                }
            }
        }
    }

    fn may_wait(&self, descriptor: c_int) -> bool {
        self.flags & libc::MSG_DONTWAIT == 0 && !socket::is_nonblocking(descriptor)
    }

    /// Where `SIO_UDP_CONNRESET` says so, a datagram socket does not tell what became of earlier datagrams.
    fn passes_over_resets(&self, descriptor: c_int) -> bool {
        !self.is_stream && !socket::reports_resets(descriptor)
    }

    /// A datagram socket that is not bound receives nothing, and Windows says so.
    fn waits_for_nothing(&self, descriptor: c_int) -> bool {
        self.direction() == Direction::Receive
            && !self.is_stream
            && implicit::is_unbound(descriptor)
    }

    fn is_left_to_send(&self) -> bool {
        self.is_stream && self.direction() == Direction::Send && self.first < self.buffers.len()
    }

    /// A stream is sent whole, and received whole if the program says so.
    fn wants_more(&self, bytes: u32) -> bool {
        match self.direction() {
            Direction::Send => self.is_left_to_send(),
            Direction::Receive => {
                self.is_stream
                    && self.first < self.buffers.len()
                    && bytes != 0
                    && self.flags & (libc::MSG_WAITALL | libc::MSG_PEEK) == libc::MSG_WAITALL
            }
        }
    }

    /// One call with what is left.
    fn call(&mut self, descriptor: c_int, flags: c_int) -> Result<Outcome, Code> {
        let mut name = MaybeUninit::<sockaddr_storage>::zeroed();
        // SAFETY: all fields are integers or pointers, which may be null.
        let mut header: msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_iov = self.buffers[self.first..].as_mut_ptr();
        header.msg_iovlen = match self.is_stream || self.direction() == Direction::Receive {
            true => self.buffers.len().min(self.first + MOST_BUFFERS) - self.first,
            // The part of a datagram is none: the kernel refuses more.
            false => self.buffers.len(),
        } as _;
        let flags = self.flags | flags;
        let moved = match &mut self.peer {
            Peer::To(to) => {
                if let Some((address, length)) = &mut **to {
                    header.msg_name = (&raw mut *address).cast();
                    header.msg_namelen = *length;
                }
                // SAFETY: the header describes the buffers, whose addresses the kernel checks.
                unsafe { libc::sendmsg(descriptor, &raw const header, flags | libc::MSG_NOSIGNAL) }
            }
            Peer::From { .. } => {
                header.msg_name = name.as_mut_ptr().cast();
                header.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
                // SAFETY: as above.
                unsafe { libc::recvmsg(descriptor, &raw mut header, flags) }
            }
        };
        let Ok(moved) = usize::try_from(moved) else {
            return Err(self.error(descriptor));
        };
        self.advance(moved);
        self.tell_peer(name.as_ptr().cast(), header.msg_namelen)?;
        let is_part = !self.is_stream && header.msg_flags & libc::MSG_TRUNC != 0;
        Ok(Outcome {
            status: match is_part {
                true => Status::BUFFER_OVERFLOW,
                false => Status::SUCCESS,
            },
            bytes: moved as u32,
            flags: (header.msg_flags & TOLD).cast_unsigned(),
        })
    }

    fn error(&self, descriptor: c_int) -> Code {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        match errno {
            // What an earlier datagram met.
            libc::ECONNREFUSED if !self.is_stream => Code::CONNRESET,
            // `sendto` alone may name somebody.
            libc::EDESTADDRREQ => Code::NOTCONN,
            libc::EPIPE if self.is_stream => stream::cannot_send(descriptor),
            errno => Code::from_errno(errno),
        }
    }

    /// Leaves what has been moved behind. Empty buffers go with what is before them.
    fn advance(&mut self, mut moved: usize) {
        self.bytes += moved;
        while let Some(buffer) = self.buffers.get_mut(self.first) {
            if moved < buffer.iov_len {
                buffer.iov_base = buffer.iov_base.wrapping_byte_add(moved);
                buffer.iov_len -= moved;
                break;
            }
            moved -= buffer.iov_len;
            self.first += 1;
        }
    }

    /// A stream has no sender to tell.
    fn tell_peer(&self, name: *const u8, length: socklen_t) -> Result<(), Code> {
        let Peer::From {
            address,
            length: out,
        } = self.peer
        else {
            return Ok(());
        };
        if address.is_null() || self.is_stream {
            return Ok(());
        }
        let room = usize::try_from(user_memory::read(out)?).unwrap_or(0);
        if room < length as usize {
            return Err(Code::FAULT);
        }
        // SAFETY: `length` bytes of the name, which recvmsg(2) has written.
        let name = unsafe { std::slice::from_raw_parts(name, length as usize) };
        user_memory::write_bytes(address, name)?;
        user_memory::write(out, length as c_int)
    }
}

/// The address that a program gives; `None` for no address.
pub(crate) fn read_address(
    pointer: *const c_void,
    length: c_int,
) -> Result<Option<(sockaddr_storage, socklen_t)>, Code> {
    if pointer.is_null() {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| Code::FAULT)?;
    if !(size_of::<libc::sa_family_t>()..=size_of::<sockaddr_storage>()).contains(&length) {
        return Err(Code::FAULT);
    }
    let mut name = MaybeUninit::<sockaddr_storage>::zeroed();
    // SAFETY: the bytes of `name`, which are zeros, and of which there are more than `length`.
    let bytes = unsafe { std::slice::from_raw_parts_mut(name.as_mut_ptr().cast::<u8>(), length) };
    user_memory::read_bytes(pointer, bytes)?;
    // SAFETY: integers, for which every bit pattern is a value.
    let mut name = unsafe { name.assume_init() };
    address::check_length(name.ss_family.into(), length)?;
    if c_int::from(name.ss_family) == WINDOWS_AF_INET6 {
        name.ss_family = libc::AF_INET6 as libc::sa_family_t;
    }
    Ok(Some((name, length as socklen_t)))
}
