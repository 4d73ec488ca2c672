//! Where no thread is made to make calls.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::run::supervisor::notification::{Listener, Notification};

/// There is none.
#[derive(Debug)]
pub enum Stopped {}

/// There is none.
#[derive(Debug)]
pub enum Seized {}

#[derive(Debug)]
#[allow(dead_code, reason = "as where threads are traced")]
pub enum Fetched {
    Copy(Stopped, OwnedFd),
    Refused(Stopped, Errno),
    Gone,
    Untouched(Option<Seized>, Errno),
}

pub fn fetch(_: &Listener, _: &Notification, _: i32) -> Fetched {
    Fetched::Untouched(None, Errno::ENOSYS)
}

impl Stopped {
    pub fn finish(self, _: i64) {
        match self {}
    }

    pub fn repeat(self, _: i64) {
        match self {}
    }
}
