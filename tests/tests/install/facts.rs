//! What an installation is like, and what `inspect` says of it.

use std::fs;

use portkeep_admin::{ErrorKind, InstallOptions, inspect};
use portkeep_tests::{
    Protocol, Sandbox, assert_errno, assert_ok, enable, ports, proc, raw, reservations, sock,
};

use crate::scene::{PORT, mode, plain_directory};

pub(crate) fn nothing_is_installed(sandbox: &Sandbox) {
    assert_eq!(
        inspect(&enable::installation(sandbox)).expect("inspect"),
        None
    );
    // Nor where there is no BPF file system, and asking mounts none.
    let options = plain_directory(sandbox);
    assert_eq!(inspect(&options.installation).expect("inspect"), None);
    let bpffs = options.installation.bpffs.expect("a path");
    assert_eq!(crate::scene::mounts_at(&bpffs), 0);
    fs::remove_dir(&bpffs).expect("remove the directory");
    let mut installation = enable::installation(sandbox);
    installation.bpffs = Some(bpffs);
    let error = inspect(&installation).expect_err("no such directory");
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::System, Some(libc::ENOENT))
    );
}

pub(crate) fn what_is_installed(sandbox: &Sandbox) {
    let installed = enable::enable(sandbox);
    assert_eq!(installed.cgroup, sandbox.cgroup());
    assert_eq!(installed.layout.root(), sandbox.bpffs().join("portkeep"));
    assert!(!installed.upgraded && !installed.mounted_bpffs);
    let status = inspect(&enable::installation(sandbox)).expect("inspect");
    let status = status.expect("a status");
    assert_eq!(Ok(status.abi_version), raw::version(sock::tcp4()));
    assert_eq!(status.cgroup.as_deref(), Some(sandbox.cgroup()));
    assert_eq!(status.control, [sandbox.cgroup()]);
    assert_eq!(status.layout, installed.layout);
    assert!(!status.mounted_bpffs);
    assert_eq!(status.pool, (enable::POOL_START, enable::POOL_END));

    // The quota is what a user can really have.
    let quota = u16::try_from(status.quota).expect("below the number of ports");
    let user = || {
        let owner = sock::tcp4();
        assert_ok!(raw::acquire4(&owner, 2000, quota));
        assert_errno!(raw::acquire4(&owner, PORT, 1), EDQUOT);
        0
    };
    assert_eq!(proc::as_uid(1000, 1000, user), 0);
}

pub(crate) fn modes_of_the_pins(sandbox: &Sandbox) {
    let installed = enable::enable(sandbox);
    let root = installed.layout.root();
    for _ in 0..2 {
        assert_eq!(mode(root), 0o755);
        assert_eq!(mode(&root.join("reservations")), 0o444);
        for directory in ["maps", "links"] {
            assert_eq!(mode(&root.join(directory)), 0o700);
            for pin in crate::objects::entries(&root.join(directory)) {
                assert_eq!(mode(&pin), 0o600, "{}", pin.display());
            }
        }
        // Also under a umask that takes everything away from others, and on an upgrade.
        let umask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        enable::enable(sandbox);
        nix::sys::stat::umask(umask);
    }
    let owner = sock::tcp4();
    assert_ok!(raw::acquire4(&owner, PORT, 1));
    let read = || {
        assert_eq!(reservations::list(sandbox).len(), 1);
        assert!(
            fs::OpenOptions::new()
                .write(true)
                .open(root.join("reservations"))
                .is_err()
        );
        assert!(fs::remove_file(root.join("reservations")).is_err());
        0
    };
    assert_eq!(proc::as_uid(65534, 65534, read), 0);
}

fn pool(sandbox: &Sandbox, pool: (u16, u16)) -> InstallOptions {
    InstallOptions {
        pool,
        ..enable::options(sandbox)
    }
}

/// Acquires ports one by one until there are none: those it got.
fn exhaust(sandbox: &Sandbox) -> Vec<std::ops::RangeInclusive<u16>> {
    let socket = sock::udp4();
    while raw::acquire4(&socket, 0, 1).is_ok() {}
    assert_errno!(raw::acquire4(&socket, 0, 1), EADDRINUSE);
    ports::map(sandbox).ranges(Protocol::Udp)
}

pub(crate) fn the_pool_serves_wildcards(sandbox: &Sandbox) {
    enable::enable_with(&pool(sandbox, (20000, 20009)));
    assert_errno!(raw::acquire4(sock::udp4(), 0, 11), EADDRINUSE);
    assert_ok!(raw::acquire4(sock::udp4(), 0, 10));
    // Specific requests are not bound to it.
    let outside = sock::udp4();
    assert_ok!(raw::acquire4(&outside, 30000, 1));
    drop(outside);
    assert_eq!(exhaust(sandbox), [20000..=20009]);
    enable::enable_with(&pool(sandbox, (65535, 65535)));
    assert_eq!(exhaust(sandbox), [65535..=65535]);
}

pub(crate) fn the_pool_changes_with_the_next_installation(sandbox: &Sandbox) {
    let installation = enable::installation(sandbox);
    for (start, end) in [(20000, 20003), (30000, 30001), (20002, 20005)] {
        enable::enable_with(&pool(sandbox, (start, end)));
        let status = inspect(&installation).expect("inspect").expect("a status");
        assert_eq!(status.pool, (start, end));
        assert_eq!(exhaust(sandbox), [start..=end]);
    }
}

pub(crate) fn an_idle_installation_is_small(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let memory = || {
        let status = inspect(&enable::installation(sandbox)).expect("inspect");
        status.expect("a status").memory
    };
    let idle = memory();
    assert!(idle.iter().all(|map| map.bytes > 0), "{idle:?}");
    let total = |maps: &[portkeep_admin::MapMemory]| maps.iter().map(|map| map.bytes).sum::<u64>();
    assert!(total(&idle) < 1_400_000, "{idle:?}");
    // The kernel's count does move with what is reserved.
    let owner = sock::udp4();
    for port in (PORT..PORT + 2000).step_by(2) {
        assert_ok!(raw::acquire4(&owner, port, 1));
    }
    let busy = memory();
    assert!(total(&busy) > total(&idle) + 1000 * 64, "{busy:?}");
}
