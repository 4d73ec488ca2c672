//! The engine of overlapped sending and receiving: one thread, which sleeps in epoll(7) until a socket
//! that somebody waits for is ready. It is there from the first operation on that has to wait.
//!
//! Readiness is told as an edge: the thread attempts until the kernel has no more. The kernel is asked
//! only for the directions in which operations wait, so that a socket whose program waits for nothing
//! costs nothing; that it need not be asked any more is noted at the next edge, so a program that
//! receives again and again changes nothing there.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use crate::code::Code;
use crate::message::Direction;
use crate::monitor::{self, Guard};
use crate::queue;
use crate::socket::Handle;

/// The events that one call of epoll_wait(2) tells.
const EVENTS: usize = 64;
/// It calls no code of the program's.
const STACK: usize = 256 * 1024;

const RECEIVE: u32 = libc::EPOLLIN as u32;
const SEND: u32 = libc::EPOLLOUT as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// What the kernel is asked to tell of a socket; `None` if it does not know it.
pub(crate) type Interest = Option<u32>;

#[derive(Debug)]
pub(crate) struct Engine {
    epoll: Option<c_int>,
}

impl Engine {
    pub(crate) const fn new() -> Engine {
        Engine { epoll: None }
    }
}

fn bit(direction: Direction) -> u32 {
    match direction {
        Direction::Receive => RECEIVE,
        Direction::Send => SEND,
    }
}

/// Has the kernel tell when a socket is ready in a direction, at once if it is.
pub(crate) fn arm(world: &mut Guard, socket: Handle, direction: Direction) -> Result<(), Code> {
    let epoll = match world.engine.epoll {
        Some(epoll) => epoll,
        None => start(world)?,
    };
    let entry = world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
    let before = entry.transfers.interest;
    let wanted = before.unwrap_or(0) | bit(direction);
    if before != Some(wanted) {
        ask(epoll, socket, before, wanted)?;
        entry.transfers.interest = Some(wanted);
    }
    Ok(())
}

fn ask(epoll: c_int, socket: Handle, before: Interest, events: u32) -> Result<(), Code> {
    let control = |operation| {
        let mut event = libc::epoll_event {
            events: events | EDGE,
            u64: socket.mark(),
        };
        // SAFETY: `event` outlives the call.
        match unsafe { libc::epoll_ctl(epoll, operation, socket.descriptor, &raw mut event) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().raw_os_error()),
        }
    };
    let (first, second) = match before {
        None => (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD),
        Some(_) => (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD),
    };
    // A copy of a descriptor that close(2) has closed is known under the same number.
    control(first)
        .or_else(|errno| match errno {
            Some(libc::EEXIST | libc::ENOENT) => control(second),
            errno => Err(errno),
        })
        .map_err(|_| Code::NOBUFS)
}

/// Has the kernel forget a socket, before its descriptor is closed: a copy may live on.
pub(crate) fn forget(world: &mut Guard, descriptor: c_int, interest: Interest) {
    if let (Some(epoll), Some(_)) = (world.engine.epoll, interest) {
        let nothing = std::ptr::null_mut();
        // SAFETY: the operation takes no event. One that is not there is no error.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, descriptor, nothing) };
    }
}

fn start(world: &mut Guard) -> Result<c_int, Code> {
    // SAFETY: it takes no pointers.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(Code::last_os_error());
    }
    // The program's signals are for its own threads.
    let spawned = without_signals(|| spawn(epoll));
    if spawned != 0 {
        // SAFETY: nobody else has it.
        unsafe { libc::close(epoll) };
        return Err(Code::NOBUFS);
    }
    world.engine.epoll = Some(epoll);
    Ok(epoll)
}

/// Not a thread of the standard library: what that allocates would be lost in a child of fork(2).
fn spawn(epoll: c_int) -> c_int {
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    let argument = std::ptr::without_provenance_mut(epoll as usize);
    // SAFETY: the attributes are made by the first call, used by the others and ended by the last;
    // `thread` is only written to.
    unsafe {
        let result = libc::pthread_attr_init(attributes.as_mut_ptr());
        if result != 0 {
            return result;
        }
        let attributes = attributes.as_mut_ptr();
        libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(attributes, STACK);
        let result = libc::pthread_create(thread.as_mut_ptr(), attributes, serve, argument);
        libc::pthread_attr_destroy(attributes);
        result
    }
}

/// A thread that is started meanwhile gets no signals.
fn without_signals<T>(action: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the sets are made by the first two calls, and used after.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = action();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}

extern "C" fn serve(epoll: *mut c_void) -> *mut c_void {
    let epoll = epoll.addr() as c_int;
    // SAFETY: the name is a string, of less than 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"portkeep-io".as_ptr(), 0, 0, 0) };
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    loop {
        // SAFETY: the pointer and the number describe `events`.
        let told = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as c_int, -1) };
        let mut world = monitor::lock();
        for event in &events[..usize::try_from(told).unwrap_or(0)] {
            let (mark, what) = (event.u64, event.events);
            let Some(socket) = world.sockets.marked(mark) else {
                continue;
            };
            for direction in [Direction::Receive, Direction::Send] {
                if what & (bit(direction) | ALWAYS) != 0 {
                    queue::ready(&mut world, socket, direction);
                }
            }
            lose_interest(&mut world, epoll, socket);
        }
    }
}

/// Asks no more for a direction in which nothing waits.
fn lose_interest(world: &mut Guard, epoll: c_int, socket: Handle) {
    let Some(entry) = world.sockets.get(socket) else {
        return;
    };
    let transfers = &mut entry.transfers;
    let wanted = [Direction::Receive, Direction::Send]
        .into_iter()
        .filter(|&direction| transfers.waits(direction))
        .fold(0, |wanted, direction| wanted | bit(direction));
    let before = transfers.interest;
    let wanted = before.unwrap_or(0) & wanted;
    if before != Some(wanted) && ask(epoll, socket, before, wanted).is_ok() {
        transfers.interest = Some(wanted);
    }
}

/// In a child of fork(2): the thread is the parent's, and so is what epoll watches. The child begins anew.
pub(crate) fn begin_in_child(world: &mut Guard) {
    if let Some(epoll) = world.engine.epoll.take() {
        // SAFETY: the child's copy, which nobody uses any more.
        unsafe { libc::close(epoll) };
    }
    for socket in world.sockets.iter_mut() {
        socket.transfers.forget();
    }
}
