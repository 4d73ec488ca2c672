//! Overlapped sending and receiving: of each socket and in each direction, one operation at a time, in
//! their order.
//!
//! An operation is attempted at once by its caller. What would have to wait stays in the queue, and the
//! engine goes on with it when the kernel says that the socket is ready.

use std::collections::VecDeque;

use crate::code::Code;
use crate::engine::{self, Interest};
use crate::message::{Direction, Message};
use crate::monitor::{self, Guard};
use crate::notice::{Notice, Outcome};
use crate::socket::{Handle, Socket};
use crate::status::Status;

/// An overlapped operation.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) message: Message,
    pub(crate) notice: Notice,
}

/// A socket's operations.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    receives: Queue,
    sends: Queue,
    pub(crate) interest: Interest,
    /// It is being closed: no more.
    pub(crate) closing: bool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Transfer>,
    /// That which a thread attempts, and which is not in the queue meanwhile.
    current: Option<Current>,
    /// The socket became ready during that.
    again: bool,
}

#[derive(Debug)]
struct Current {
    notice: Notice,
    cancelled: bool,
}

impl Transfers {
    fn queue(&mut self, direction: Direction) -> &mut Queue {
        match direction {
            Direction::Receive => &mut self.receives,
            Direction::Send => &mut self.sends,
        }
    }

    /// Whether a thread is in the kernel with the descriptor.
    pub(crate) fn is_active(&self) -> bool {
        self.receives.current.is_some() || self.sends.current.is_some()
    }

    pub(crate) fn waits(&self, direction: Direction) -> bool {
        let queue = match direction {
            Direction::Receive => &self.receives,
            Direction::Send => &self.sends,
        };
        !queue.waiting.is_empty() || queue.current.is_some()
    }

    /// Takes out the operations that `chosen` is true of, in their order. Of those that a thread is
    /// attempting it gives the number: they end by themselves.
    pub(crate) fn cancel(
        &mut self,
        chosen: impl Fn(&Notice, Direction) -> bool,
    ) -> (Vec<Notice>, usize) {
        let (mut taken, mut marked) = (Vec::new(), 0);
        for direction in [Direction::Receive, Direction::Send] {
            let queue = self.queue(direction);
            if let Some(current) = &mut queue.current
                && chosen(&current.notice, direction)
            {
                current.cancelled = true;
                marked += 1;
            }
            let all = std::mem::take(&mut queue.waiting);
            for transfer in all {
                match chosen(&transfer.notice, direction) {
                    true => taken.push(transfer.notice),
                    false => queue.waiting.push_back(transfer),
                }
            }
        }
        (taken, marked)
    }

    /// In a child of fork(2): the operations are its parent's.
    pub(crate) fn forget(&mut self) {
        *self = Transfers::default();
    }
}

/// Starts an operation: its outcome if that is known, `None` while it goes on.
///
/// One that fails at once is told to nobody but the caller, as on Windows.
pub(crate) fn submit(socket: Handle, transfer: Transfer) -> Result<Option<Outcome>, Code> {
    let mut world = monitor::lock();
    let direction = transfer.message.direction();
    let entry = world.sockets.get(socket).ok_or(Code::NOTSOCK)?;
    if entry.transfers.closing {
        return Err(Code::NOTSOCK);
    }
    let skips_port = entry.skips_port;
    let mut notice = transfer.notice;
    notice.start(&mut world)?;
    let Some(entry) = world.sockets.get(socket) else {
        notice.refuse(&mut world);
        return Err(Code::NOTSOCK);
    };
    let queue = entry.transfers.queue(direction);
    if queue.current.is_some() || !queue.waiting.is_empty() {
        queue.waiting.push_back(transfer);
        return Ok(None);
    }
    queue.current = Some(Current::of(&transfer));
    let Some((transfer, outcome)) = step(&mut world, socket, transfer) else {
        return Ok(None);
    };
    notice = transfer.notice;
    let result = match outcome.status.winsock() {
        Err(code) if outcome.status != Status::BUFFER_OVERFLOW => {
            notice.refuse(&mut world);
            world.changed();
            // Its end can only be told by the call.
            Err(code)
        }
        _ => {
            if skips_port && outcome.status == Status::SUCCESS {
                notice.port = None;
            }
            notice.complete(&mut world, outcome);
            Ok(Some(outcome))
        }
    };
    drain(&mut world, socket, direction);
    result
}

impl Current {
    fn of(transfer: &Transfer) -> Current {
        Current {
            notice: transfer.notice,
            cancelled: false,
        }
    }
}

/// Attempts the operation that is current. `None` if it waits, in front of the queue.
fn step(world: &mut Guard, socket: Handle, mut transfer: Transfer) -> Option<(Transfer, Outcome)> {
    let direction = transfer.message.direction();
    loop {
        if let Some(entry) = world.sockets.get(socket) {
            entry.transfers.queue(direction).again = false;
        }
        let attempted = world.unlocked(|| transfer.message.attempt(socket.descriptor));
        let Some(entry) = world.sockets.get(socket) else {
            // Closed by close(2), which waits for nobody.
            return Some((transfer, attempted.unwrap_or(Outcome::ABORTED)));
        };
        let closing = entry.transfers.closing;
        let queue = entry.transfers.queue(direction);
        let cancelled = closing || queue.current.as_ref().is_none_or(|it| it.cancelled);
        if attempted.is_none() && !cancelled {
            if queue.again {
                continue;
            }
            if let Err(code) = engine::arm(world, socket, direction) {
                if let Some(entry) = world.sockets.get(socket) {
                    entry.transfers.queue(direction).current = None;
                }
                return Some((transfer, Err(code).into()));
            }
            let queue = world.sockets.get(socket)?.transfers.queue(direction);
            queue.current = None;
            queue.waiting.push_front(transfer);
            return None;
        }
        queue.current = None;
        return Some((transfer, attempted.unwrap_or(Outcome::ABORTED)));
    }
}

/// Goes on with what waits, as far as the socket is ready.
fn drain(world: &mut Guard, socket: Handle, direction: Direction) {
    loop {
        let Some(entry) = world.sockets.get(socket) else {
            return;
        };
        let queue = entry.transfers.queue(direction);
        if queue.current.is_some() {
            return;
        }
        let Some(transfer) = queue.waiting.pop_front() else {
            // A thread may wait to close it.
            world.changed();
            return;
        };
        queue.current = Some(Current::of(&transfer));
        match step(world, socket, transfer) {
            Some((transfer, outcome)) => transfer.notice.complete(world, outcome),
            None => {
                world.changed();
                return;
            }
        }
    }
}

/// The kernel says that the socket is ready.
pub(crate) fn ready(world: &mut Guard, socket: Handle, direction: Direction) {
    let Some(Socket { transfers, .. }) = world.sockets.get(socket) else {
        return;
    };
    let queue = transfers.queue(direction);
    if queue.current.is_some() {
        queue.again = true;
        return;
    }
    drain(world, socket, direction);
}
