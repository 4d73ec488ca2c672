//! The threads that answer calls.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::run::supervisor::Supervisor;

/// As many wait for calls where there is nothing to do.
const IDLE: usize = 2;
/// How many calls may be looked at together. A command that makes more of them wait for its own memory
/// stops its own binds, nobody else's.
const MAX: usize = 256;
/// Far more than a call takes.
const STACK: usize = 256 * 1024;

/// How many there are.
#[derive(Debug, Default)]
struct Count {
    all: AtomicUsize,
    idle: AtomicUsize,
}

/// Answers calls from now on, until nobody is left under the filter.
pub fn start(supervisor: Supervisor) -> io::Result<()> {
    let (supervisor, count) = (Arc::new(supervisor), Arc::new(Count::default()));
    (0..IDLE).try_for_each(|_| add(&supervisor, &count))
}

/// Adds a thread that waits for calls.
fn add(supervisor: &Arc<Supervisor>, count: &Arc<Count>) -> io::Result<()> {
    let (mine, counted) = (Arc::clone(supervisor), Arc::clone(count));
    count.all.fetch_add(1, Ordering::Relaxed);
    count.idle.fetch_add(1, Ordering::Relaxed);
    let builder = thread::Builder::new().stack_size(STACK);
    let started = builder.spawn(move || {
        // The listener fails only if it is no listener: its end is then that of the binds, too.
        let _ = work(&mine, &counted);
        counted.all.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        count.idle.fetch_sub(1, Ordering::Relaxed);
        count.all.fetch_sub(1, Ordering::Relaxed);
    }
    started.map(drop)
}

fn work(supervisor: &Arc<Supervisor>, count: &Arc<Count>) -> io::Result<()> {
    loop {
        let Some(notification) = supervisor.listener.receive()? else {
            if supervisor.listener.is_over() {
                return Ok(());
            }
            continue;
        };
        if count.idle.fetch_sub(1, Ordering::Relaxed) == 1
            && count.all.load(Ordering::Relaxed) < MAX
        {
            // This call may be one that takes for ever. Without another thread the next one waits for it.
            let _ = add(supervisor, count);
        }
        supervisor.serve(&notification)?;
        supervisor.opened.take_back(&supervisor.holding);
        if count.idle.fetch_add(1, Ordering::Relaxed) >= IDLE {
            count.idle.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
    }
}
