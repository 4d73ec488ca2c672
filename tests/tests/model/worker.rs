//! The processes of a history: each does what it is told and tells what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, fork};
use portkeep_tests::raw::{self, Instance};
use portkeep_tests::socket2::SockRef;
use portkeep_tests::{libc, sock};

use crate::call::{Answer, Call, Slot};
use crate::wire::Wire;

/// Serves until it is told to exit or its wire is gone.
pub(crate) fn serve(wire: Wire) -> ! {
    // Children are reaped by nobody, and need not be.
    // SAFETY: ignoring a signal calls no handler.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("ignore SIGCHLD");
    let sockets = BTreeMap::new();
    Worker { wire, sockets }.run()
}

struct Worker {
    wire: Wire,
    sockets: BTreeMap<Slot, OwnedFd>,
}

impl Worker {
    fn run(&mut self) -> ! {
        while let Ok((call, fd)) = self.wire.receive::<Call>() {
            if matches!(call, Call::Exit) {
                break;
            }
            self.execute(call, fd);
        }
        // SAFETY: ends the process at once; the trial's exit handlers must not run here.
        unsafe { libc::_exit(0) }
    }

    fn execute(&mut self, call: Call, fd: Option<OwnedFd>) {
        let mut answer = Answer::default();
        let (mut shown, mut of) = (None, None);
        let result = match call {
            Call::Socket { slot, udp, v6 } => {
                let socket = match (udp, v6) {
                    (false, false) => sock::tcp4(),
                    (false, true) => sock::tcp6(),
                    (true, false) => sock::udp4(),
                    (true, true) => sock::udp6(),
                };
                if !udp {
                    // A close then resets the connection: no port stays in TIME_WAIT.
                    let now = Some(Duration::ZERO);
                    SockRef::from(&socket).set_linger(now).expect("SO_LINGER");
                }
                self.sockets.insert(slot, socket.into());
                of = Some(slot);
                Ok(())
            }
            Call::Close { slot } => {
                drop(self.sockets.remove(&slot).expect("a descriptor"));
                Ok(())
            }
            Call::Dup { slot, to } => {
                let copy = self.socket(slot).try_clone_to_owned().expect("dup");
                self.sockets.insert(to, copy);
                Ok(())
            }
            Call::Show { slot } => {
                shown = Some(slot);
                Ok(())
            }
            Call::Keep { slot } => {
                self.sockets.insert(slot, fd.expect("a descriptor"));
                Ok(())
            }
            Call::Acquire {
                slot,
                start,
                count,
                flags,
                align,
            } => {
                of = Some(slot);
                let socket = self.socket(slot);
                let plain = flags == 0 && align == 0;
                let acquired = if plain {
                    raw::acquire4(socket, start, count)
                } else {
                    raw::acquire16(socket, start, count, flags, align)
                };
                acquired.and_then(|()| answer.keep(raw::instance(socket)))
            }
            Call::Associate { slot, token } => {
                of = Some(slot);
                raw::associate(self.socket(slot), token)
            }
            Call::Release { slot, token } => {
                of = Some(slot);
                raw::release(self.socket(slot), token)
            }
            Call::Claim { slot, token } => {
                of = Some(slot);
                raw::claim(self.socket(slot), token)
            }
            Call::Bind {
                slot,
                loopback,
                port,
            } => {
                of = Some(slot);
                let socket = self.socket(slot);
                if loopback {
                    sock::bind(socket, localhost(socket), port)
                } else {
                    sock::bind_any(socket, port)
                }
            }
            Call::BindAddress { slot, loopback } => {
                of = Some(slot);
                let socket = self.socket(slot);
                let any = match localhost(socket) {
                    IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                sock::bind_address(socket, if loopback { localhost(socket) } else { any })
            }
            Call::Disconnect { slot } => {
                of = Some(slot);
                sock::disconnect(self.socket(slot))
            }
            Call::Listen { slot } => {
                of = Some(slot);
                sock::listen(self.socket(slot))
            }
            Call::Connect { slot, port } => {
                of = Some(slot);
                let socket = self.socket(slot);
                sock::connect(socket, localhost(socket), port)
            }
            Call::Accept { slot, to } => sock::accept(self.socket(slot)).map(|accepted| {
                let now = Some(Duration::ZERO);
                SockRef::from(&accepted).set_linger(now).expect("SO_LINGER");
                self.sockets.insert(to, accepted.into());
                of = Some(to);
            }),
            Call::AwaitReset { slot } => {
                await_reset(self.socket(slot));
                of = Some(slot);
                Ok(())
            }
            Call::Create {
                slot,
                start,
                count,
                flags,
                consumers,
            } => {
                of = Some(slot);
                let socket = self.socket(slot);
                answer.keep(raw::create(socket, start, count, flags, &consumers))
            }
            Call::Delete {
                slot,
                start,
                count,
                flags,
            } => {
                of = Some(slot);
                raw::delete(self.socket(slot), start, count, flags)
            }
            Call::LookUp { slot, start, count } => {
                of = Some(slot);
                answer.keep(raw::look_up(self.socket(slot), start, count))
            }
            Call::Fork => {
                answer.pid = self.fork(fd.expect("the child's wire"));
                Ok(())
            }
            Call::Exit => unreachable!("run() ends"),
        };
        answer.errno = result.err().unwrap_or(0);
        if let Some(slot) = of {
            answer.look(self.socket(slot));
        }
        let shown = shown.map(|slot| self.socket(slot));
        self.wire.send(&answer, shown).expect("answer");
    }

    fn socket(&self, slot: Slot) -> BorrowedFd<'_> {
        self.sockets.get(&slot).expect("a descriptor").as_fd()
    }

    fn fork(&mut self, wire: OwnedFd) -> u32 {
        // SAFETY: a worker has one thread, so the child may do whatever it could.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => child.as_raw().cast_unsigned(),
            ForkResult::Child => {
                self.wire = Wire::from_fd(wire);
                self.run()
            }
        }
    }
}

impl Answer {
    fn keep(&mut self, instance: Result<Instance, i32>) -> Result<(), i32> {
        let instance = instance?;
        assert_eq!(instance.reserved, 0);
        self.instance = Some((instance.start, instance.count, instance.token));
        Ok(())
    }

    /// What can be asked about a socket at any time.
    fn look(&mut self, socket: BorrowedFd<'_>) {
        self.port = sock::local_port(socket);
        let conflict = raw::conflict(socket).expect("read PORTKEEP_CONFLICT");
        self.conflict = Some(conflict.into());
        self.associated = raw::associated(socket).expect("read PORTKEEP_ASSOCIATE");
        self.netns = sock::netns_cookie(socket);
    }
}

fn localhost(socket: BorrowedFd<'_>) -> IpAddr {
    let v4 = SockRef::from(&socket)
        .domain()
        .is_ok_and(|it| it == portkeep_tests::socket2::Domain::IPV4);
    if v4 {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    }
}

/// `TCP_CLOSE` of `net/tcp_states.h`.
const CLOSED: u8 = 7;

fn await_reset(socket: BorrowedFd<'_>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let info = raw::get_bytes(socket, libc::IPPROTO_TCP, libc::TCP_INFO, 8).expect("TCP_INFO");
        if info[0] == CLOSED {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the connection is not reset: state {}",
            info[0]
        );
        thread::yield_now();
    }
}

/// What every network namespace of a history has for automatic ports: few, half of them kept out.
pub(crate) fn set_automatic_range(range: &str, kept: &str) {
    for (name, value) in [
        ("ip_local_port_range", range),
        ("ip_local_reserved_ports", kept),
    ] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("write {path}: {error}"));
    }
}
