//! Waits for ports that somebody else has.

use std::io;
use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portkeep::{Consumers, ErrorKind};
use portkeep_admin::Installation;

use crate::arguments::ports::{Limit, PortsArgument};
use crate::error::{Error, Kind, Result};
use crate::holding::{Holding, refusal};
use crate::output::say;
use crate::pidfd;

/// Who is to be told what, and who is to be heard meanwhile.
pub struct Surroundings<'a> {
    /// Whether to say on a terminal who is in the way.
    pub quiet: bool,
    /// What becomes readable if something is to be looked after.
    pub inputs: &'a [BorrowedFd<'a>],
    /// Looks after it; gives the signal that ends the waiting, if one came.
    pub look_after: &'a mut dyn FnMut() -> Result<Option<u8>>,
}

/// Acquires the ports; with `--wait` as soon as they can be had.
///
/// The end of the process that has the port is an event; that a process gives a port back is none, so it
/// is tried again and again, too.
pub fn acquire(
    installation: &Installation,
    ports: &PortsArgument,
    consumers: Consumers,
    surroundings: Surroundings<'_>,
) -> Result<Holding> {
    let start = Instant::now();
    let mut pause = PAUSE_MIN;
    let mut told = String::new();
    let mut ended = None;
    loop {
        let error = match Holding::acquire(ports, consumers) {
            Ok(holding) => return Ok(holding),
            Err(error) => error,
        };
        let left = match ports.wait {
            Some(Limit(limit)) if may_pass(error.kind()) && ports.fit_into_the_pool() => {
                limit.map_or(pause, |limit| limit.saturating_sub(start.elapsed()))
            }
            _ => Duration::ZERO,
        };
        if left.is_zero() {
            return Err(refusal(error, installation));
        }
        let owner = error.conflict().and_then(|conflict| conflict.owner_pid);
        if !surroundings.quiet && io::stderr().is_terminal() {
            let refusal = refusal(error, installation);
            if told != refusal.message() {
                say(&format!("waiting: {}", refusal.message()));
                told = refusal.message().to_owned();
            }
        }
        // One that has ended may have left the port to others. In a process namespace of our own the number
        // may be another process's; its end is no harm.
        let process = owner
            .filter(|pid| Some(*pid) != ended)
            .and_then(|pid| pidfd::open(pid.cast_signed(), 0).ok());
        let mut inputs: Vec<_> = surroundings.inputs.to_vec();
        inputs.extend(process.as_ref().map(|process| process.as_fd()));
        let ready = wait_for(&inputs, left.min(pause))?;
        if process.is_some() && ready.last() == Some(&true) {
            ended = owner;
        }
        if let Some(number) = (surroundings.look_after)()? {
            return Err(Error::new(Kind::Interrupted(number), "interrupted"));
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A port that is given back is had after half of this on average.
const PAUSE_MAX: Duration = Duration::from_millis(200);
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Whether what refused the ports is likely to pass.
fn may_pass(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Reserved
            | ErrorKind::InUse
            | ErrorKind::NoFreeBlock
            | ErrorKind::Quota
            | ErrorKind::TablesFull
            | ErrorKind::CannotTell
    )
}

/// Which of them are ready, after at most so long.
fn wait_for(inputs: &[BorrowedFd<'_>], limit: Duration) -> Result<Vec<bool>> {
    let mut polled: Vec<_> = inputs
        .iter()
        .map(|input| PollFd::new(*input, PollFlags::POLLIN))
        .collect();
    // Less than a millisecond is none, so one more.
    let limit = PollTimeout::try_from(limit + Duration::from_millis(1));
    match poll(&mut polled, limit.unwrap_or(PollTimeout::MAX)) {
        Ok(_) => Ok(polled.iter().map(|it| it.any().unwrap_or(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; inputs.len()]),
        Err(error) => Err(error.into()),
    }
}
