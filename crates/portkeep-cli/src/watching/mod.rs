//! What the kernel part tells watchers: refusals, and reservations that begin and end.
//!
//! The kernel part keeps a ring of events that it writes only while somebody watches. A watcher is a
//! socket, so it ends with its process. It asks for events; nothing wakes it up.

mod event;
mod kernel;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portkeep_admin::Installation;

use crate::control_cgroup::InControlCgroup;
use crate::error::{Context as _, Error, Kind, Result};

pub use event::{Event, REFUSALS, What};
use kernel::{Asked, Watcher};

/// How often to ask while nothing happens: less than half a percent of a processor.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often to ask while something does.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Watches until `tell` or the reader of standard output ends it. Portkeep may be disabled and enabled
/// meanwhile.
pub fn watch(
    installation: &Installation,
    kinds: u64,
    mut tell: impl FnMut(&[Event]) -> Result<()>,
) -> Result<()> {
    portkeep::version()
        .map(drop)
        .or_else(|error| match error.kind() {
            // With `enable --control` the socket only has to be made in a control cgroup.
            portkeep::ErrorKind::NotEnabled => start(installation, kinds).map(drop),
            _ => Err(error.into()),
        })?;
    let mut watcher = Some(start(installation, kinds)?);
    let mut state = State::default();
    tell(&[Event::now(What::Watching)])?;
    let mut pause = PAUSE_MIN;
    loop {
        let asked = match &watcher {
            Some(watcher) => watcher.ask()?,
            None => Asked::Gone,
        };
        let mut more = false;
        let told = match asked {
            Asked::Events(batch) => {
                more = batch.more;
                state.take(batch)
            }
            // Disabled, or disabled and enabled again.
            Asked::Gone => {
                watcher = start(installation, kinds).ok();
                state.lost = 0;
                match watcher {
                    None => state.disabled(),
                    Some(_) => Vec::new(),
                }
            }
        };
        pause = match told.is_empty() {
            true => (pause * 2).min(PAUSE_MAX),
            false => PAUSE_MIN,
        };
        if !told.is_empty() {
            tell(&told)?;
        }
        if !more {
            wait(pause)?;
        }
    }
}

fn start(installation: &Installation, kinds: u64) -> Result<Watcher> {
    let _visit = InControlCgroup::enter(installation);
    Watcher::start(kinds)
}

/// What has been told.
#[derive(Debug, Default)]
struct State {
    lost: u64,
    /// When Portkeep was enabled; `None` before the first answer.
    enabled: Option<u64>,
    is_disabled: bool,
}

impl State {
    fn take(&mut self, batch: kernel::Batch) -> Vec<Event> {
        let mut told = batch.events;
        if batch.lost > self.lost {
            let count = batch.lost - self.lost;
            told.insert(0, Event::now(What::Lost(count)));
            self.lost = batch.lost;
        }
        let is_new = self.enabled.is_some_and(|time| time != batch.enabled);
        if is_new || self.is_disabled {
            let place = told.iter().position(|event| event.time > batch.enabled);
            let event = Event::at(What::Enabled, batch.enabled);
            told.insert(place.unwrap_or(told.len()), event);
        }
        self.enabled = Some(batch.enabled);
        self.is_disabled = false;
        told
    }

    fn disabled(&mut self) -> Vec<Event> {
        let events = match self.is_disabled {
            true => Vec::new(),
            false => vec![Event::now(What::Disabled)],
        };
        self.is_disabled = true;
        events
    }
}

/// Waits, unless the reader of standard output goes.
fn wait(pause: Duration) -> Result<()> {
    let stdout = std::io::stdout();
    let output: BorrowedFd<'_> = stdout.as_fd();
    // Of a pipe without a reader the kernel tells, asked or not.
    let mut polled = [PollFd::new(output, PollFlags::empty())];
    let limit = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, limit) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Ok(_) => Err(Error::new(Kind::OutputClosed, "the reader has gone")),
        Err(error) => Err(error).context("cannot wait"),
    }
}
