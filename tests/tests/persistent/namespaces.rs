//! Who administers a network namespace without the machine, and namespaces that end.

use portkeep_tests::enable::enable;
use portkeep_tests::ports::{PortMap, map};
use portkeep_tests::raw::{self, user};
use portkeep_tests::{
    Channel, Protocol, Sandbox, assert_errno, assert_ok, proc, reservations, sock,
};

use crate::ledger::{QUOTA, USER};
use crate::user_namespace::{self, become_user};

/// As root of a container does: in its own namespace everything, elsewhere nothing.
pub(crate) fn administrators_of_their_own(sandbox: &Sandbox) {
    enable(sandbox);
    assert_ok!(raw::create(sock::tcp4(), 10100, 8, 0, &[]));
    let (here, there) = Channel::pair();
    here.send_fd(sock::tcp4());
    let child = user_namespace::spawn(USER, "0 100000 1000", || {
        let foreign = there.recv_fd();
        assert_errno!(raw::create(&foreign, 10200, 8, 0, &[]), EACCES);
        assert_errno!(raw::delete(&foreign, 10100, 8, 0), EACCES);
        proc::new_netns();
        assert_errno!(raw::create(&foreign, 10200, 8, 0, &[]), EACCES);
        assert_errno!(
            raw::create(sock::tcp4(), 10100, 8, 0, &[user(1000)]),
            EINVAL
        );
        // Ids are those inside, and are kept as the machine's.
        assert_ok!(raw::create(sock::tcp4(), 10100, 8, 0, &[user(33)]));
        assert_errno!(sock::bind_any(sock::tcp4(), 10100), EADDRINUSE);
        let line = reservations::list(sandbox)
            .into_iter()
            .find(|line| line.consumers == "uid:100033");
        assert!(line.is_some_and(|line| line.uid == 100_033));
        assert_errno!(raw::create(sock::udp4(), 10000, QUOTA, 0, &[]), EDQUOT);
        assert_ok!(raw::create(sock::udp4(), 10000, QUOTA - 8, 0, &[]));
        become_user(33);
        assert_ok!(sock::bind_any(sock::tcp4(), 10100));
        assert_errno!(raw::delete(sock::tcp4(), 10100, 8, 0), EACCES);
        0
    });
    assert_eq!(child.code(), 0);
    assert_eq!(map(sandbox), PortMap::new([(Protocol::Tcp, 10100..=10107)]));
}

/// What it held is given back when somebody needs it.
pub(crate) fn gone(sandbox: &Sandbox) {
    enable(sandbox);
    for _ in 0..3 {
        let child = user_namespace::spawn(USER, "0 65534 1", || {
            proc::new_netns();
            // The namespace before may take a moment to end.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while raw::create(sock::tcp4(), 10000, QUOTA, 0, &[]).is_err() {
                assert!(std::time::Instant::now() < deadline, "the quota stays used");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            assert_errno!(raw::create(sock::tcp4(), 20000, 1, 0, &[]), EDQUOT);
            0
        });
        assert_eq!(child.code(), 0);
    }
    assert_eq!(reservations::list(sandbox).len(), 1);
}
