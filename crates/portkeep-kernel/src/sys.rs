//! System calls that the standard library does not have.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The magic number of a BPF file system (`linux/magic.h`).
pub const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
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

/// Mounts a BPF file system at `path` (`mount(2)`).
pub fn mount_bpffs(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: all pointers are C strings that outlive the call.
    check(unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            path.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            c"mode=0755".as_ptr().cast(),
        )
    })
    .map(drop)
}

/// Takes the mount at `path` away (`umount2(2)`).
pub fn unmount(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string.
    check(unsafe { libc::umount2(path.as_ptr(), libc::UMOUNT_NOFOLLOW) }).map(drop)
}

/// Waits for the exclusive lock on an open file (`flock(2)`); closing it gives the lock back.
pub fn lock(file: &File) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open for the time of the call.
        match check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result.map(drop),
        }
    }
}

/// Whether the effective user is root (`geteuid(2)`).
pub fn is_root() -> bool {
    // SAFETY: no preconditions; it cannot fail.
    unsafe { libc::geteuid() == 0 }
}
