//! The inner run's side: it makes the calls that the outer one sends.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::run::supervisor::Shared;
use crate::run::supervisor::inner::{Door, ToInner, ToOuter, channel};
use crate::run::supervisor::let_in::LetIn;
use crate::run::supervisor::request::Request;
use crate::run::supervisor::threads::{self, Serve};

/// Makes what comes through the door, until the outer run has gone.
pub fn serve(door: Door, holding: &Arc<Shared>) -> io::Result<()> {
    threads::start(Served {
        door,
        let_in: LetIn::new(Arc::clone(holding))?,
        over: AtomicBool::new(false),
    })
}

#[derive(Debug)]
struct Served {
    door: Door,
    let_in: LetIn,
    over: AtomicBool,
}

/// A call that is to be made.
#[derive(Debug)]
struct Sent {
    id: u64,
    request: Request,
    socket: OwnedFd,
}

impl Serve for Served {
    type Call = Sent;

    fn receive(&self) -> io::Result<Option<Sent>> {
        Ok(match channel::receive(self.door.0.as_fd())? {
            Some((ToInner::Make { id, request }, Some(socket))) => Some(Sent {
                id,
                request,
                socket,
            }),
            Some(_) => None,
            None => {
                self.over.store(true, Ordering::Relaxed);
                None
            }
        })
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn serve(&self, sent: Sent) -> io::Result<()> {
        let result = // The outer run does not tell who: it is a descendant of ours.
        self.let_in
            .make(None, sent.socket.as_fd(), &sent.request);
        drop(sent.socket);
        let answer = ToOuter::Answer {
            id: sent.id,
            result,
        };
        channel::send(self.door.0.as_fd(), &answer, None)?;
        self.let_in.take_back(|| false);
        Ok(())
    }
}
