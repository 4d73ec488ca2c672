//! Finding out which way leads to the command's sockets: it is tried, whole, on the child that will be the
//! command, before it is executed.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::run::supervisor::memory;
use crate::run::supervisor::notification::{Call, Listener, Notification, Reply};
use crate::run::supervisor::options::Options;
use crate::run::supervisor::preload::{self, Channel};
use crate::run::supervisor::process;
use crate::run::supervisor::way::{self, Reach, Reached, Way};

/// Why no way leads there.
#[derive(Debug, Default)]
pub struct NoWay(Vec<(Step, Errno)>);

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something that every way needs, in words.
    Common(&'static str),
    /// A way, by the call that it stands or falls with.
    Way(Way),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common(what) => what,
            Self::Way(Way::Copy) => "pidfd_getfd",
            Self::Way(Way::Trace) => "ptrace",
            Self::Way(Way::Replace) => "replacing descriptors",
            Self::Way(Way::Preload) => "giving the command a channel",
        })
    }
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (what, error)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{what}: {}", error.desc())?;
        }
        Ok(())
    }
}

impl NoWay {
    pub fn of(what: &'static str, error: Errno) -> Self {
        Self(vec![(Step::Common(what), error)])
    }

    fn has(&self, way: Way) -> bool {
        self.0.iter().any(|(step, _)| *step == Step::Way(way))
    }

    fn add(&mut self, way: Way, error: Errno) {
        self.0.push((Step::Way(way), error));
    }
}

/// The child's side: a bind that would be of no effect, or what the library does for one. It is called
/// between fork and exec, so it must be async-signal-safe.
pub fn make(preloads: bool) {
    if preloads {
        preload::knock();
        return;
    }
    let open = |family| {
        // SAFETY: the call takes no pointers.
        unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }
    };
    let mut socket = open(libc::AF_INET);
    if socket < 0 {
        socket = open(libc::AF_INET6);
    }
    let address = [0_u8; 16];
    loop {
        let length = address.len() as libc::socklen_t;
        // SAFETY: the kernel reads the address, which is so long.
        let result = unsafe { libc::bind(socket, address.as_ptr().cast(), length) };
        if result == 0 || Errno::last() != Errno::EAGAIN {
            break;
        }
    }
    // SAFETY: nobody else uses it.
    unsafe { libc::close(socket) };
}

/// The holder's side: the best way, and how many filters the child has.
pub fn judge(listener: &Listener, preloads: bool) -> io::Result<Result<(Way, u32), NoWay>> {
    let mut failures = NoWay::default();
    loop {
        if listener.wait_or_over() {
            return Ok(Err(NoWay::of("the trial", Errno::ESRCH)));
        }
        let Some(trial) = listener.receive()? else {
            continue;
        };
        if preloads && trial.call.is_of_library() {
            return Ok(match Channel::open(listener, &trial) {
                Ok(_) => Ok((Way::Preload, process::filters(trial.pid))),
                Err(error) => {
                    listener.reply(&trial, Reply::Return(error as i32))?;
                    Err(NoWay(vec![(Step::Way(Way::Preload), error)]))
                }
            });
        }
        let Call::Bind {
            socket,
            address,
            length,
        } = trial.call
        else {
            listener.reply(&trial, Reply::Continue)?;
            continue;
        };
        if memory::read(trial.pid, address, length).is_none() {
            listener.reply(&trial, Reply::Return(libc::EACCES))?;
            let what = "reading the memory of the command";
            return Ok(Err(NoWay::of(what, Errno::EACCES)));
        }
        let filters = process::filters(trial.pid);
        if let Some(way) = judge_one(listener, &trial, socket, &mut failures)? {
            return Ok(Ok((way, filters)));
        }
        if failures.has(Way::Replace) {
            return Ok(Err(failures));
        }
    }
}

/// Tries one way after the other, until a call has been answered.
fn judge_one(
    listener: &Listener,
    trial: &Notification,
    socket: i32,
    failures: &mut NoWay,
) -> io::Result<Option<Way>> {
    for way in [Way::Copy, Way::Trace, Way::Replace] {
        if failures.has(way) {
            continue;
        }
        let reach = match way {
            Way::Copy => way::copy(trial, socket),
            Way::Trace => way::trace(listener, trial, socket, None),
            Way::Replace => way::replace(trial, socket, &Options::default(), None),
            Way::Preload => continue,
        };
        let error = match reach {
            Reach::Socket(reached) => match conclude(listener, trial, reached)? {
                Ok(()) => return Ok(Some(way)),
                Err(error) => error,
            },
            Reach::Nothing(error, None) => error,
            reach => {
                // The call has to be made once more.
                failures.add(way, Errno::EPERM);
                again(listener, trial, reach)?;
                return Ok(None);
            }
        };
        failures.add(way, error);
    }
    listener.reply(trial, Reply::Return(libc::ENOSYS))?;
    Ok(None)
}

fn conclude(
    listener: &Listener,
    trial: &Notification,
    reached: Reached,
) -> io::Result<Result<(), Errno>> {
    match reached {
        Reached::Copy(_) => listener.reply(trial, Reply::Return(0))?,
        Reached::Sent(stopped, _) => stopped.finish(0),
        Reached::New(replacement, _seized) => {
            if let Err(error) = replacement.place(listener, trial) {
                return Ok(Err(error));
            }
            listener.reply(trial, Reply::Return(0))?;
        }
    }
    Ok(Ok(()))
}

fn again(listener: &Listener, trial: &Notification, reach: Reach) -> io::Result<()> {
    const AGAIN: i32 = libc::EAGAIN;
    match reach {
        Reach::Stopped(stopped) => stopped.finish(-i64::from(AGAIN)),
        // It is traced until it has its answer.
        Reach::Nothing(_, _seized) => listener.reply(trial, Reply::Return(AGAIN))?,
        Reach::Socket(_) | Reach::Gone => {}
    }
    Ok(())
}
