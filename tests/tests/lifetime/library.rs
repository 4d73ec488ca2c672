//! The same through the library.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use portkeep::{Backend, Consumers, ErrorKind, Reservation, sockopt};
use portkeep_tests::ports::{self, PortMap, probe_free};
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Protocol, Sandbox, enable};

use crate::heir::pidfd_open;
use crate::scene::{BLOCK, duplicate};

const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

fn acquire() -> Reservation {
    let request = Reservation::builder().tcp().udp().range(BLOCK);
    request.acquire().expect("acquire the block")
}

#[track_caller]
fn assert_held(sandbox: &Sandbox) {
    let expected = PortMap::new(BOTH.map(|protocol| (protocol, BLOCK)));
    assert_eq!(ports::map(sandbox), expected);
    for protocol in BOTH {
        assert_eq!(probe_free(protocol, BLOCK).len(), BLOCK.len());
    }
}

#[track_caller]
fn assert_over(sandbox: &Sandbox) {
    assert_eq!(ports::map(sandbox), PortMap::default());
    for protocol in BOTH {
        assert_eq!(probe_free(protocol, BLOCK), []);
    }
}

pub(crate) fn drop_ends_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let reservation = acquire();
    assert_held(sandbox);
    drop(reservation);
    assert_over(sandbox);
}

pub(crate) fn release_ends_it_whoever_has_copies(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let reservation = acquire();
    let copies: Vec<OwnedFd> = reservation.sockets().map(duplicate).collect();
    let token = reservation.token(portkeep::Protocol::Tcp).expect("a token");
    let (forked, end) = (Event::new(), Event::new());
    let child = fork_child(|| {
        forked.set();
        end.wait();
        0
    });
    forked.wait();
    reservation.release().expect("release");
    assert_over(sandbox);
    let error = sockopt::release(&copies[0], token).expect_err("released already");
    assert_eq!(error.kind(), ErrorKind::UnknownToken);
    end.set();
    assert_eq!(child.wait(), Exit::Code(0));
}

pub(crate) fn into_sockets_keeps_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut sockets = acquire().into_sockets();
    assert_eq!(sockets.len(), 2);
    assert_held(sandbox);
    sockets.pop();
    let tcp = PortMap::new([(Protocol::Tcp, BLOCK)]);
    assert_eq!(ports::map(sandbox), tcp);
    drop(sockets);
    assert_over(sandbox);
}

pub(crate) fn claim_takes_it_over(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (here, there) = Channel::pair();
    let end = Event::new();
    let child = fork_child(|| {
        let reservation = acquire();
        let listener = reservation.tcp_listener(Ipv4Addr::LOCALHOST, Some(*BLOCK.start()));
        let _listener = listener.expect("a listener");
        for socket in reservation.sockets() {
            there.send_fd(socket);
        }
        end.wait();
        let error = reservation.release().expect_err("claimed by another");
        assert_eq!(error.kind(), ErrorKind::NotOwner);
        0
    });
    let sockets = [here.recv_fd(), here.recv_fd()];
    let reservation = Reservation::claim(sockets).expect("claim");
    assert_eq!((reservation.start(), reservation.end()), BLOCK.into_inner());
    let owners: Vec<_> = portkeep::list().expect("the list");
    assert!(
        owners
            .iter()
            .all(|entry| entry.owner.pid == std::process::id())
    );
    end.set();
    assert_eq!(child.wait(), Exit::Code(0));
    assert_held(sandbox);
    let udp = reservation.udp_socket(Ipv4Addr::LOCALHOST, None);
    assert!(BLOCK.contains(&udp.expect("a socket").local_addr().expect("bound").port()));
    reservation.release().expect("release");
    assert_over(sandbox);
}

pub(crate) fn a_refused_claim_gives_the_sockets_back(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut sockets = acquire().into_sockets();
    let stranger = portkeep_tests::sock::udp4();
    sockets.push(stranger.into());
    let refusal = Reservation::claim(sockets).expect_err("the last has acquired nothing");
    assert_eq!(refusal.error().kind(), ErrorKind::NotClaimable);
    assert_held(sandbox);
    let mut sockets = refusal.into_sockets();
    assert_eq!(sockets.len(), 3);
    sockets.truncate(2);
    let reservation = Reservation::claim(sockets).expect("claim");
    assert!(
        reservation
            .sockets()
            .all(|socket| socket.as_fd().try_clone_to_owned().is_ok())
    );
    drop(reservation);
    assert_over(sandbox);
}

/// The process of each reservation, in the order of the list.
pub(crate) fn owners() -> Vec<u32> {
    let list = portkeep::list().expect("the list");
    list.iter().map(|entry| entry.owner.pid).collect()
}

pub(crate) fn hand_over_makes_another_process_the_owner(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (here, there) = Channel::pair();
    let heir = fork_child(|| {
        let _ = there.recv();
        for port in BLOCK {
            there.send(u64::from(UdpSocket::bind(("127.0.0.1", port)).is_ok()));
        }
        let _ = there.recv();
        0
    });
    let request = Reservation::builder().tcp().udp().range(BLOCK);
    let request = request.consumers(Consumers::TREE);
    let reservation = request.acquire().expect("acquire the block");
    let pidfd = pidfd_open(heir.pid(), 0);
    reservation.hand_over(pidfd.as_fd()).expect("hand over");
    assert_eq!(owners(), [heir.pid(); 2]);
    here.send(0);
    assert!(BLOCK.into_iter().all(|_| here.recv() == 1));
    // Its life is still this one's matter, whoever owns it.
    assert_held(sandbox);
    here.send(0);
    assert_eq!(heir.wait(), Exit::Code(0));
    assert_held(sandbox);
    let ended = reservation.hand_over(pidfd.as_fd()).expect_err("reaped");
    assert_eq!(ended.kind(), ErrorKind::ProcessEnded);
    let file = std::fs::File::open("/dev/null").expect("open a file");
    let wrong = reservation.hand_over(file.as_fd()).expect_err("a file");
    assert_eq!(wrong.kind(), ErrorKind::NotAPidfd);
    drop(reservation);
    assert_over(sandbox);
}

pub(crate) fn hand_over_hands_all_or_nothing(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let heir = fork_child(|| {
        // SAFETY: pause() takes nothing.
        unsafe { libc::pause() };
        0
    });
    let pidfd = pidfd_open(heir.pid(), 0);
    let reservation = acquire();
    // The second of its blocks ends behind its back.
    let sockets: Vec<OwnedFd> = reservation.sockets().map(duplicate).collect();
    let udp = reservation.token(portkeep::Protocol::Udp).expect("a token");
    sockopt::release(&sockets[1], udp).expect("release");
    let refused = reservation.hand_over(pidfd.as_fd()).expect_err("one ended");
    assert_eq!(refused.kind(), ErrorKind::UnknownToken);
    assert_eq!(owners(), [std::process::id()]);
    drop((reservation, sockets));
    // Another user's process, for one without privileges.
    let errno = portkeep_tests::proc::as_uid(65534, 65534, || {
        let reservation = acquire();
        let refused = reservation.hand_over(pidfd.as_fd()).expect_err("root's");
        assert_eq!(refused.kind(), ErrorKind::ForeignProcess, "{refused}");
        assert_eq!(owners(), [std::process::id(); 2]);
        0
    });
    assert_eq!(errno, 0);
    heir.kill(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(heir.wait(), Exit::Signal(libc::SIGKILL));
    assert_over(sandbox);
}

pub(crate) fn held_ports_are_not_handed_over(_: &Sandbox) {
    let request = Reservation::builder().tcp().range(BLOCK);
    let held = request.backend(Backend::Held).acquire().expect("hold");
    let own = pidfd_open(std::process::id(), 0);
    let refused = held.hand_over(own.as_fd()).expect_err("held");
    assert_eq!(refused.kind(), ErrorKind::NotSupportedHeld);
    assert!(probe_free(Protocol::Tcp, BLOCK).len() == BLOCK.len());
}
