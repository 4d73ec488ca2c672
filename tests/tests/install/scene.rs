//! What the trials have in common.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_admin::{InstallOptions, Installation};
use portkeep_tests::ports::{self, PortMap, probe_free};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw, sock};

/// A port outside the automatic range and the pool.
pub(crate) const PORT: u16 = 20000;

/// Waits for what the kernel or another process does.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in 30 seconds");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Removes what is installed in the sandbox; false if nothing was.
#[track_caller]
pub(crate) fn remove(installation: &Installation) -> bool {
    match portkeep_admin::remove(installation) {
        Ok(removed) => removed,
        Err(error) => panic!("cannot remove: {error:?}"),
    }
}

/// A directory for a BPF file system that is to be mounted, and what installs there.
pub(crate) fn plain_directory(sandbox: &Sandbox) -> InstallOptions {
    let bpffs = sandbox.state_dir().join("bpffs");
    fs::create_dir(&bpffs).expect("make a directory");
    InstallOptions {
        installation: Installation {
            cgroup: Some(sandbox.cgroup().to_path_buf()),
            bpffs: Some(bpffs),
            ..enable::installation(sandbox)
        },
        ..enable::options(sandbox)
    }
}

/// How many file systems are mounted on each other at a directory.
pub(crate) fn mounts_at(directory: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read the mounts");
    let directory = directory.to_str().expect("an ASCII path");
    mounts
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some(directory))
        .count()
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o7777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set the mode");
}

/// A TCP socket that has acquired the port.
#[track_caller]
pub(crate) fn acquire_port() -> Socket {
    let socket = sock::tcp4();
    assert_ok!(raw::acquire4(&socket, PORT, 1));
    socket
}

/// Asserts that a reservation can be made, is enforced and ends.
#[track_caller]
pub(crate) fn assert_works(sandbox: &Sandbox) {
    assert_eq!(ports::map(sandbox), PortMap::default());
    let socket = acquire_port();
    assert_eq!(
        ports::map(sandbox),
        PortMap::new([(Protocol::Tcp, PORT..=PORT)])
    );
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    drop(socket);
    assert_free(sandbox);
}

/// Asserts that nothing is reserved, and that the port binds.
#[track_caller]
pub(crate) fn assert_free(sandbox: &Sandbox) {
    assert_eq!(ports::map(sandbox), PortMap::default());
    assert_eq!(probe_free(Protocol::Tcp, PORT..=PORT), []);
}

/// Asserts that no kernel part answers here.
#[track_caller]
pub(crate) fn assert_absent() {
    portkeep_tests::without_portkeep();
    assert_errno!(raw::acquire4(sock::tcp4(), PORT, 1), ENOPROTOOPT);
    assert_eq!(probe_free(Protocol::Tcp, PORT..=PORT), []);
}

/// Asserts that a BPF file system is as it was mounted: with nothing in it but what the kernel
/// itself puts into each (`CONFIG_BPF_PRELOAD`).
#[track_caller]
pub(crate) fn assert_empty(bpffs: &Path) {
    let entries = fs::read_dir(bpffs).expect("list the BPF file system");
    let paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.ends_with("maps.debug") && !path.ends_with("progs.debug"))
        .collect();
    assert_eq!(paths, [] as [PathBuf; 0]);
}

/// The cgroups below the sandbox's, other than the one in which the trial runs.
pub(crate) fn cgroups(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.cgroup()).expect("list the cgroup");
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| *path != sandbox.inside_cgroup())
        .collect()
}

#[track_caller]
pub(crate) fn assert_no_cgroups(sandbox: &Sandbox) {
    assert_eq!(cgroups(sandbox), [] as [PathBuf; 0]);
}

/// Random numbers for moments (xorshift); the seed is printed, so that a failure can be repeated.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let seed = sock::cookie(sock::udp4()) ^ u64::from(std::process::id()) << 32;
        println!("seed {seed}");
        Self(seed | 1)
    }

    /// A moment within a duration.
    pub(crate) fn moment(&mut self, within: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        within.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// Whether another process has closed the other end, or written to it.
pub(crate) fn is_told(stop: &std::io::PipeReader) -> bool {
    let mut fd = libc::pollfd {
        fd: stop.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: `fd` is one pollfd, and poll does not wait.
    unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
}
