//! Users together fill no table: the last eighth of each is kept for administrators. The sizes are
//! those of `bpf/maps.h`.

use nix::sched::{CloneFlags, unshare};
use portkeep_tests::proc::{self, Child};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{
    Channel, Event, Sandbox, assert_errno, assert_ok, enable, errno_name, libc, raw, sock,
};

use crate::stage::{BOTH, USER, hold, set_sysctl};
use crate::user_namespace::spawn;

const QUOTA: u16 = 4096;

/// What users may have of 32768, 16384 and 8192.
const RESERVATIONS: usize = 28_672;
const CONSUMERS: usize = 14_336;
const CHUNKS: usize = 7168;

/// What one user may have.
const CONSUMERS_QUOTA: usize = 512;
const CHUNK_QUOTA: usize = 512;

/// An administrator of the initial namespaces does whatever there is.
#[track_caller]
fn assert_administrator_is_served() {
    for protocol in BOTH {
        let socket = crate::stage::socket4(protocol);
        for port in 2000..2100 {
            assert_ok!(raw::acquire4(&socket, port, 1));
        }
        for (index, scope) in [(0, 0), (100, raw::EVERY_NETNS)] {
            let start = 2200 + index;
            for port in start..start + 100 {
                assert_ok!(raw::create(&socket, port, 1, scope, &[raw::user(USER)]));
            }
            assert_ok!(raw::delete(&socket, start, 1, scope));
            for port in start + 1..start + 100 {
                assert_ok!(raw::delete(&socket, port, 1, scope));
            }
        }
        // In a network namespace where nothing is reserved.
        let elsewhere = proc::in_netns(|| {
            assert_ok!(raw::acquire4(crate::stage::socket4(protocol), 10_000, 1));
            0
        });
        assert_eq!(elsewhere, 0);
    }
}

pub(crate) fn of_reservations(sandbox: &Sandbox) {
    set_sysctl("ip_local_reserved_ports", "1-65535");
    enable::enable(sandbox);
    let fill = |index: u16| {
        hold(USER + u32::from(index), || {
            let socket = sock::tcp4();
            for port in 0..QUOTA {
                assert_ok!(raw::acquire4(&socket, 5000 + index * QUOTA + port, 1));
            }
            assert_errno!(raw::acquire4(&socket, 4999, 1), EDQUOT);
            vec![socket]
        })
    };
    let mut users: Vec<Child> = (0..7).map(fill).collect();
    assert_eq!(users.len() * usize::from(QUOTA), RESERVATIONS);
    let late = || {
        proc::as_uid(USER + 8, USER + 8, || {
            raw::acquire4(sock::udp4(), 4000, 1).err().unwrap_or(0)
        })
    };
    for _ in 0..50 {
        assert_eq!(late(), libc::ENOBUFS);
    }
    assert_administrator_is_served();
    // Nothing was lost by what was refused: what one gives back another one has.
    users.pop();
    assert_eq!(late(), 0);
    users.push(fill(6));
    assert_eq!(late(), libc::ENOBUFS);
    drop(users);
    let all: Vec<_> = (0..7).map(fill).collect();
    assert_eq!(late(), libc::ENOBUFS);
    drop(all);
    assert_eq!(late(), 0);
}

/// A user's process that is root of a user namespace, with network namespaces of its own.
fn administrator_of_himself(uid: u32, body: impl FnOnce() -> i32) -> Child {
    spawn(uid, &format!("0 {uid} 1"), || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
        body()
    })
}

/// Creates persistent reservations with a consumer until that is refused.
fn create_until_refused(socket: &Socket) -> (usize, i32) {
    for (created, port) in (2000..20_000).enumerate() {
        if let Err(errno) = raw::create(socket, port, 1, 0, &[raw::user(0)]) {
            return (created, errno);
        }
    }
    panic!("never refused");
}

pub(crate) fn of_consumers(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (own, others) = Channel::pair();
    let fill = |index: u32| {
        let done = Event::new();
        let child = administrator_of_himself(USER + index, || {
            let socket = sock::tcp4();
            let (created, errno) = create_until_refused(&socket);
            if errno == libc::EDQUOT {
                let kind = assert_ok!(raw::conflict(&socket)).kind;
                assert_eq!(kind, raw::CONFLICT_QUOTA);
            }
            // A reservation without consumers is no matter of that table.
            assert_ok!(raw::create(&socket, 20_000, 1, 0, &[]));
            // What is deleted can be created again, one for one; a cut needs one more.
            if created > 0 {
                assert_ok!(raw::delete(&socket, 2000, 1, 0));
                assert_ok!(
                    raw::create(&socket, 2000, 3, 0, &[raw::user(0)])
                        .or_else(|_| { raw::create(&socket, 30_000, 3, 0, &[raw::user(0)]) })
                );
            }
            others.send(created as u64);
            others.send(errno.unsigned_abs().into());
            done.wait();
            0
        });
        let (created, errno) = (own.recv() as usize, own.recv() as i32);
        (child, done, created, errno)
    };
    let users = (CONSUMERS / CONSUMERS_QUOTA) as u32;
    let mut held = Vec::new();
    for index in 0..users {
        let user = fill(index);
        assert_eq!(
            (user.2, user.3),
            (CONSUMERS_QUOTA, libc::EDQUOT),
            "user {index}"
        );
        held.push(user);
    }
    let late = fill(users);
    assert_eq!((late.2, errno_name(late.3)), (0, errno_name(libc::ENOBUFS)));
    assert_administrator_is_served();
    for (child, done, ..) in held.into_iter().chain([late]) {
        done.set();
        assert_eq!(child.code(), 0);
    }
    // The namespaces have gone, or will soon; then so have their reservations.
    for _ in 0..200 {
        let again = fill(0);
        again.1.set();
        assert_eq!(again.0.code(), 0);
        if (again.2, again.3) == (CONSUMERS_QUOTA, libc::EDQUOT) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the share of consumers stays used up after its users have gone");
}

/// Ports in every chunk of a namespace, of both protocols, until that is refused.
fn reserve_everywhere() -> (usize, i32, Vec<Socket>) {
    const CHUNK_PORTS: u16 = 7808;
    let (mut chunks, mut sockets) = (0, Vec::new());
    loop {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
        set_sysctl("ip_local_reserved_ports", "1-65535");
        for protocol in BOTH {
            let socket = crate::stage::socket4(protocol);
            for index in 0..9 {
                if let Err(errno) = raw::acquire4(&socket, index * CHUNK_PORTS + 1025, 1) {
                    let kind = assert_ok!(raw::conflict(&socket)).kind;
                    let quota = errno == libc::EDQUOT;
                    assert_eq!(kind == raw::CONFLICT_QUOTA, quota, "kind {kind}");
                    return (chunks, errno, sockets);
                }
                chunks += 1;
            }
            sockets.push(socket);
        }
    }
}

pub(crate) fn of_chunks(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (own, others) = Channel::pair();
    let fill = |index: u32| {
        let done = Event::new();
        let child = administrator_of_himself(USER + index, || {
            let (chunks, errno, sockets) = reserve_everywhere();
            // Where there is a chunk nothing is in the way.
            if let Some(socket) = sockets.first() {
                assert_ok!(raw::acquire4(socket, 2048, 1));
            }
            others.send(chunks as u64);
            others.send(errno.unsigned_abs().into());
            done.wait();
            0
        });
        let (chunks, errno) = (own.recv() as usize, own.recv() as i32);
        (child, done, chunks, errno)
    };
    let mut held = Vec::new();
    for index in 0..(CHUNKS / CHUNK_QUOTA) as u32 {
        let user = fill(index);
        assert_eq!(
            (user.2, user.3),
            (CHUNK_QUOTA, libc::EDQUOT),
            "user {index}"
        );
        held.push(user);
    }
    let late = fill(CHUNKS as u32);
    assert_eq!((late.2, errno_name(late.3)), (0, errno_name(libc::ENOBUFS)));
    assert_administrator_is_served();
    for (child, done, ..) in held.into_iter().chain([late]) {
        done.set();
        assert_eq!(child.code(), 0);
    }
}
