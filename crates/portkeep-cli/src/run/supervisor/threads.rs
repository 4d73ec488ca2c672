//! The threads that answer calls.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Whoever answers calls.
pub trait Serve: Send + Sync + 'static {
    type Call;

    /// Waits for the next call; `None` if none came.
    fn receive(&self) -> io::Result<Option<Self::Call>>;

    /// Whether none will come any more.
    fn is_over(&self) -> bool;

    fn serve(&self, call: Self::Call) -> io::Result<()>;
}

/// As many wait for calls where there is nothing to do.
const IDLE: usize = 2;
/// How many calls may be looked at together. A command that makes more of them wait for its own memory
/// stops its own binds, nobody else's.
const MAX: usize = 256;
/// Far more than a call takes.
pub const STACK: usize = 256 * 1024;

/// How many there are.
#[derive(Debug, Default)]
struct Count {
    all: AtomicUsize,
    idle: AtomicUsize,
}

/// Answers calls from now on, until none will come any more.
pub fn start(server: impl Serve) -> io::Result<()> {
    let (server, count) = (Arc::new(server), Arc::new(Count::default()));
    (0..IDLE).try_for_each(|_| add(&server, &count))
}

/// Adds a thread that waits for calls.
fn add<S: Serve>(server: &Arc<S>, count: &Arc<Count>) -> io::Result<()> {
    let (mine, counted) = (Arc::clone(server), Arc::clone(count));
    count.all.fetch_add(1, Ordering::Relaxed);
    count.idle.fetch_add(1, Ordering::Relaxed);
    let builder = thread::Builder::new().stack_size(STACK);
    let started = builder.spawn(move || {
        // What calls come by fails only if it is no such thing: its end is then that of the binds, too.
        let _ = work(&mine, &counted);
        counted.all.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        count.idle.fetch_sub(1, Ordering::Relaxed);
        count.all.fetch_sub(1, Ordering::Relaxed);
    }
    started.map(drop)
}

fn work<S: Serve>(server: &Arc<S>, count: &Arc<Count>) -> io::Result<()> {
    loop {
        let Some(call) = server.receive()? else {
            if server.is_over() {
                return Ok(());
            }
            continue;
        };
        if count.idle.fetch_sub(1, Ordering::Relaxed) == 1
            && count.all.load(Ordering::Relaxed) < MAX
        {
            // This call may be one that takes for ever. Without another thread the next one waits for it.
            let _ = add(server, count);
        }
        server.serve(call)?;
        if count.idle.fetch_add(1, Ordering::Relaxed) >= IDLE {
            count.idle.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
    }
}
