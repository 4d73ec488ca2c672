//! One call, and all that its caller can see of it.

use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;

use nix::errno::Errno;
use portkeep_tests::libc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Get,
    Set,
}

/// `setsockopt(2)` or `getsockopt(2)` with a buffer that ends where the memory does.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) direction: Direction,
    pub(crate) level: i32,
    pub(crate) option: i32,
    /// What the buffer begins with; the rest is [`FILL`] for a get, 0 for a set.
    pub(crate) value: Rc<[u8]>,
    /// The length that is said.
    pub(crate) length: i32,
    /// How many bytes there are; none: no buffer, a null pointer.
    pub(crate) room: Option<usize>,
}

/// What a buffer holds that nobody has written to.
const FILL: u8 = 0xa5;

pub(crate) fn get(level: i32, option: i32, length: usize) -> Call {
    Call {
        direction: Direction::Get,
        level,
        option,
        value: Rc::new([]),
        length: i32::try_from(length).expect("a length"),
        room: Some(length),
    }
}

pub(crate) fn set(level: i32, option: i32, value: &Rc<[u8]>, length: usize) -> Call {
    Call {
        direction: Direction::Set,
        value: value.clone(),
        ..get(level, option, length)
    }
}

impl Call {
    pub(crate) fn without_buffer(self) -> Self {
        Self { room: None, ..self }
    }

    /// A get whose buffer says what is asked for.
    pub(crate) fn asking(self, value: &Rc<[u8]>) -> Self {
        Self {
            value: value.clone(),
            ..self
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, option, .. } = self;
        let name = match self.direction {
            Direction::Get => "getsockopt",
            Direction::Set => "setsockopt",
        };
        let value = &self.value[..self.value.len().min(32)];
        write!(f, "{name}({level}, {option}, {value:?}")?;
        match self.room {
            None => write!(f, " at NULL")?,
            Some(room) if i32::try_from(room) != Ok(self.length) => write!(f, " in {room} bytes")?,
            Some(_) => {}
        }
        write!(f, ", length {})", self.length)
    }
}

/// Memory that ends before a page that is not mapped.
#[derive(Debug)]
pub(crate) struct Memory {
    start: *mut u8,
}

/// The longest buffer.
pub(crate) const LONGEST: usize = 65536;

impl Memory {
    pub(crate) fn map() -> Self {
        let size = LONGEST + 4096;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, which nothing else refers to; then its last page, likewise.
        let start = unsafe {
            let start = libc::mmap(ptr::null_mut(), size, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED, "mmap");
            let guard = start.cast::<u8>().add(LONGEST).cast();
            assert_eq!(libc::mprotect(guard, 4096, libc::PROT_NONE), 0);
            start.cast()
        };
        Self { start }
    }

    /// The last `room` bytes.
    fn end(&mut self, room: usize) -> &mut [u8] {
        assert!(room <= LONGEST);
        // SAFETY: mapped, readable, writable and borrowed once, with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(LONGEST - room), room) }
    }
}

/// Result or negative errno, the returned length, then each byte of the buffer up to the last
/// that was written, [`UNTOUCHED`] where none was.
pub(crate) type Answer = Vec<i32>;

pub(crate) const UNTOUCHED: i32 = -1;

/// Makes the call.
pub(crate) fn make(call: &Call, socket: RawFd, memory: &mut Memory) -> Answer {
    let buffer = memory.end(call.room.unwrap_or(0));
    let set = call.direction == Direction::Set;
    let fill = if set { 0 } else { FILL };
    buffer.fill(fill);
    let given = call.value.len().min(buffer.len());
    buffer[..given].copy_from_slice(&call.value[..given]);
    let address = match call.room {
        Some(_) => buffer.as_mut_ptr(),
        None => ptr::null_mut(),
    };
    let mut length = call.length.cast_unsigned();
    // SAFETY: `address` has room for what the kernel may write; where it has not, the kernel
    // answers EFAULT, for no mapping follows.
    let result = unsafe {
        if set {
            libc::setsockopt(socket, call.level, call.option, address.cast(), length)
        } else {
            let length = &raw mut length;
            libc::getsockopt(socket, call.level, call.option, address.cast(), length)
        }
    };
    let result = if result < 0 {
        -Errno::last_raw()
    } else {
        result
    };
    let mut answer = vec![result, length.cast_signed()];
    answer.extend(written(buffer, &call.value[..given], fill));
    if (call.level, call.option) == (libc::SOL_SOCKET, SO_PEERPIDFD) && !set && result == 0 {
        close(&buffer[..length as usize]);
    }
    answer
}

/// Each byte up to the last that differs from what was there before.
fn written(buffer: &[u8], value: &[u8], fill: u8) -> Vec<i32> {
    const CHUNK: usize = 256;
    // Whole chunks are compared fast, of which most are as they were.
    let untouched = [fill; CHUNK];
    let last = buffer[value.len()..]
        .chunks(CHUNK)
        .rposition(|chunk| *chunk != untouched[..chunk.len()]);
    let end = value.len() + last.map_or(0, |last| (last + 1) * CHUNK);
    let before = value.iter().chain(std::iter::repeat(&fill));
    let mut written: Vec<_> = buffer[..end.min(buffer.len())]
        .iter()
        .zip(before)
        .map(|(now, before)| {
            if now == before {
                UNTOUCHED
            } else {
                i32::from(*now)
            }
        })
        .collect();
    while written.last() == Some(&UNTOUCHED) {
        written.pop();
    }
    written
}

const SO_PEERPIDFD: i32 = 77;

fn close(number: &[u8]) {
    if let Ok(number) = number.try_into() {
        // SAFETY: the kernel has just made this descriptor for us.
        drop(unsafe { OwnedFd::from_raw_fd(RawFd::from_ne_bytes(number)) });
    }
}
