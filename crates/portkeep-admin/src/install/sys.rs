//! System calls that the standard library does not have.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use libbpf_rs::libbpf_sys;

/// The magic number of a cgroup2 file system (`linux/magic.h`).
pub const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// Turns the -1 of a failed system call into the error.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// Makes a directory in an open one (`mkdirat(2)`).
pub fn make_directory_at(parent: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a C string, and the descriptor is open for the time of the call.
    check(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// The magic number of the file system that holds `path` (`statfs(2)`).
pub fn file_system_magic(path: &Path) -> io::Result<i64> {
    let path = c_path(path)?;
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `path` is a C string and `status` has room for the result.
    check(unsafe { libc::statfs(path.as_ptr(), status.as_mut_ptr()) })?;
    // SAFETY: statfs succeeded and filled it in; it was zeroed before, too.
    let magic = unsafe { status.assume_init() }.f_type;
    // Its type differs between architectures; the magic numbers have 32 bits.
    Ok(magic as u32 as i64)
}

/// What stands as the source of a mount that [`mount_bpffs`] made.
pub const MOUNT_SOURCE: &CStr = c"portkeep";

/// Mounts a BPF file system at `path` (`mount(2)`). Others may pass through its root, not look.
pub fn mount_bpffs(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: all pointers are C strings that outlive the call.
    check(unsafe {
        libc::mount(
            MOUNT_SOURCE.as_ptr(),
            path.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            c"mode=0711".as_ptr().cast(),
        )
    })
    .map(drop)
}

/// Takes the mount at `path` away (`umount2(2)`), out of sight at once even if files in it are
/// open, as the lock of the caller is.
pub fn unmount(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string.
    check(unsafe { libc::umount2(path.as_ptr(), libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH) })
        .map(drop)
}

/// Waits for the exclusive lock on an open file (`flock(2)`); closing it gives the lock back.
pub fn lock(file: &File) -> io::Result<()> {
    loop {
        match flock(file, libc::LOCK_EX) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
    }
}

/// Tries for the exclusive lock, without waiting.
pub fn try_lock(file: &File) -> io::Result<()> {
    flock(file, libc::LOCK_EX | libc::LOCK_NB)
}

fn flock(file: &File, operation: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for the time of the call.
    check(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

/// Loads a program that does nothing, of a kind that only the privileged may load. Being root is
/// neither enough, without capabilities or in a user namespace, nor necessary.
pub fn require_bpf_privilege() -> io::Result<()> {
    // r0 = 1; exit
    const PROCEED: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_CGROUP_INET4_BIND,
        ..Default::default()
    };
    // SAFETY: the strings end in 0; the instructions are as many as said and laid out as the
    // kernel wants them; the options are of the size they state.
    let descriptor = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            c"portkeep_probe".as_ptr(),
            c"GPL".as_ptr(),
            PROCEED.as_ptr().cast(),
            PROCEED.len() as _,
            &mut options,
        )
    };
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(-descriptor));
    }
    // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(())
}

/// The time since boot, suspended time included (`CLOCK_BOOTTIME` of `clock_gettime(2)`).
pub fn since_boot() -> Duration {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `now` is a timespec to write to. The call cannot fail: the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, now.as_mut_ptr()) };
    // SAFETY: all fields are integers.
    let now = unsafe { now.assume_init() };
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), now.tv_nsec as u32)
}
