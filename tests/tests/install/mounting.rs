//! The BPF file system: mounted where there is none, opened where it is closed, and given back as
//! it was.

use std::fs;

use portkeep_admin::{Installation, inspect};
use portkeep_tests::{Sandbox, assert_ok, enable, proc, raw, reservations, sock};

use crate::objects::Objects;
use crate::scene::{
    assert_absent, assert_empty, mode, mounts_at, plain_directory, remove, set_mode,
};

const NOBODY: u32 = 65534;

pub(crate) fn on_a_plain_directory(sandbox: &Sandbox) {
    let mut objects = Objects::mark();
    let options = plain_directory(sandbox);
    let bpffs = options.installation.bpffs.clone().expect("a path");
    let installed = enable::enable_with(&options);
    assert!(installed.mounted_bpffs && !installed.upgraded);
    assert_eq!(mounts_at(&bpffs), 1);
    assert!(installed.layout.reservations().starts_with(&bpffs));
    let status = inspect(&options.installation)
        .expect("inspect")
        .expect("a status");
    assert!(status.mounted_bpffs);
    let owner = sock::tcp4();
    assert_ok!(raw::acquire4(&owner, 0, 1));
    // Everybody can read the list there.
    let list = installed.layout.reservations();
    let read = || i32::from(fs::read_to_string(&list).is_ok_and(|text| text.lines().count() == 2));
    assert_eq!(proc::as_uid(NOBODY, NOBODY, read), 1);
    objects.look();

    assert!(remove(&options.installation));
    assert_eq!(mounts_at(&bpffs), 0);
    assert_empty(&bpffs);
    objects.assert_gone();
    assert_absent();
    assert!(!remove(&options.installation));
}

pub(crate) fn survives_an_upgrade(sandbox: &Sandbox) {
    let options = plain_directory(sandbox);
    let bpffs = options.installation.bpffs.clone().expect("a path");
    enable::enable_with(&options);
    let installed = enable::enable_with(&options);
    assert!(installed.upgraded && !installed.mounted_bpffs);
    assert_eq!(mounts_at(&bpffs), 1);
    assert!(remove(&options.installation));
    assert_eq!(mounts_at(&bpffs), 0);
}

pub(crate) fn what_others_pinned_stays(sandbox: &Sandbox) {
    let options = plain_directory(sandbox);
    let bpffs = options.installation.bpffs.clone().expect("a path");
    enable::enable_with(&options);
    fs::create_dir(bpffs.join("theirs")).expect("make a directory");
    assert!(remove(&options.installation));
    assert_eq!(mounts_at(&bpffs), 1);
    assert!(bpffs.join("theirs").is_dir());
    assert!(!bpffs.join("portkeep").exists());
}

pub(crate) fn a_closed_file_system_is_opened_for_passing(sandbox: &Sandbox) {
    set_mode(sandbox.bpffs(), 0o700);
    enable::enable(sandbox);
    assert_eq!(mode(sandbox.bpffs()), 0o711);
    let user = || {
        assert!(
            fs::read_dir(sandbox.bpffs()).is_err(),
            "it can be passed, not read"
        );
        for closed in ["maps", "links"] {
            assert!(fs::read_dir(sandbox.bpffs().join("portkeep").join(closed)).is_err());
        }
        let owner = sock::tcp4();
        assert_ok!(raw::acquire4(&owner, 0, 1));
        assert_eq!(reservations::list(sandbox).len(), 1);
        0
    };
    assert_eq!(proc::as_uid(NOBODY, NOBODY, user), 0);
    assert!(remove(&enable::installation(sandbox)));
    assert_eq!(mode(sandbox.bpffs()), 0o700);
}

pub(crate) fn every_mode_is_restored(sandbox: &Sandbox) {
    let installation: Installation = enable::installation(sandbox);
    for found in [0o700, 0o750, 0o710, 0o1770, 0o1700, 0o701, 0o755, 0o1777] {
        set_mode(sandbox.bpffs(), found);
        enable::enable(sandbox);
        enable::enable(sandbox);
        let opened = mode(sandbox.bpffs());
        assert_eq!(opened & 0o001, 0o001, "{found:o} was opened to {opened:o}");
        assert_eq!(
            opened & 0o004,
            found & 0o004,
            "{found:o} was opened to {opened:o}"
        );
        assert!(remove(&installation));
        let restored = mode(sandbox.bpffs());
        assert_eq!(
            restored, found,
            "{found:o}, opened to {opened:o}, became {restored:o}"
        );
    }
}
