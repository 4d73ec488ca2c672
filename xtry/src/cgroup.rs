//! The cgroup whose processes can make the control calls.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portkeep_host::mounts;

/// Where the kernel part is to be attached: `$PORTKEEP_CGROUP`, else the root.
pub fn top() -> anyhow::Result<PathBuf> {
    match std::env::var_os("PORTKEEP_CGROUP") {
        Some(path) if !path.is_empty() => Ok(path.into()),
        _ => mounts::first("cgroup2")?.context("no cgroup2 file system is mounted"),
    }
}

/// Where to make ours: below the cgroup of this process, whose limits then hold for the command; below
/// the top if that cannot be.
pub fn places(top: &Path) -> Vec<PathBuf> {
    let name = "portkeep-try";
    let own = own().filter(|own| own.starts_with(top));
    own.into_iter()
        .chain([top.to_owned()])
        .map(|place| place.join(name))
        .collect()
}

/// The cgroup of this process; `None` if it is not below the mount that we see.
fn own() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = mounts::first("cgroup2").ok()??.join(path);
    let procs = fs::read_to_string(own.join("cgroup.procs")).ok()?;
    let pid = std::process::id().to_string();
    procs.lines().any(|line| line == pid).then_some(own)
}

/// Whether processes are in it or below it. One that does not exist has none.
pub fn is_populated(cgroup: &Path) -> io::Result<bool> {
    match fs::read_to_string(events(cgroup)) {
        Ok(events) => Ok(has_populated(&events)),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until the last process has left.
pub fn wait_until_empty(cgroup: &Path) -> io::Result<()> {
    // The kernel tells of a change those that have read the state before it.
    let file = File::open(events(cgroup))?;
    while is_populated_by(&file)? {
        let mut change = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut change, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes it and what the command has made below it.
pub fn remove(cgroup: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(cgroup) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

fn is_populated_by(events: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let mut text = [0; 256];
    match events.read_at(&mut text, 0) {
        Ok(length) => Ok(has_populated(&String::from_utf8_lossy(&text[..length]))),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn has_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

fn events(cgroup: &Path) -> PathBuf {
    cgroup.join("cgroup.events")
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}
