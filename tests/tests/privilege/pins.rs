//! What is pinned in the BPF file system.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use portkeep_tests::enable::enable;
use portkeep_tests::libc::{EACCES, EINVAL, ENOENT, EPERM};
use portkeep_tests::{Sandbox, assert_errno, assert_ok, errno_name, proc, raw, sock};

use crate::bpf;
use crate::ledger::{USER, assert_empty, sorted, unchanged};

/// Every file and directory below a directory, and itself.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut paths = vec![directory.to_path_buf()];
    for entry in fs::read_dir(directory).expect("list the directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            paths.extend(tree(&path));
        } else {
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// Runs the attempts as the user, after which everything must be there and in force as before.
fn in_vain(sandbox: &Sandbox, attempts: impl FnOnce(&[PathBuf])) {
    enable(sandbox);
    let root = sandbox.bpffs().join("portkeep");
    let before = tree(&root);
    assert!(before.len() > 10, "{before:?}");
    let held = sock::tcp4();
    let block = assert_ok!(raw::acquire(&held, 10100, 8));
    unchanged(sandbox, || {
        let checked = proc::as_uid(USER, USER, || {
            attempts(&before);
            0
        });
        assert_eq!(checked, 0);
    });
    assert_eq!(tree(&root), before);
    assert_errno!(sock::bind_any(sock::tcp4(), 10100), EADDRINUSE);
    assert_errno!(sock::bind_any(sock::tcp6(), 10107), EADDRINUSE);
    assert_ok!(raw::release(&held, block.token));
    assert_empty(sandbox, USER);
}

pub(crate) fn cannot_be_opened(sandbox: &Sandbox) {
    in_vain(sandbox, |paths| {
        for path in paths {
            for access in bpf::ACCESS {
                let errno = bpf::open(path, access).map(drop).expect_err("opened");
                let of_list = path.ends_with("reservations") && path.is_file();
                // A link, such as what is behind the list, is opened for all purposes or none.
                let expected: &[i32] = if of_list {
                    &[EACCES, EINVAL]
                } else {
                    &[EACCES]
                };
                let name = errno_name(errno);
                assert!(
                    expected.contains(&errno),
                    "{} for {access:#x}: {name}",
                    path.display()
                );
            }
        }
        for id in 0..10_000 {
            for opened in bpf::open_by_id(id) {
                assert_errno!(opened, EPERM);
            }
        }
    });
}

pub(crate) fn cannot_be_changed(sandbox: &Sandbox) {
    let denied = |result: std::io::Result<()>, path: &Path| {
        let error = result.expect_err("allowed");
        assert_eq!(
            error.kind(),
            ErrorKind::PermissionDenied,
            "{}: {error}",
            path.display()
        );
    };
    in_vain(sandbox, |paths| {
        for path in paths {
            denied(
                File::options()
                    .write(true)
                    .open(path)
                    .map(drop)
                    .or_else(is_directory),
                path,
            );
            denied(fs::remove_file(path), path);
            denied(fs::remove_dir(path), path);
            denied(fs::rename(path, path.with_extension("old")), path);
            denied(
                fs::set_permissions(path, Permissions::from_mode(0o777)),
                path,
            );
            denied(fs::create_dir(path.join("new")).or_else(is_file), path);
            denied(std::os::unix::fs::chown(path, Some(USER), None), path);
            let listed = path.ends_with("reservations") || path.ends_with("portkeep");
            if !listed {
                denied(File::open(path).map(drop), path);
            }
        }
    });
}

/// The kernel says so before it looks at permissions.
fn is_directory(error: std::io::Error) -> std::io::Result<()> {
    Err(if error.kind() == ErrorKind::IsADirectory {
        denied()
    } else {
        error
    })
}

fn is_file(error: std::io::Error) -> std::io::Result<()> {
    Err(if error.kind() == ErrorKind::NotADirectory {
        denied()
    } else {
        error
    })
}

fn denied() -> std::io::Error {
    std::io::Error::from_raw_os_error(EACCES)
}

pub(crate) fn programs_cannot_be_detached(sandbox: &Sandbox) {
    in_vain(sandbox, |_| {
        for cgroup in [sandbox.cgroup(), &sandbox.inside_cgroup()] {
            let cgroup = File::open(cgroup).expect("open the cgroup, as everybody may");
            for attach_type in 0..64 {
                let errno = bpf::detach(&cgroup, attach_type).expect_err("detached");
                // Without a program to name there is nothing that the kernel would detach.
                let expected = [EPERM, EINVAL, ENOENT].contains(&errno);
                assert!(expected, "type {attach_type}: {}", errno_name(errno));
            }
        }
    });
    assert_eq!(sorted(sandbox), []);
}
