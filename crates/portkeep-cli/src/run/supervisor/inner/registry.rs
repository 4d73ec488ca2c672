//! The runs within this one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel as queue};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::getpid;

use crate::run::supervisor::inner::{ToInner, ToOuter, channel};
use crate::run::supervisor::notification::{Listener, Notification};
use crate::run::supervisor::process;
use crate::run::supervisor::request::Request;
use crate::run::supervisor::threads::STACK;

/// How many there may be; each takes a descriptor and a thread.
const MAX: usize = 256;
/// How far up is looked for them: no real tree is deeper.
const DEPTH: usize = 1024;
/// How long a call waits for an inner holder, which makes it at once unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// The inner runs.
#[derive(Debug, Default)]
pub struct Registry {
    runs: Mutex<Vec<Arc<Run>>>,
    /// Whether there has ever been one.
    used: AtomicBool,
}

/// One of them.
#[derive(Debug)]
pub struct Run {
    holder: i32,
    user: u32,
    channel: OwnedFd,
    ranges: Mutex<Vec<(u16, u16)>>,
    calls: Mutex<HashMap<u64, Sender<Option<i32>>>>,
    last: AtomicU64,
}

/// Who makes a call.
#[derive(Debug)]
pub enum Place {
    /// An inner holder: it meets ours like a stranger.
    Holder,
    /// A process in these runs that have the port, the innermost first.
    Within(Vec<Arc<Run>>),
}

impl Registry {
    /// Opens the door to an inner holder that knocks.
    pub fn open(self: &Arc<Self>, listener: &Listener, knock: &Notification) -> Result<(), Errno> {
        let holder = process::of_thread(knock.pid).ok_or(Errno::ESRCH)?;
        let user = process::user(holder).ok_or(Errno::ESRCH)?;
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let run = Arc::new(Run {
            holder,
            user,
            channel: ours,
            ranges: Mutex::default(),
            calls: Mutex::default(),
            last: AtomicU64::new(0),
        });
        {
            let mut runs = lock(&self.runs);
            if runs.len() >= MAX {
                return Err(Errno::EUSERS);
            }
            runs.push(Arc::clone(&run));
            self.used.store(true, Ordering::Release);
        }
        let (registry, heard) = (Arc::clone(self), Arc::clone(&run));
        let hear = move || {
            let _ = heard.hear();
            registry.remove(&heard);
        };
        let builder = thread::Builder::new().stack_size(STACK);
        if builder.spawn(hear).is_err() {
            self.remove(&run);
            return Err(Errno::EAGAIN);
        }
        // If it fails the other end is closed, and the thread ends.
        listener.answer_with(knock, theirs.as_fd())
    }

    fn remove(&self, run: &Arc<Run>) {
        lock(&self.runs).retain(|other| !Arc::ptr_eq(other, run));
        // Whoever waits for an answer learns that none will come.
        lock(&run.calls).clear();
    }

    /// Where the caller is among the runs that have a port.
    pub fn place(&self, thread: i32, port: u16) -> Place {
        let runs = match self.used.load(Ordering::Acquire) {
            true => lock(&self.runs).clone(),
            false => Vec::new(),
        };
        // To ask for the process costs more than all the rest.
        let first = (!runs.is_empty()).then(|| process::of_thread(thread));
        let Some(first) = first.flatten() else {
            return Place::Within(Vec::new());
        };
        if runs.iter().any(|run| run.holder == first) {
            return Place::Holder;
        }
        let user = process::user(first);
        let us = getpid().as_raw();
        let mut within = Vec::new();
        let mut process = first;
        for _ in 0..DEPTH {
            match process::parent(process) {
                Some(parent) if parent > 1 && parent != us => process = parent,
                _ => break,
            }
            let around = runs.iter().filter(|run| run.holder == process);
            // Another user's socket is none of an ordinary user's business.
            let around = around.filter(|run| run.user == 0 || Some(run.user) == user);
            within.extend(around.filter(|run| run.has_port(port)).cloned());
        }
        Place::Within(within)
    }
}

impl Run {
    fn has_port(&self, port: u16) -> bool {
        let ranges = lock(&self.ranges);
        ranges
            .iter()
            .any(|(first, last)| (first..=last).contains(&&port))
    }

    /// Takes what the inner holder sends, until it ends.
    fn hear(&self) -> io::Result<()> {
        while let Some((message, _)) = channel::receive(self.channel.as_fd())? {
            match message {
                ToOuter::Register(ranges) => {
                    *lock(&self.ranges) = ranges;
                    channel::send(self.channel.as_fd(), &ToInner::Registered, None)?;
                }
                ToOuter::Answer { id, result } => {
                    if let Some(waiting) = lock(&self.calls).remove(&id) {
                        let _ = waiting.send(result);
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the inner holder make a call; gives 0 or its errno, or `None` if it is not about its ports, or
    /// if it has gone.
    pub fn make(&self, socket: BorrowedFd<'_>, request: &Request) -> Option<i32> {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let (waiting, answer) = queue();
        lock(&self.calls).insert(id, waiting);
        let request = request.clone();
        let message = ToInner::Make { id, request };
        let sent = channel::send(self.channel.as_fd(), &message, Some(socket));
        let answer = match sent {
            Ok(()) => answer.recv_timeout(PATIENCE),
            // It does not read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(libc::EADDRINUSE)),
            Err(_) => Ok(None),
        };
        lock(&self.calls).remove(&id);
        match answer {
            Ok(result) => result,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Some(libc::EADDRINUSE),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
