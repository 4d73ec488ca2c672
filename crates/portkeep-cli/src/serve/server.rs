//! The loop that serves.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{MsgFlags, SockFlag, accept4, getsockopt, recv, send, sockopt};
use nix::unistd::geteuid;

use crate::error::{Context as _, Result};
use crate::serve::address::Listeners;
use crate::serve::clients::{Clients, PATIENCE};
use crate::serve::named_process::Peer;
use crate::serve::ports::Ports;
use crate::serve::processes::Processes;
use crate::serve::request::Asked;
use crate::serve::statistics::Statistics;

/// What an event is about: the upper half of its number. The lower half is a process id, or the number of a
/// listener or connection.
const PROCESS: u64 = 1 << 60;
const LISTENER: u64 = 2 << 60;
const WAKER: u64 = 3 << 60;
const KIND: u64 = 0xf << 60;

/// How many connections are accepted before others have their turn.
const ACCEPTED_AT_ONCE: usize = 64;

/// More connections than this that have not asked yet are of no use to anybody.
const CLIENTS_MAX: usize = 4096;

/// A port server.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    ports: Ports,
    processes: Processes,
    clients: Clients,
    statistics: Statistics,
    epoll: Epoll,
    own: u32,
    /// How many ports a user may have who is not the server's own.
    limit: usize,
}

impl Server {
    pub fn new(listeners: Listeners, ports: Ports, limit: usize) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create")?;
        for (number, socket) in listeners.sockets().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER | number as u64);
            epoll.add(socket, event).context("epoll_ctl")?;
        }
        // Half of the descriptors, for each process with ports takes one, too.
        let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        let clients = usize::try_from(descriptors / 2).unwrap_or(CLIENTS_MAX);
        Ok(Self {
            listeners,
            ports,
            processes: Processes::default(),
            clients: Clients::new(clients.min(CLIENTS_MAX)),
            statistics: Statistics::default(),
            epoll,
            own: geteuid().as_raw(),
            limit,
        })
    }

    pub fn statistics(&self) -> Statistics {
        let managed = self.ports.number();
        Statistics {
            managed: managed.unwrap_or_else(|| self.processes.ports()),
            ..self.statistics
        }
    }

    /// Has [`serve`](Self::serve) return when this is readable.
    pub fn wake_by(&self, waker: BorrowedFd<'_>) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, WAKER);
        self.epoll.add(waker, event).context("epoll_ctl")
    }

    /// Serves until it is woken.
    pub fn serve(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 128];
        loop {
            let limit = match self.clients.next_late() {
                // A millisecond more, lest it be a moment too early.
                Some(left) => EpollTimeout::try_from(left.min(PATIENCE).as_millis() as i32 + 1)
                    .unwrap_or(EpollTimeout::ZERO),
                None => EpollTimeout::NONE,
            };
            let number = match self.epoll.wait(&mut events, limit) {
                Ok(number) => number,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error).context("epoll_wait"),
            };
            let events = &events[..number];
            // The dead first: their ports may be wanted in this very turn.
            for event in events.iter().map(EpollEvent::data) {
                if event & KIND == PROCESS {
                    self.take_back((event & !KIND) as i32);
                }
            }
            let mut woken = false;
            for event in events.iter().map(EpollEvent::data) {
                match event & KIND {
                    PROCESS => {}
                    LISTENER => self.accept((event & !KIND) as usize)?,
                    WAKER => woken = true,
                    _ => self.hear(event, false),
                }
            }
            for client in self.clients.late() {
                self.hear(client, true);
            }
            if woken {
                return Ok(());
            }
        }
    }

    fn take_back(&mut self, pid: i32) {
        for given in self.processes.remove(pid, &self.epoll) {
            self.ports.give_back(given);
        }
    }

    fn accept(&mut self, listener: usize) -> Result<()> {
        let Some(listener) = self.listeners.sockets().nth(listener) else {
            return Ok(());
        };
        let listener: RawFd = listener.as_raw_fd();
        for _ in 0..ACCEPTED_AT_ONCE {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let client = match accept4(listener, flags) {
                // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
                Ok(client) => unsafe { OwnedFd::from_raw_fd(client) },
                Err(Errno::EAGAIN) => break,
                Err(Errno::ECONNABORTED | Errno::EINTR) => continue,
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                    match self.clients.drop_of_the_biggest() {
                        true => continue,
                        // All are in use by processes with ports; the connection waits, and so do we.
                        false => {
                            std::thread::sleep(std::time::Duration::from_millis(10));
                            break;
                        }
                    }
                }
                Err(error) => return Err(error).context("accept"),
            };
            let Ok(credentials) = getsockopt(&client, sockopt::PeerCredentials) else {
                continue;
            };
            let peer = Peer {
                pid: credentials.pid(),
                uid: credentials.uid(),
            };
            let number = self.clients.add(client, peer);
            // Most have written already.
            self.hear(number, false);
            if let Some(client) = self.clients.get_mut(number) {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
                if self.epoll.add(client.socket.as_fd(), event).is_err() {
                    self.clients.remove(number);
                }
            }
        }
        Ok(())
    }

    /// Reads what a client has sent, and answers if that is all.
    fn hear(&mut self, number: u64, is_late: bool) {
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        let space = client.request.space();
        match recv(client.socket.as_raw_fd(), space, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => client.request.end(),
            Ok(length) => client.request.add(length),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => client.request.end(),
        }
        if is_late {
            client.request.end();
        }
        let asked = client.request.asked();
        if asked == Asked::Incomplete {
            return;
        }
        let Some(client) = self.clients.remove(number) else {
            return;
        };
        if let Some(port) = self.answer(&asked, client.peer) {
            let answer = format!("{port}\n");
            // So few bytes always fit; nobody may read them.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = send(client.socket.as_raw_fd(), answer.as_bytes(), flags);
        }
    }

    fn answer(&mut self, asked: &Asked, peer: Peer) -> Option<u16> {
        match asked {
            Asked::Incomplete | Asked::Nothing => None,
            Asked::Garbage => {
                self.statistics.errors += 1;
                None
            }
            Asked::Process(number) => {
                let port = i32::try_from(*number)
                    .ok()
                    .filter(|number| *number > 1)
                    .and_then(|number| self.allocate(number, peer));
                match port {
                    Some(_) => self.statistics.total += 1,
                    None => self.statistics.denied += 1,
                }
                port
            }
        }
    }

    fn allocate(&mut self, number: i32, peer: Peer) -> Option<u16> {
        // A server of root serves everybody; another one its own user, and root.
        let is_own = peer.uid == self.own || peer.uid == 0;
        if !is_own && (self.own != 0 || self.processes.ports_of_user(peer.uid) >= self.limit) {
            return None;
        }
        // Its end may be in the queue of events, and another process may have the number already.
        if self.processes.has_ended(number) {
            self.take_back(number);
        }
        let heir = self.processes.find(number, peer)?;
        let (mut given, mut checked) = self.ports.take(&heir);
        if given.is_none() && self.take_all_back() {
            (given, checked) = self.ports.take(&heir);
        }
        self.statistics.checked = checked;
        let given = given?;
        let event = PROCESS | u64::from(heir.pid.cast_unsigned());
        match self
            .processes
            .add(heir, peer.uid, given, &self.epoll, event)
        {
            true => Some(given.port),
            false => {
                self.ports.give_back(given);
                None
            }
        }
    }

    /// Takes back what processes had whose end has not been heard of yet; gives whether there were any.
    fn take_all_back(&mut self) -> bool {
        let ended = self.processes.ended();
        for pid in &ended {
            self.take_back(*pid);
        }
        !ended.is_empty()
    }
}
