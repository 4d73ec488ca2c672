//! `CancelIo` and `CancelIoEx`.

use std::ffi::c_int;

use crate::code::Code;
use crate::last_error::true_or_last_error;
use crate::message::Direction;
use crate::monitor::{self, Guard};
use crate::notice::{Notice, Outcome};
use crate::overlapped::Overlapped;
use crate::socket::{self, Handle};
use crate::thread;

/// `CancelIo`: what the calling thread has pending on a socket ends with `WSA_OPERATION_ABORTED`. It
/// succeeds where there is nothing, too. `ERROR_INVALID_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn CancelIo(file: usize) -> c_int {
    let thread = thread::current();
    let cancel = || {
        let mut world = monitor::lock();
        let socket = socket::look_up(&mut world, file).map_err(|_| Code::INVALID_HANDLE)?;
        cancel(&mut world, socket, |notice, _| notice.thread == thread);
        Ok(())
    };
    true_or_last_error(cancel())
}

/// `CancelIoEx`: the operation of an `OVERLAPPED`, or with null all of the process's on the socket, end
/// with `WSA_OPERATION_ABORTED`. `ERROR_NOT_FOUND` if there is none, `ERROR_INVALID_HANDLE`.
///
/// An operation that a thread is making at this moment may still succeed, as on Windows.
#[unsafe(no_mangle)]
pub extern "C" fn CancelIoEx(file: usize, overlapped: *const Overlapped) -> c_int {
    let cancel = || {
        let mut world = monitor::lock();
        let socket = socket::look_up(&mut world, file).map_err(|_| Code::INVALID_HANDLE)?;
        let chosen = |notice: &Notice, _| {
            overlapped.is_null() || notice.overlapped == overlapped.expose_provenance()
        };
        match cancel(&mut world, socket, chosen) {
            0 => Err(Code::NOT_FOUND),
            _ => Ok(()),
        }
    };
    true_or_last_error(cancel())
}

/// Aborts operations of a socket; how many.
fn cancel(
    world: &mut Guard,
    socket: Handle,
    chosen: impl Fn(&Notice, Option<Direction>) -> bool,
) -> usize {
    let Some(entry) = world.sockets.get(socket) else {
        return 0;
    };
    let mut aborted = Vec::new();
    entry.waiting.retain(|request| {
        let taken = chosen(&request.notice, None);
        if taken {
            aborted.push(request.notice);
        }
        !taken
    });
    let (transfers, marked) = entry
        .transfers
        .cancel(|notice, direction| chosen(notice, Some(direction)));
    aborted.extend(transfers);
    for notice in &aborted {
        notice.complete(world, Outcome::ABORTED);
    }
    aborted.len() + marked
}

/// `SIO_FLUSH`: aborts the control calls that wait for their turn, and what waits to be sent.
pub(crate) fn flush(world: &mut Guard, socket: Handle) {
    cancel(world, socket, |_, direction| {
        direction != Some(Direction::Receive)
    });
    world.changed();
}
