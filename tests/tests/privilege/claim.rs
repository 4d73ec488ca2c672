//! Whose quota a reservation counts against after a claim.

use portkeep_tests::enable::enable;
use portkeep_tests::proc::{Child, drop_privileges, fork_child};
use portkeep_tests::{Channel, Event, Protocol, Sandbox, assert_errno, assert_ok, libc, raw, sock};

use crate::holder::socket;
use crate::ledger::{QUOTA, USER, assert_charged, assert_empty, sorted, unchanged};

const CLAIMER: u32 = 65533;

/// A process that gives its acquiring socket away and then waits.
struct Giver {
    child: Child,
    token: u64,
    channel: Channel,
    ask: Event,
}

impl Giver {
    fn start(uid: u32, protocol: Protocol, count: u16) -> Self {
        let (channel, others) = Channel::pair();
        let ask = Event::new();
        let child = fork_child(|| {
            if uid != 0 {
                drop_privileges(uid, uid);
            }
            let socket = socket(protocol);
            let token = assert_ok!(raw::acquire(&socket, 10000, count)).token;
            others.send(token);
            others.send_fd(&socket);
            drop(socket);
            ask.wait();
            others.send(raw::release(sock::udp4(), token).err().unwrap_or_default() as u64);
            0
        });
        let token = channel.recv();
        Self {
            child,
            token,
            channel,
            ask,
        }
    }

    /// What the giver's release of it returns; then the giver ends.
    fn release(self) -> i32 {
        self.ask.set();
        let errno = self.channel.recv() as i32;
        assert_eq!(self.child.code(), 0);
        errno
    }
}

/// Claims in a process of a user. It then asserts something, and ends with its copy of the socket.
fn claim_as(uid: u32, giver: &Giver, body: impl FnOnce(&std::os::fd::OwnedFd)) {
    let child = fork_child(|| {
        if uid != 0 {
            drop_privileges(uid, uid);
        }
        let socket = giver.channel.recv_fd();
        body(&socket);
        0
    });
    assert_eq!(child.code(), 0);
}

fn assert_owner(sandbox: &Sandbox, pid: u32, uid: u32) {
    let list = sorted(sandbox);
    assert_eq!(
        list.iter()
            .map(|held| (held.pid, held.uid))
            .collect::<Vec<_>>(),
        [(pid, uid)]
    );
}

pub(crate) fn the_charge_moves_to_the_claimer(sandbox: &Sandbox) {
    enable(sandbox);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let giver = Giver::start(USER, protocol, QUOTA);
        assert_charged(USER, QUOTA);
        assert_charged(CLAIMER, 0);
        let (own, others) = Channel::pair();
        let done = Event::new();
        let claimer = fork_child(|| {
            drop_privileges(CLAIMER, CLAIMER);
            let socket = giver.channel.recv_fd();
            assert_ok!(raw::claim(&socket, giver.token));
            assert_ok!(raw::claim(&socket, giver.token));
            assert_errno!(raw::acquire4(&socket, 20000, 1), EDQUOT);
            others.send(0);
            done.wait();
            // It is the claimer's in every way.
            let associated = crate::holder::socket(protocol);
            assert_ok!(raw::associate(&associated, giver.token));
            assert_ok!(sock::bind_any(&associated, 10000));
            assert_ok!(raw::release(&socket, giver.token));
            assert_ok!(raw::acquire4(&socket, 20000, QUOTA));
            0
        });
        assert_eq!(own.recv(), 0);
        assert_owner(sandbox, claimer.pid(), CLAIMER);
        assert_charged(USER, 0);
        assert_charged(CLAIMER, QUOTA);
        assert_eq!(giver.release(), libc::EACCES);
        assert_owner(sandbox, claimer.pid(), CLAIMER);
        done.set();
        assert_eq!(claimer.code(), 0);
        assert_empty(sandbox, USER);
        assert_empty(sandbox, CLAIMER);
    }
}

pub(crate) fn more_than_is_left_is_refused(sandbox: &Sandbox) {
    enable(sandbox);
    let giver = Giver::start(USER, Protocol::Tcp, 100);
    let (refused, done) = (Event::new(), Event::new());
    let claimer = fork_child(|| {
        drop_privileges(CLAIMER, CLAIMER);
        let socket = giver.channel.recv_fd();
        let held = sock::udp4();
        assert_ok!(raw::acquire4(&held, 20000, QUOTA - 99));
        unchanged(sandbox, || {
            assert_errno!(raw::claim(&socket, giver.token), EDQUOT)
        });
        assert_errno!(raw::release(&socket, giver.token), EACCES);
        refused.set();
        done.wait();
        0
    });
    refused.wait();
    // The refusal costs neither of them anything, and the reservation is still the giver's.
    assert_charged(CLAIMER, QUOTA - 99);
    assert_charged(USER, 100);
    let list = sorted(sandbox);
    assert_eq!((list[0].pid, list[0].uid), (giver.child.pid(), USER));
    assert_eq!(giver.release(), 0);
    assert_charged(USER, 0);
    done.set();
    assert_eq!(claimer.code(), 0);
    assert_empty(sandbox, USER);
    assert_empty(sandbox, CLAIMER);
}

pub(crate) fn between_processes_of_one_user_nothing_moves(sandbox: &Sandbox) {
    enable(sandbox);
    let giver = Giver::start(USER, Protocol::Udp, QUOTA);
    claim_as(USER, &giver, |socket| {
        assert_ok!(raw::claim(socket, giver.token));
        assert_owner(sandbox, std::process::id(), USER);
        assert_errno!(raw::acquire4(socket, 20000, 1), EDQUOT);
        assert_ok!(raw::release(socket, giver.token));
        assert_ok!(raw::acquire4(socket, 20000, QUOTA));
        assert_errno!(raw::acquire4(socket, 30000, 1), EDQUOT);
    });
    assert_eq!(giver.release(), libc::EINVAL);
    assert_empty(sandbox, USER);
}

pub(crate) fn an_administrator_is_not_charged(sandbox: &Sandbox) {
    enable(sandbox);
    let giver = Giver::start(USER, Protocol::Tcp, QUOTA);
    claim_as(0, &giver, |socket| {
        assert_charged(USER, QUOTA);
        assert_ok!(raw::claim(socket, giver.token));
        assert_owner(sandbox, std::process::id(), 0);
        assert_charged(USER, 0);
        assert_ok!(raw::release(socket, giver.token));
        assert_charged(USER, 0);
    });
    assert_eq!(giver.release(), libc::EINVAL);
    assert_empty(sandbox, USER);
}

pub(crate) fn what_an_administrator_gives_away_is_charged(sandbox: &Sandbox) {
    enable(sandbox);
    for (count, errno) in [(QUOTA, 0), (QUOTA + 1, libc::EDQUOT)] {
        let giver = Giver::start(0, Protocol::Tcp, count);
        claim_as(USER, &giver, |socket| {
            let refused = raw::claim(socket, giver.token).err().unwrap_or_default();
            assert_eq!(refused, errno);
            if errno == 0 {
                assert_owner(sandbox, std::process::id(), USER);
                assert_errno!(raw::acquire4(socket, 20000, 1), EDQUOT);
            } else {
                assert_owner(sandbox, giver.child.pid(), 0);
                assert_ok!(raw::acquire4(socket, 20000, QUOTA));
            }
        });
        assert_eq!(giver.release(), libc::EINVAL);
        assert_empty(sandbox, USER);
    }
}
