//! The server of a `run`, in a thread of the process that holds the ports.

use std::io::{self, PipeWriter};
use std::os::fd::AsFd as _;
use std::thread::{self, JoinHandle};

use crate::error::Result;
use crate::output::say;
use crate::serve::Server;

/// A server that runs until this is dropped; then its ports are free.
#[derive(Debug)]
pub struct Background {
    /// Its end wakes the server.
    waker: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub fn start(mut server: Server) -> Result<Self> {
        let (woken, waker) = io::pipe()?;
        server.wake_by(woken.as_fd())?;
        let serve = move || {
            let _woken = woken;
            if let Err(error) = server.serve() {
                say(&format!("the port server has ended: {error}"));
            }
        };
        let thread = thread::Builder::new().name("serve".into()).spawn(serve)?;
        Ok(Self {
            waker: Some(waker),
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.waker = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
