//! Removing.

use portkeep_tests::ports::probe_free;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, ports, raw, sock};

use crate::objects::{Ids, Objects, pinned};
use crate::scene::{
    PORT, acquire_port, assert_absent, assert_empty, assert_no_cgroups, assert_works, remove,
};

pub(crate) fn leaves_nothing(sandbox: &Sandbox) {
    let mut objects = Objects::mark();
    enable::enable(sandbox);
    let _owner = acquire_port();
    let now = objects.look();
    let pins = pinned(sandbox.bpffs());
    assert!(pins.maps.len() >= 7 && pins.links.len() == 9, "{pins:?}");
    objects.remember(&pins);
    assert!(pins.links.is_subset(&now.links));
    assert!(pins.programs.is_subset(&now.programs));
    assert!(remove(&enable::installation(sandbox)));
    assert_empty(sandbox.bpffs());
    assert_no_cgroups(sandbox);
    objects.assert_gone();
    assert_eq!(objects.now(), Ids::default());
}

pub(crate) fn frees_the_ports_and_keeps_bound_sockets(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    enable::enable(sandbox);
    let owner = sock::tcp4();
    let block = assert_ok!(raw::acquire(&owner, PORT, 10));
    let [bound, unbound] = [sock::tcp4(), sock::tcp4()];
    for socket in [&bound, &unbound] {
        assert_ok!(raw::associate(socket, block.token));
    }
    assert_ok!(sock::bind_any(&bound, PORT + 3));
    assert!(remove(&enable::installation(sandbox)));

    assert_eq!(sock::local_port(&bound), PORT + 3);
    assert_ok!(sock::listen(&bound));
    let refused = probe_free(Protocol::Tcp, PORT..=PORT + 9);
    assert_eq!(refused, [(PORT + 3, libc::EADDRINUSE)]);
    // Nothing is left of an association either.
    assert_ok!(sock::bind_any(&unbound, PORT + 100));
    assert_errno!(raw::release(&owner, block.token), ENOPROTOOPT);
    drop(owner);
    assert_absent();
}

pub(crate) fn of_nothing_is_no_error(sandbox: &Sandbox) {
    let installation = enable::installation(sandbox);
    assert!(!remove(&installation));
    enable::enable(sandbox);
    assert!(remove(&installation));
    assert!(!remove(&installation));
    assert_empty(sandbox.bpffs());
}

pub(crate) fn leaves_no_debts_to_the_next_installation(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let before = acquire_port();
    let token = assert_ok!(raw::instance(&before)).token;
    let associated = sock::tcp4();
    assert_ok!(raw::associate(&associated, token));
    assert!(remove(&enable::installation(sandbox)));
    enable::enable(sandbox);
    assert_works(sandbox);

    // The sockets of then mean nothing now, above all not their end.
    let owner = acquire_port();
    assert_eq!(raw::associated(&associated), Ok(0));
    assert_eq!(raw::instance(&before).map(|instance| instance.token), Ok(0));
    assert_errno!(sock::bind_any(&associated, PORT), EADDRINUSE);
    drop((before, associated));
    assert!(ports::map(sandbox).contains(Protocol::Tcp, PORT));
    drop(owner);
    assert_works(sandbox);
}
