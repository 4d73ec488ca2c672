//! The same through the library.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use portkeep::{ErrorKind, Reservation, sockopt};
use portkeep_tests::ports::{self, PortMap, probe_free};
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Protocol, Sandbox, enable};

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
