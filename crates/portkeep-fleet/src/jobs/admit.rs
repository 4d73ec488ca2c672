//! Letting a job's processes in, on one node and without the engine.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::User;
use portkeep::Consumer;
use portkeep_admin::{FleetEntry, Keeper};
use portkeep_fleet_core::data::Name;
use portkeep_host::mounts;

use crate::error::{Error, Result};

/// A process that has connected to a socket.
#[derive(Debug)]
pub struct Caller {
    uid: u32,
    pid: i32,
    /// The process itself, whatever its number becomes; since Linux 6.5.
    handle: Option<OwnedFd>,
}

/// `SO_PEERPIDFD` of asm-generic/socket.h.
const SO_PEERPIDFD: libc::c_int = 77;

impl Caller {
    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn of(socket: impl AsFd) -> io::Result<Caller> {
        let socket = socket.as_fd();
        let peer =
            nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?;
        let mut number: libc::c_int = -1;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the kernel writes one int, for which there is room.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERPIDFD,
                (&raw mut number).cast(),
                &raw mut length,
            )
        };
        // SAFETY: the kernel has just made this descriptor, for us alone.
        let handle = (got == 0).then(|| unsafe { OwnedFd::from_raw_fd(number) });
        Ok(Caller {
            uid: peer.uid(),
            pid: peer.pid(),
            handle,
        })
    }

    /// The cgroup that it is in: its number, and its path.
    fn cgroup(&self) -> Result<(u64, PathBuf)> {
        let read = || -> io::Result<(u64, PathBuf)> {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid))?;
            let below = text.lines().find_map(|line| line.strip_prefix("0::/"));
            let below = PathBuf::from(below.ok_or(io::ErrorKind::NotFound)?);
            let hierarchy = mounts::first("cgroup2")?.ok_or(io::ErrorKind::NotFound)?;
            Ok((fs::metadata(hierarchy.join(&below))?.ino(), below))
        };
        let found = read().map_err(|error| {
            Error::refused(format!(
                "the cgroup of process {} is not known: {error}",
                self.pid
            ))
        })?;
        // It is there after we have looked, so it was the one that we looked at.
        if !self.is_alive() {
            return Err(Error::refused("the process has ended"));
        }
        Ok(found)
    }

    fn is_alive(&self) -> bool {
        let Some(handle) = &self.handle else {
            return Path::new(&format!("/proc/{}", self.pid)).exists();
        };
        let mut ended = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut ended, PollTimeout::ZERO), Ok(0))
    }
}

/// Lets the caller's cgroup bind at the ports of a grant of this node, and gives its ports.
///
/// # Errors
///
/// If the node has no such grant, or it is another user's.
pub fn admit(keeper: &Keeper, id: &Name, caller: &Caller) -> Result<Vec<String>> {
    let entries = keeper.fleet_entries()?;
    let is_it = |entry: &FleetEntry| entry.tag.grant && entry.tag.id == id.as_str();
    let entry = entries.into_iter().find(is_it);
    let entry = entry.ok_or_else(|| {
        Error::refused(format!("this node has no grant {id}")).with_hint(
            "it may have ended, or be of other nodes; `portkeep ls` shows what is reserved",
        )
    })?;
    if !is_owner(&entry, caller.uid) {
        return Err(Error::refused(format!("the grant {id} is another user's")));
    }
    let (cgroup, path) = caller.cgroup()?;
    if path.as_os_str().is_empty() {
        return Err(Error::refused(
            "the process is in the root cgroup, and with it everybody would be let in",
        )
        .with_hint(
            "start it in a cgroup of its own: `systemd-run --scope portkeep fleet attach …`",
        ));
    }
    keeper.admit_for_fleet(&entry.tag, &[Consumer::Cgroup(cgroup)])?;
    Ok(entry.ports.iter().map(ToString::to_string).collect())
}

fn is_owner(entry: &FleetEntry, uid: u32) -> bool {
    let mut owners = entry
        .consumers
        .iter()
        .filter_map(|it| it.strip_prefix("owner "));
    let is = |name: &str| {
        let user = User::from_name(name).ok().flatten();
        user.is_some_and(|user| user.uid.as_raw() == uid)
    };
    uid == 0 || owners.any(is)
}
