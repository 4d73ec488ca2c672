//! The list of a given bpf file system, and what refuses it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use portkeep::{Backend, Error, ErrorKind, Reservation, list_at};
use portkeep_tests::{Sandbox, enable};

/// Another bpf file system of the sandbox, with nothing in it.
fn another(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.state_dir().join("another");
    fs::create_dir(&path).expect("a mount point");
    let none = None::<&Path>;
    mount(Some("bpf"), &path, Some("bpf"), MsFlags::empty(), none).expect("mount");
    path
}

fn refusal(path: &Path) -> Error {
    list_at(path).expect_err("there is no list")
}

pub(crate) fn of_a_given_file_system(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let ports = Reservation::builder().count(4).backend(Backend::Kernel);
    let reservation = ports.acquire().expect("acquire");
    // The variable of the environment leads to this one, too.
    let entries = list_at(sandbox.bpffs()).expect("the list");
    assert_eq!(entries, portkeep::list().expect("the list"));
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].range.start(), entries[0].range.count()),
        (reservation.start(), 4)
    );
    // Not to another.
    let another = another(sandbox);
    let error = refusal(&another);
    assert_eq!(error.kind(), ErrorKind::ListUnavailable, "{error}");
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert_eq!(portkeep::list().expect("the list"), entries);
}

pub(crate) fn of_what_is_not_a_bpf_file_system(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for path in [sandbox.state_dir(), Path::new("/proc/self/fd")] {
        let error = refusal(path);
        assert_eq!(error.kind(), ErrorKind::ListUnavailable, "{error}");
        assert_eq!(error.errno(), Some(libc::ENOENT));
    }
}

pub(crate) fn of_what_another_user_has_made(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let another = another(sandbox);
    let folder = another.join("portkeep");
    DirBuilder::new()
        .mode(0o755)
        .create(&folder)
        .expect("a folder");
    chown(&folder, Some(65534), None).expect("give it away");
    let error = refusal(&another);
    assert_eq!(error.kind(), ErrorKind::ListUntrusted, "{error}");
    assert_eq!(error.errno(), Some(libc::EPERM));
    assert!(error.hint().is_some());
}
