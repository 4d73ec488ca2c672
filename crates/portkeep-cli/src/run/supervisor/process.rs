//! What /proc tells of a process or thread.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use portkeep_admin::sockets;

/// The process that a thread is of.
pub fn of_thread(thread: i32) -> Option<i32> {
    status(thread, "Tgid:")?.parse().ok()
}

/// How many seccomp filters a thread runs under; 0 before Linux 5.9, which does not tell.
pub fn filters(thread: i32) -> u32 {
    let filters = status(thread, "Seccomp_filters:");
    filters.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The parent of a thread's process.
pub fn parent(thread: i32) -> Option<i32> {
    status(thread, "PPid:")?.parse().ok()
}

/// No process tree is deeper.
const DEPTH: usize = 1024;

/// Whether a thread is of a process or of one of its descendants.
pub fn is_within(thread: i32, process: i32) -> bool {
    let Some(mut descendant) = of_thread(thread) else {
        return false;
    };
    for _ in 0..DEPTH {
        if descendant == process {
            return true;
        }
        match parent(descendant) {
            Some(next) if next > 1 => descendant = next,
            _ => break,
        }
    }
    false
}

/// The user that a process's files in /proc are of: its effective one, or root for one that is undumpable.
pub fn user(process: i32) -> Option<u32> {
    Some(fs::metadata(format!("/proc/{process}")).ok()?.uid())
}

/// The inode of the socket that a thread has under a number.
pub fn socket_inode(thread: i32, number: i32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{thread}/fd/{number}")).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// The flags with which a thread's descriptor is open, `O_CLOEXEC` among them.
pub fn flags(thread: i32, number: i32) -> Option<i32> {
    let info = fs::read_to_string(format!("/proc/{thread}/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(flags.trim(), 8).ok()
}

/// Whether a thread is in this process's network namespace.
pub fn is_in_this_namespace(thread: i32) -> bool {
    let inode = |of: &str| fs::metadata(format!("/proc/{of}/ns/net")).map(|it| it.ino());
    match (inode(&thread.to_string()), inode("self")) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn status(thread: i32, field: &str) -> Option<String> {
    sockets::status(thread.try_into().ok()?, field)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::{AsFd as _, AsRawFd as _};

    use nix::unistd::{geteuid, getpid, getppid, gettid};

    use super::*;
    use crate::run::supervisor::socket;

    #[test]
    fn of_this_thread() {
        let (thread, process) = (gettid().as_raw(), getpid().as_raw());
        assert_eq!(of_thread(thread), Some(process));
        assert_eq!(parent(thread), Some(getppid().as_raw()));
        assert_eq!(user(process), Some(geteuid().as_raw()));
        assert!(is_in_this_namespace(thread));
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        assert_eq!(
            socket_inode(thread, udp.as_raw_fd()),
            socket::inode(udp.as_fd())
        );
        let open = flags(thread, udp.as_raw_fd()).expect("flags");
        assert_eq!(open & libc::O_CLOEXEC, libc::O_CLOEXEC);
        udp.set_nonblocking(true).expect("fcntl");
        let open = flags(thread, udp.as_raw_fd()).expect("flags");
        assert_eq!(open & libc::O_NONBLOCK, libc::O_NONBLOCK);
    }
}
