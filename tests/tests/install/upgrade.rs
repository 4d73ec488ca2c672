//! Installing over an installation.

use std::io::{PipeReader, Write};

use portkeep_tests::proc::{Child, Exit, fork_child};
use portkeep_tests::reservations;
use portkeep_tests::{Event, Protocol, Sandbox, assert_errno, assert_ok, enable, proc, raw, sock};

use crate::objects::{Objects, pinned};
use crate::scene::{PORT, acquire_port, assert_free, is_told};

const UPGRADES: usize = 20;

pub(crate) fn replaces_the_programs(sandbox: &Sandbox) {
    let mut objects = Objects::mark();
    assert!(!enable::enable(sandbox).upgraded);
    let before = pinned(sandbox.bpffs());
    objects.look();
    assert!(enable::enable(sandbox).upgraded);
    let after = pinned(sandbox.bpffs());
    assert_eq!((&before.maps, &before.links), (&after.maps, &after.links));
    assert!(before.programs.is_disjoint(&after.programs));
    assert_eq!(before.programs.len(), after.programs.len());
    crate::scene::eventually("the former programs are freed", || {
        objects.now().programs.is_disjoint(&before.programs)
    });
}

pub(crate) fn keeps_what_is_reserved_and_associated(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owner = acquire_port();
    let token = assert_ok!(raw::instance(&owner)).token;
    let block = sock::udp4();
    assert_ok!(raw::acquire16(&block, 30000, 100, raw::PROCESS, 0));
    let associated = sock::tcp4();
    assert_ok!(raw::associate(&associated, token));
    let refused = sock::tcp4();
    assert_errno!(sock::bind_any(&refused, PORT), EADDRINUSE);
    let conflict = assert_ok!(raw::conflict(&refused));
    let (acquired, end) = (Event::new(), Event::new());
    let elsewhere = fork_child(|| {
        proc::new_netns();
        let _owner = acquire_port();
        acquired.set();
        end.wait();
        0
    });
    acquired.wait();

    let before = sorted(sandbox);
    assert_eq!(before.len(), 3);
    for _ in 0..3 {
        assert!(enable::enable(sandbox).upgraded);
        assert_eq!(sorted(sandbox), before);
        assert_errno!(sock::bind_any(sock::tcp6(), PORT), EADDRINUSE);
        assert_ok!(sock::bind_any(sock::udp4(), 30050));
        assert_eq!(raw::associated(&associated), Ok(token));
        assert_eq!(raw::conflict(&refused), Ok(conflict));
        assert_eq!(
            raw::instance(&owner).map(|instance| instance.token),
            Ok(token)
        );
    }
    assert_ok!(sock::bind_any(&associated, 0));
    assert_eq!(sock::local_port(&associated), PORT);
    // Tokens go on where they were.
    let new = assert_ok!(raw::acquire(&block, 31000, 1)).token;
    assert!(before.iter().all(|entry| entry.token != new));
    assert_ok!(raw::release(&owner, token));
    drop((block, associated));
    end.set();
    assert_eq!(elsewhere.wait(), Exit::Code(0));
    assert_eq!(sorted(sandbox), []);
    assert_free(sandbox);
}

fn sorted(sandbox: &Sandbox) -> Vec<reservations::Reservation> {
    let mut list = reservations::list(sandbox);
    list.sort_by_key(|entry| entry.token);
    list
}

/// Upgrades while a child does `work` over and over; the child panics when it is wrong.
fn upgrade_during(sandbox: &Sandbox, work: impl Fn()) {
    let (stop, writer) = std::io::pipe().expect("make a pipe");
    let begun = Event::new();
    let worker = work_until(&stop, &begun, work);
    begun.wait();
    for _ in 0..UPGRADES {
        assert!(enable::enable(sandbox).upgraded);
    }
    (&writer).write_all(b"x").expect("tell the child to stop");
    assert_eq!(worker.wait(), Exit::Code(0));
}

fn work_until(stop: &PipeReader, begun: &Event, work: impl Fn()) -> Child {
    fork_child(|| {
        let mut rounds = 0_u64;
        work();
        begun.set();
        while !is_told(stop) {
            work();
            rounds += 1;
        }
        println!("{rounds} rounds");
        i32::from(rounds == 0)
    })
}

pub(crate) fn never_lets_a_bind_through(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owners = [sock::tcp4(), sock::udp4()];
    for owner in &owners {
        assert_ok!(raw::acquire4(owner, PORT, 1));
    }
    upgrade_during(sandbox, || {
        for stranger in [sock::tcp4(), sock::tcp6(), sock::udp4(), sock::udp6()] {
            sock::reuseaddr(&stranger, true);
            sock::reuseport(&stranger, true);
            assert_errno!(sock::bind_any(&stranger, PORT), EADDRINUSE);
        }
    });
    drop(owners);
    assert_free(sandbox);
}

pub(crate) fn never_stops_answering(sandbox: &Sandbox) {
    enable::enable(sandbox);
    upgrade_during(sandbox, || {
        let owner = sock::udp4();
        let block = assert_ok!(raw::acquire(&owner, 0, 4));
        let (one, other) = (sock::udp4(), sock::udp6());
        for socket in [&one, &other] {
            assert_ok!(raw::associate(socket, block.token));
            assert_ok!(sock::bind_any(socket, 0));
            let port = sock::local_port(socket);
            assert!((block.start..=block.start + 3).contains(&port));
        }
        assert_ok!(raw::release(&one, block.token));
        assert_ok!(raw::acquire(&owner, PORT, 1));
    });
    assert_eq!(reservations::list(sandbox), []);
    assert_eq!(
        portkeep_tests::ports::probe_free(Protocol::Udp, 61000..=61999),
        []
    );
}
