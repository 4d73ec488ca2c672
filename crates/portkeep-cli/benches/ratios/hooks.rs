//! The price of the kernel's hooks as such: programs that allow everything at once.

use std::os::fd::OwnedFd;
use std::path::Path;

use portkeep_tests::foreign::{
    BIND, CONNECT, GETSOCKOPT, PROCEED, SETSOCKOPT, SOCK_RELEASE, attach,
};

/// At all hooks that Portkeep uses; attached until the links are dropped.
pub fn attach_idle(cgroup: &Path) -> Vec<OwnedFd> {
    let others = [SOCK_RELEASE, SETSOCKOPT, GETSOCKOPT];
    let hooks = BIND.into_iter().chain(CONNECT).chain(others);
    hooks.map(|hook| attach(hook, &PROCEED, cgroup)).collect()
}
