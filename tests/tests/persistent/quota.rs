//! Administrators of a user namespace, and network namespaces that have gone.

use nix::sched::{CloneFlags, unshare};
use portkeep_tests::enable::enable;
use portkeep_tests::raw::{self, EVERY_NETNS, UID};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, reservations, sock};

use crate::ledger::QUOTA;
use crate::scene::{COUNT, START};
use crate::user_namespace::spawn;

const MAKER: u32 = 1000;
const MAP: &str = "0 100000 10";

pub(crate) fn a_user_namespace_reserves_for_itself(sandbox: &Sandbox) {
    enable(sandbox);
    let host = sock::tcp4();
    assert_ok!(raw::create(&host, START, COUNT, 0, &[]));
    let child = spawn(MAKER, MAP, || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
        assert_errno!(raw::create(&host, 20000, 8, 0, &[]), EACCES);
        assert_errno!(raw::delete(&host, START, COUNT, 0), EACCES);
        let socket = sock::tcp4();
        assert_errno!(raw::create(&socket, START, 8, EVERY_NETNS, &[]), EACCES);
        assert_errno!(raw::create(&socket, START, 8, 0, &[(UID, 10)]), EINVAL);
        assert_ok!(raw::create(&socket, START, 8, 0, &[(UID, 3)]));
        let own = reservations::list(sandbox).into_iter();
        let owners: Vec<_> = own.map(|one| one.uid).collect();
        assert!(owners.contains(&100_003), "{owners:?}");
        assert_ok!(raw::delete(&socket, START, 8, 0));
        assert_ok!(raw::create(&socket, 10000, QUOTA, 0, &[]));
        assert_errno!(raw::create(&socket, 20000, 1, 0, &[]), EDQUOT);
        assert_ok!(raw::delete(&socket, 10000, QUOTA, 0));
        0
    });
    assert_eq!(child.code(), 0);
    assert_ok!(raw::lookup(&host, START, COUNT));
}

pub(crate) fn a_namespace_that_has_gone_gives_back(sandbox: &Sandbox) {
    enable(sandbox);
    // Nobody deletes what the namespace holds; the next round is refused unless it is swept.
    for _ in 0..20 {
        let child = spawn(MAKER, MAP, || {
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare the network namespace");
            // The namespace before goes in the kernel's own time.
            for _ in 0..1000 {
                if raw::create(sock::tcp4(), 10000, QUOTA, 0, &[]).is_ok() {
                    return 0;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            1
        });
        assert_eq!(child.code(), 0);
    }
    assert_eq!(reservations::list(sandbox).len(), 1, "the last one's");
}
