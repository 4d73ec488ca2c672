//! `select` and `WSAPoll`.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long, c_short};

use libc::{pollfd, timeval};

use crate::calls::{call, may_call};
use crate::code::Code;
use crate::kernel_wait;
use crate::last_error;
use crate::socket;
use crate::user_memory;

/// The head of Windows' `fd_set`: the number of sockets, which follow where their alignment puts them.
#[derive(Clone, Copy)]
#[repr(C)]
struct Set {
    count: u32,
    sockets: [usize; 0],
}

/// What a set asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
    Except,
}

/// More sockets than a process can have: a set with more is none.
const LIMIT: u32 = 1 << 20;

/// The sockets of a set; none of a set that is not there.
fn read(set: *mut Set) -> Result<Vec<usize>, Code> {
    if set.is_null() {
        return Ok(Vec::new());
    }
    let count = user_memory::read(set.cast::<u32>())?;
    if count > LIMIT {
        return Err(Code::INVAL);
    }
    (0..count as usize)
        .map(|index| user_memory::read(element(set, index)))
        .collect()
}

fn element(set: *mut Set, index: usize) -> *mut usize {
    let sockets = set.wrapping_byte_add(std::mem::offset_of!(Set, sockets));
    sockets.cast::<usize>().wrapping_add(index)
}

/// Leaves only these sockets in a set.
fn write(set: *mut Set, sockets: &[usize]) -> Result<(), Code> {
    if set.is_null() {
        return Ok(());
    }
    for (index, &socket) in sockets.iter().enumerate() {
        user_memory::write(element(set, index), socket)?;
    }
    user_memory::write(set.cast::<u32>(), sockets.len() as u32)
}

impl Purpose {
    fn events(self) -> c_short {
        match self {
            Purpose::Read => libc::POLLIN,
            Purpose::Write => libc::POLLOUT,
            Purpose::Except => libc::POLLPRI,
        }
    }

    /// Whether the socket stays in the set. A connect that failed is told in the set for exceptions, if
    /// the socket is in that.
    fn is_met(self, revents: c_short, excepts: bool) -> bool {
        let failed = revents & libc::POLLERR != 0;
        match self {
            Purpose::Read => revents & (libc::POLLIN | libc::POLLHUP) != 0 || failed,
            Purpose::Write => revents & libc::POLLOUT != 0 && !(failed && excepts),
            Purpose::Except => revents & libc::POLLPRI != 0 || failed,
        }
    }
}

/// `select`: how many sockets are ready; only those stay in the sets. 0 if none is before the time has
/// passed.
///
/// `WSAEINVAL` if there is no socket in any set, or for a time that is none; `WSAENOTSOCK`, also for one that
/// is closed meanwhile.
#[unsafe(no_mangle)]
pub extern "C" fn portkeep_winsock_select(
    _count: c_int,
    readable: *mut std::ffi::c_void,
    writable: *mut std::ffi::c_void,
    exceptional: *mut std::ffi::c_void,
    timeout: *const timeval,
) -> c_int {
    let sets = [
        (Purpose::Read, readable.cast::<Set>()),
        (Purpose::Write, writable.cast::<Set>()),
        (Purpose::Except, exceptional.cast::<Set>()),
    ];
    last_error::or_socket_error(select(sets, timeout))
}

fn select(sets: [(Purpose, *mut Set); 3], timeout: *const timeval) -> Result<c_int, Code> {
    may_call()?;
    let timeout = match timeout.is_null() {
        true => None,
        false => Some(time(user_memory::read(timeout)?)?),
    };
    let mut members = Vec::new();
    let mut polled: Vec<pollfd> = Vec::new();
    let mut places = BTreeMap::new();
    for (purpose, set) in sets {
        let sockets = read(set)?;
        for &socket in &sockets {
            let fd = socket::descriptor(socket)?;
            let events = purpose.events();
            let at = *places.entry(fd).or_insert(polled.len());
            match polled.get_mut(at) {
                Some(known) => known.events |= events,
                None => polled.push(pollfd {
                    fd,
                    events,
                    revents: 0,
                }),
            }
        }
        members.push((purpose, set, sockets));
    }
    if polled.is_empty() {
        return Err(Code::INVAL);
    }
    let (_, closed) = poll(&mut polled, timeout)?;
    if !closed.is_empty() || polled.iter().any(|it| it.revents & libc::POLLNVAL != 0) {
        return Err(Code::NOTSOCK);
    }
    let state = |socket: usize| {
        let at = c_int::try_from(socket).ok().and_then(|fd| places.get(&fd));
        at.map_or((0, false), |&at| {
            let it = polled[at];
            (it.revents, it.events & libc::POLLPRI != 0)
        })
    };
    let mut ready = 0;
    for (purpose, set, sockets) in &members {
        let met: Vec<usize> = sockets
            .iter()
            .copied()
            .filter(|&socket| {
                let (revents, excepts) = state(socket);
                purpose.is_met(revents, excepts)
            })
            .collect();
        write(*set, &met)?;
        ready += met.len() as c_int;
    }
    Ok(ready)
}

fn time(time: timeval) -> Result<libc::timespec, Code> {
    if time.tv_sec < 0 || !(0..1_000_000).contains(&time.tv_usec) {
        return Err(Code::INVAL);
    }
    Ok(libc::timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_usec as c_long * 1000,
    })
}

/// How many are ready, and which were closed while they were waited for.
fn poll(
    polled: &mut [pollfd],
    timeout: Option<libc::timespec>,
) -> Result<(c_int, Vec<c_int>), Code> {
    const NOW: libc::timespec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let is_now = timeout.is_some_and(|it| (it.tv_sec, it.tv_nsec) == (0, 0));
    let ready = poll_in_kernel(polled, Some(NOW))?;
    if ready != 0 || is_now {
        return Ok((ready, Vec::new()));
    }
    let sockets: Vec<c_int> = polled.iter().map(|it| it.fd).collect();
    let (ready, closed) = kernel_wait::at(&sockets, || poll_in_kernel(polled, timeout));
    Ok((ready.unwrap_or(Ok(0))?, closed))
}

fn poll_in_kernel(polled: &mut [pollfd], timeout: Option<libc::timespec>) -> Result<c_int, Code> {
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), |time| &raw const *time);
    let (first, count) = (polled.as_mut_ptr(), polled.len() as libc::nfds_t);
    // SAFETY: the pointers describe `polled` and the time, or no time.
    call(|| unsafe { libc::ppoll(first, count, timeout, std::ptr::null()) })
}

/// `WSAPoll`: as poll(2). A negative socket is passed over, with `POLLNVAL`; one that is closed meanwhile gets
/// that, too. `WSAEFAULT`, `WSAEINVAL` for
/// no socket.
#[unsafe(no_mangle)]
pub extern "C" fn WSAPoll(sockets: *mut pollfd, count: u32, timeout: c_int) -> c_int {
    let wait = || {
        may_call()?;
        if count == 0 || count > LIMIT {
            return Err(Code::INVAL);
        }
        let at = |index: usize| sockets.wrapping_add(index);
        let mut polled = (0..count as usize)
            .map(|index| user_memory::read(at(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let timeout = u32::try_from(timeout).ok().map(|timeout| libc::timespec {
            tv_sec: (timeout / 1000) as libc::time_t,
            tv_nsec: (timeout % 1000) as c_long * 1_000_000,
        });
        let (mut ready, closed) = poll(&mut polled, timeout)?;
        for (index, it) in polled.iter_mut().enumerate() {
            if it.fd < 0 {
                it.revents = libc::POLLNVAL;
            } else if closed.contains(&it.fd) {
                ready += c_int::from(it.revents == 0);
                it.revents = libc::POLLNVAL;
            }
            user_memory::write(at(index), *it)?;
        }
        Ok(ready)
    };
    last_error::or_socket_error(wait())
}
