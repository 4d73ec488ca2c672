//! How the end of an overlapped operation is told: by its `OVERLAPPED`, and by an event, a completion
//! routine or a completion port.

use std::ffi::c_void;

use crate::code::Code;
use crate::monitor::{self, Guard};
use crate::overlapped::{self, Overlapped};
use crate::port::{Association, Packet};
use crate::socket::Handle;
use crate::status::Status;
use crate::thread::{self, CompletionRoutine, Due, ThreadId};
use crate::user_memory;

/// Whom an operation's end is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    /// The address of the `OVERLAPPED`.
    pub(crate) overlapped: usize,
    pub(crate) completion: Completion,
    /// Besides. An event with its lowest bit set wants no packet.
    pub(crate) port: Option<Association>,
    /// Who made it, and takes it along when it ends, unless a port is told.
    pub(crate) thread: ThreadId,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Completion {
    /// By the `OVERLAPPED` alone.
    Quiet,
    Event(usize),
    Routine {
        routine: CompletionRoutine,
        thread: ThreadId,
    },
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) bytes: u32,
    /// Of what was received.
    pub(crate) flags: u32,
}

impl Outcome {
    pub(crate) const ABORTED: Outcome = Outcome::failed(Status(0xC000_0120));

    const fn failed(status: Status) -> Outcome {
        Outcome {
            status,
            bytes: 0,
            flags: 0,
        }
    }
}

impl From<Result<u32, Code>> for Outcome {
    fn from(result: Result<u32, Code>) -> Outcome {
        match result {
            Ok(bytes) => Outcome {
                status: Status::SUCCESS,
                bytes,
                flags: 0,
            },
            Err(code) => Outcome::failed(code.into()),
        }
    }
}

impl Notice {
    /// What a program has asked for by its `OVERLAPPED` and its routine, which is called by `routines`.
    ///
    /// With a routine the event is ignored, and the socket may have no port.
    pub(crate) fn new(
        socket: Handle,
        overlapped: *mut Overlapped,
        routine: Option<CompletionRoutine>,
        routines: ThreadId,
    ) -> Result<Notice, Code> {
        user_memory::check_writable(overlapped.cast(), size_of::<Overlapped>())?;
        let event = user_memory::read(overlapped)?.event;
        let completion = match (routine, event) {
            (Some(routine), _) => {
                user_memory::check_readable(routine as *const c_void, 1)?;
                Completion::Routine {
                    routine,
                    thread: routines,
                }
            }
            (None, 0) => Completion::Quiet,
            (None, event) => Completion::Event(event),
        };
        let thread = thread::current();
        let mut world = monitor::lock();
        let port = world.sockets.get(socket).ok_or(Code::NOTSOCK)?.port;
        if port.is_some() && routine.is_some() {
            return Err(Code::INVAL);
        }
        Ok(Notice {
            overlapped: overlapped.expose_provenance(),
            completion,
            port: port.filter(|_| event & 1 == 0),
            thread,
        })
    }

    /// Whose end would abort the operation; 0 is nobody's. One that tells a port outlives its thread.
    pub(crate) fn bound_to(&self) -> ThreadId {
        match self.port {
            Some(_) => 0,
            None => self.thread,
        }
    }

    /// Marks the operation as under way. A new operation resets its event, as Windows' I/O manager does.
    pub(crate) fn start(&self, world: &mut Guard) -> Result<(), Code> {
        if let Completion::Event(event) = self.completion {
            world.handles.put_event(event, false)?;
        }
        overlapped::start(self.overlapped)?;
        world.pending.insert(self.overlapped, self.bound_to());
        Ok(())
    }

    /// Tells the end.
    pub(crate) fn complete(&self, world: &mut Guard, outcome: Outcome) {
        overlapped::finish(self.overlapped, outcome);
        self.tell(world, outcome);
    }

    /// Tells it to all but the `OVERLAPPED`.
    pub(crate) fn tell(&self, world: &mut Guard, outcome: Outcome) {
        world.pending.remove(&self.overlapped);
        match self.completion {
            Completion::Quiet => {}
            // An event that has been closed since is the program's affair.
            Completion::Event(event) => drop(world.handles.put_event(event, true)),
            Completion::Routine { routine, thread } => world.threads.queue(
                thread,
                Due::Completion {
                    routine,
                    error: outcome
                        .status
                        .winsock()
                        .map_or_else(|code| code.0.unsigned_abs(), |()| 0),
                    bytes: outcome.bytes,
                    overlapped: self.overlapped,
                    flags: outcome.flags,
                },
            ),
        }
        if let Some(Association { port, key }) = self.port {
            let packet = Packet {
                key,
                overlapped: self.overlapped,
                status: outcome.status,
                bytes: outcome.bytes,
            };
            // A port that has been closed since, too.
            let _ = world.post(port, packet);
        }
        world.changed();
    }

    /// Forgets an operation that was refused at once: nobody is told but the caller.
    pub(crate) fn refuse(&self, world: &mut Guard) {
        world.pending.remove(&self.overlapped);
    }
}
