//! etcd for tests: some members on one address, with certificates made for the test. And machines for tests, with
//! processes that bind there all the time.

use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

mod certificates;
mod etcd;
mod machine;
mod network;
pub mod probe;

pub use certificates::Authority;
pub use etcd::{Etcd, Options};
pub use machine::Machine;
pub use network::{ENGINE, Network};
pub use probe::Probe;

/// Stops a child, and waits until all of its threads have stopped: the signal alone lets them run for a while.
fn stop(child: &Child) {
    let pid = Pid::from_raw(child.id().cast_signed());
    if kill(pid, Signal::SIGSTOP).is_ok() {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let _ = waitid(Id::Pid(pid), flags);
    }
}
