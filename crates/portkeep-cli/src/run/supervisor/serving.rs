//! The holder's side of the filter.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::run::supervisor::handover::Tried;
use crate::run::supervisor::inner::{Place, Registry};
use crate::run::supervisor::kept::Bound;
use crate::run::supervisor::let_in::LetIn;
use crate::run::supervisor::notification::{Call, Listener, Notification, Reply};
use crate::run::supervisor::options::{NOTED, Noted, Options, VALUE_MAX};
use crate::run::supervisor::preload::{Channel, Sent};
use crate::run::supervisor::request::Request;
use crate::run::supervisor::threads::{self, Serve};
use crate::run::supervisor::turns::Turns;
use crate::run::supervisor::way::{self, Reach, Reached, Stopped, Way};
use crate::run::supervisor::{Shared, address, memory, process, socket};

/// Answers the calls of the command, until nobody is left under the filter.
pub fn serve(tried: Tried, holding: &Arc<Shared>) -> io::Result<()> {
    threads::start(Supervisor {
        listener: tried.listener,
        way: tried.way,
        filters: tried.filters,
        let_in: LetIn::new(Arc::clone(holding))?,
        inner: Arc::default(),
        options: Options::default(),
        bound: Bound::default(),
        repeated: Mutex::default(),
        turns: Turns::default(),
    })
}

#[derive(Debug)]
struct Supervisor {
    listener: Listener,
    way: Way,
    /// How many filters the command was started with.
    filters: u32,
    let_in: LetIn,
    inner: Arc<Registry>,
    /// Of sockets that may have to be replaced.
    options: Options,
    bound: Bound,
    /// The threads that make their calls once more, for they could not send their sockets.
    repeated: Mutex<HashSet<i32>>,
    turns: Turns,
}

impl Serve for Supervisor {
    type Call = Notification;

    fn receive(&self) -> io::Result<Option<Notification>> {
        self.listener.receive()
    }

    fn is_over(&self) -> bool {
        self.listener.is_over()
    }

    fn serve(&self, caller: Notification) -> io::Result<()> {
        self.answer(&caller)?;
        self.let_in.take_back(|| self.bound.drop_useless(None));
        Ok(())
    }
}

impl Supervisor {
    fn answer(&self, caller: &Notification) -> io::Result<()> {
        if caller.call.is_knock() {
            return match self.inner.open(&self.listener, caller) {
                Ok(()) => Ok(()),
                Err(error) => self.listener.reply(caller, Reply::Return(error as i32)),
            };
        }
        if caller.call.is_of_library() {
            return self.serve_library(caller);
        }
        match caller.call {
            Call::Bind {
                socket,
                address,
                length,
            } => self.bind(caller, socket, address, length),
            Call::Listen { socket, backlog } => self.listen(caller, socket, backlog),
            Call::SetOption {
                socket,
                level,
                name,
                value,
                length,
            } => {
                let option = Noted { level, name };
                let _ = self.note(caller, socket, option, value, length);
                self.listener.reply(caller, Reply::Continue)
            }
        }
    }

    fn note(
        &self,
        caller: &Notification,
        number: i32,
        option: Noted,
        value: u64,
        length: usize,
    ) -> Option<()> {
        if !NOTED.contains(&option) {
            return None;
        }
        let value = memory::read(caller.pid, value, length.min(VALUE_MAX))?;
        let inode = process::socket_inode(caller.pid, number)?;
        if self.listener.is_waiting(caller) {
            self.options.note(inode, option, value);
        }
        Some(())
    }

    /// The kernel goes on with a call that cannot be examined; the holders refuse it there.
    fn bind(
        &self,
        caller: &Notification,
        number: i32,
        address: u64,
        length: usize,
    ) -> io::Result<()> {
        let may_be = address::OF_IP.contains(&length) || length == address::STORAGE;
        let bytes = may_be.then(|| memory::read(caller.pid, address, length));
        let Some(bytes) = bytes.flatten() else {
            return self.listener.reply(caller, Reply::Continue);
        };
        let request = Request::Bind(bytes);
        let port = request.address().map_or(0, |address| address.port());
        if port == 0 {
            return self.listener.reply(caller, Reply::Continue);
        }
        let place = self.inner.place(caller.pid, port);
        if !self.is_ours(&place, port, caller) {
            return self.listener.reply(caller, Reply::Continue);
        }
        self.turns.take(port, || {
            // A socket of ours that is there still has been closed, or is in the way of this one as well.
            self.bound.drop_useless(Some(port));
            match self.reach_to_bind(caller, number) {
                Reach::Socket(reached) => {
                    let result = self.make(caller, &place, reached.socket(), &request);
                    self.conclude(caller, number, &request, reached, result)
                }
                reach => self.give_up(caller, libc::SYS_bind, reach),
            }
        })
    }

    /// Whether the caller may bind to the port, which is noted if not. An inner holder, which binds for its
    /// own command, must not wait for its turn here: the turn waits for it.
    fn is_ours(&self, place: &Place, port: u16, caller: &Notification) -> bool {
        let Place::Within(runs) = place else {
            return false;
        };
        let is_ours = !runs.is_empty() || self.let_in.has_port(port, Some(caller.pid));
        if !is_ours {
            self.let_in.note_attempt(port);
        }
        is_ours
    }

    fn listen(&self, caller: &Notification, number: i32, backlog: i32) -> io::Result<()> {
        let request = Request::Listen(backlog);
        match self.reach_to_listen(caller, number) {
            Reach::Socket(reached) => {
                let place = match socket::port(reached.socket()) {
                    Some(port) => self.inner.place(caller.pid, port),
                    None => Place::Holder,
                };
                let result = self.make(caller, &place, reached.socket(), &request);
                self.conclude(caller, number, &request, reached, result)
            }
            reach => self.give_up(caller, libc::SYS_listen, reach),
        }
    }

    /// Makes a call for a program that has loaded the library. Its socket, which nobody has to reach, is
    /// closed before the answer: it has no copy in the way of its next call.
    fn serve_library(&self, caller: &Notification) -> io::Result<()> {
        let channel = match Channel::open(&self.listener, caller) {
            Ok(channel) => channel,
            Err(error) => return self.listener.reply(caller, Reply::Return(error as i32)),
        };
        let Some(Sent { socket, request }) = channel.receive() else {
            return Ok(());
        };
        let port = match &request {
            Request::Bind(_) => request.address().map(|address| address.port()),
            Request::Listen(_) => socket::port(socket.as_fd()),
        };
        let result = port.and_then(|port| {
            let place = self.inner.place(caller.pid, port);
            if !self.is_ours(&place, port, caller) {
                return None;
            }
            self.turns.take(port, || {
                let result = self.make(caller, &place, socket.as_fd(), &request);
                drop(socket);
                result
            })
        });
        // It has ended, if it does not hear.
        let _ = channel.answer(result);
        Ok(())
    }

    /// Has the innermost run that the call is about make it; gives 0 or an errno, or `None`.
    fn make(
        &self,
        caller: &Notification,
        place: &Place,
        socket: BorrowedFd<'_>,
        request: &Request,
    ) -> Option<i32> {
        let Place::Within(runs) = place else {
            return None;
        };
        let of_inner = runs.iter().find_map(|run| run.make(socket, request));
        of_inner.or_else(|| self.let_in.make(Some(caller.pid), socket, request))
    }

    fn reach_to_bind(&self, caller: &Notification, number: i32) -> Reach {
        // While the call waits its process id is no other process's.
        if !self.listener.is_waiting(caller) {
            return Reach::Gone;
        }
        match self.way {
            Way::Copy => way::copy(caller, number),
            Way::Trace if !self.must_not_be_traced(caller) => {
                way::trace(&self.listener, caller, number, Some(&self.options))
            }
            Way::Trace | Way::Replace | Way::Preload => {
                way::replace(caller, number, &self.options, None)
            }
        }
    }

    fn must_not_be_traced(&self, caller: &Notification) -> bool {
        let mut repeated = self.repeated.lock().unwrap_or_else(PoisonError::into_inner);
        repeated.remove(&caller.pid) || way::has_own_filter(caller, self.filters)
    }

    /// Each socket that was bound to one of our ports is known by its inode, unless it was copied: only
    /// listen(2) on such a socket needs to reach it.
    fn reach_to_listen(&self, caller: &Notification, number: i32) -> Reach {
        if !self.listener.is_waiting(caller) {
            return Reach::Gone;
        }
        if self.way == Way::Copy {
            return way::copy(caller, number);
        }
        let Some(inode) = process::socket_inode(caller.pid, number) else {
            return Reach::Nothing(Errno::EBADF, None);
        };
        if let Some(kept) = self.bound.take(inode) {
            return Reach::Socket(Reached::Copy(kept));
        }
        let traced = self.way == Way::Trace && self.bound.may_be(inode);
        match traced && !self.must_not_be_traced(caller) {
            true => way::trace(&self.listener, caller, number, None),
            false => Reach::Nothing(Errno::EBADF, None),
        }
    }

    /// Ends a call whose socket was reached; one that is not about our ports goes on as it was made.
    fn conclude(
        &self,
        caller: &Notification,
        number: i32,
        request: &Request,
        reached: Reached,
        result: Option<i32>,
    ) -> io::Result<()> {
        let is_bound = result == Some(0) && matches!(request, Request::Bind(_));
        if is_bound && self.way != Way::Copy && socket::is_stream(reached.socket()) {
            socket::inode(reached.socket()).inspect(|inode| self.bound.note(*inode));
        }
        match reached {
            // Our copy goes before the caller goes on, lest the port be bound when it has closed its own.
            Reached::Copy(socket) => {
                drop(socket);
                self.listener
                    .reply(caller, result.map_or(Reply::Continue, Reply::Return))
            }
            Reached::Sent(stopped, socket) => {
                let result = result.unwrap_or_else(|| request.make(socket.as_fd()));
                drop(socket);
                stopped.finish(-i64::from(result));
                Ok(())
            }
            Reached::New(replacement, _seized) => {
                let result = match result {
                    // It was bound before, or it would not be one of ours.
                    Some(_) if self.was_bound(caller, number) => Some(libc::EINVAL),
                    Some(0) => Some(match replacement.place(&self.listener, caller) {
                        Ok(()) => 0,
                        Err(error) => error as i32,
                    }),
                    result => result,
                };
                let socket = replacement.socket;
                if result == Some(0) && socket::is_stream(socket.as_fd()) {
                    let port = request.address().map_or(0, |address| address.port());
                    self.bound.keep(caller.pid, number, port, socket);
                    self.let_in.opened().note_also();
                } else {
                    drop(socket);
                }
                self.listener
                    .reply(caller, result.map_or(Reply::Continue, Reply::Return))
            }
        }
    }

    fn was_bound(&self, caller: &Notification, number: i32) -> bool {
        process::socket_inode(caller.pid, number).is_some_and(|inode| self.bound.is(inode))
    }

    /// Ends a call whose socket was not reached.
    fn give_up(&self, caller: &Notification, call: i64, reach: Reach) -> io::Result<()> {
        match reach {
            Reach::Nothing(_, _seized) => self.listener.reply(caller, Reply::Continue),
            Reach::Stopped(stopped) => {
                self.repeat(caller, call, stopped);
                Ok(())
            }
            Reach::Gone | Reach::Socket(_) => Ok(()),
        }
    }

    /// Has a thread make its call once more, and not be traced for it.
    fn repeat(&self, caller: &Notification, call: i64, stopped: Stopped) {
        let mut repeated = self.repeated.lock().unwrap_or_else(PoisonError::into_inner);
        repeated.insert(caller.pid);
        drop(repeated);
        stopped.repeat(call);
    }
}
