//! The calls of bpf(2) that somebody without privilege might try.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use portkeep_tests::libc;

const OBJ_GET: i64 = 7;
const PROG_DETACH: i64 = 9;
const PROG_GET_FD_BY_ID: i64 = 13;
const MAP_GET_FD_BY_ID: i64 = 14;
const LINK_GET_FD_BY_ID: i64 = 30;

/// Read and write, `BPF_F_RDONLY` and `BPF_F_WRONLY`.
pub(crate) const ACCESS: [u32; 3] = [0, 1 << 3, 1 << 4];

/// Opens what is pinned at a path.
pub(crate) fn open(path: &Path, access: u32) -> Result<OwnedFd, i32> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    let address = path.as_ptr().expose_provenance() as u64;
    call(OBJ_GET, [address, u64::from(access) << 32, 0]).map(own)
}

/// Opens the program, the map and the link with a number.
pub(crate) fn open_by_id(id: u32) -> [Result<OwnedFd, i32>; 3] {
    [PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, LINK_GET_FD_BY_ID]
        .map(|command| call(command, [id.into(), 0, 0]).map(own))
}

/// Detaches whatever is attached to a cgroup in one way.
pub(crate) fn detach(cgroup: &impl AsRawFd, attach_type: u32) -> Result<(), i32> {
    let cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    call(PROG_DETACH, [cgroup, attach_type.into(), 0]).map(drop)
}

fn call(command: i64, attributes: [u64; 3]) -> Result<i32, i32> {
    let size = size_of_val(&attributes);
    // SAFETY: the kernel reads `size` bytes of attributes, and a path where they have its address,
    // which lives during the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size) };
    Errno::result(result)
        .map(|fd| fd as i32)
        .map_err(|errno| errno as i32)
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
