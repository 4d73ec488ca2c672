//! Requests that make no sense. They change nothing.

use std::path::Path;

use portkeep_admin::{ErrorKind, InstallOptions, install};
use portkeep_tests::{Sandbox, enable};

use crate::objects::Objects;
use crate::scene::{assert_absent, assert_empty, assert_no_cgroups, assert_works, mounts_at};

#[track_caller]
fn assert_refused(sandbox: &Sandbox, options: &InstallOptions, kind: ErrorKind) {
    let error = install(options).expect_err("an invalid request");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(!error.to_string().is_empty());
    if kind == ErrorKind::InvalidInput {
        assert!(error.hint().is_some(), "{error:?}");
    }
    assert_empty(sandbox.bpffs());
    assert_no_cgroups(sandbox);
    assert_absent();
}

fn at(sandbox: &Sandbox, cgroup: &Path) -> InstallOptions {
    let mut options = enable::options(sandbox);
    options.installation.cgroup = Some(cgroup.to_path_buf());
    options
}

pub(crate) fn what_is_no_cgroup(sandbox: &Sandbox) {
    let objects = Objects::mark();
    for path in [Path::new("/proc"), sandbox.state_dir(), sandbox.bpffs()] {
        assert_refused(sandbox, &at(sandbox, path), ErrorKind::InvalidInput);
        let mut options = enable::options(sandbox);
        options.control = vec![path.to_path_buf()];
        assert_refused(sandbox, &options, ErrorKind::InvalidInput);
    }
    let missing = sandbox.cgroup().join("missing");
    assert_refused(sandbox, &at(sandbox, &missing), ErrorKind::System);
    // A file of the cgroup file system is no cgroup either.
    let file = sandbox.cgroup().join("cgroup.procs");
    let error = install(&at(sandbox, &file)).expect_err("a file");
    assert!(matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::System
    ));
    assert_empty(sandbox.bpffs());
    objects.assert_gone();
}

pub(crate) fn what_is_no_pool(sandbox: &Sandbox) {
    for pool in [(0, 0), (0, 65535), (2, 1), (65535, 61000)] {
        let mut options = enable::options(sandbox);
        options.pool = pool;
        assert_refused(sandbox, &options, ErrorKind::InvalidInput);
    }
    let mut options = enable::options(sandbox);
    options.pool = (1, 65535);
    enable::enable_with(&options);
    assert_works(sandbox);
}

pub(crate) fn what_is_no_directory(sandbox: &Sandbox) {
    let file = sandbox.state_dir().join("file");
    std::fs::write(&file, "").expect("make a file");
    for path in [file.clone(), sandbox.state_dir().join("missing")] {
        let mut options = enable::options(sandbox);
        options.installation.bpffs = Some(path);
        assert_refused(sandbox, &options, ErrorKind::System);
    }
    assert_eq!(mounts_at(&file), 0);
}

pub(crate) fn control_cgroups_beside(sandbox: &Sandbox) {
    let mut options = at(sandbox, &sandbox.inside_cgroup());
    for control in [sandbox.outside_cgroup(), sandbox.cgroup().to_path_buf()] {
        options.control = vec![sandbox.inside_cgroup(), control];
        assert_refused(sandbox, &options, ErrorKind::InvalidInput);
    }
}
