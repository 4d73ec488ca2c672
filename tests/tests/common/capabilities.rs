//! Processes with some capabilities and not others.

#![allow(dead_code, reason = "each target needs another one")]

use portkeep_tests::libc;

/// `CAP_SETUID` of capabilities(7).
pub(crate) const SETUID: u32 = 7;
/// `CAP_NET_BIND_SERVICE`.
pub(crate) const NET_BIND_SERVICE: u32 = 10;

/// Leaves the calling thread one capability, capset(2).
pub(crate) fn keep_only(capability: u32) {
    // _LINUX_CAPABILITY_VERSION_3 and this thread; then effective, permitted and inheritable, of
    // the lower 32 capabilities and of the higher.
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets: [u32; 6] = [1 << capability, 1 << capability, 0, 0, 0, 0];
    // SAFETY: the header and the sets are laid out as version 3 of capset(2) wants them.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
}

/// Takes some of the lower 32 capabilities away from the calling thread.
pub(crate) fn drop_some(capabilities: &[u32]) {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: as above, to be written to.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    assert_eq!(got, 0, "capget: {}", std::io::Error::last_os_error());
    let dropped = capabilities
        .iter()
        .fold(0, |mask, number| mask | 1 << number);
    for set in &mut sets {
        *set &= !dropped;
    }
    // SAFETY: as above.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
}
