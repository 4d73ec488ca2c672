//! Once without the kernel part, once with it.

use portkeep_admin::remove;
use portkeep_tests::raw::{self, TREE, user};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, assert_ok, enable, sock};

/// Reservations of somebody else, which nobody is to notice.
struct Others {
    _holder: Socket,
}

impl Others {
    /// In the pool and below the automatic range, at run time and persistent, in this namespace and in
    /// all.
    fn reserve() -> Self {
        let holder = sock::udp6();
        assert_ok!(raw::acquire16(&holder, 0, 100, TREE, 2));
        let administrator = sock::tcp4();
        assert_ok!(raw::create(&administrator, 9000, 64, 0, &[user(4711)]));
        assert_ok!(raw::create(&administrator, 9100, 64, raw::EVERY_NETNS, &[]));
        Self { _holder: holder }
    }
}

/// What `work` gives without the kernel part, and what with it.
pub(crate) fn twice<T>(sandbox: &Sandbox, mut work: impl FnMut() -> T) -> [T; 2] {
    portkeep_tests::without_portkeep();
    let without = work();
    enable::enable(sandbox);
    let others = Others::reserve();
    let with = work();
    // It was there all the time.
    assert_ok!(raw::version(sock::tcp4()));
    drop(others);
    remove(&enable::installation(sandbox)).expect("remove the kernel part");
    [without, with]
}
