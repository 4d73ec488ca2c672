//! An installation of another version.

use std::fs;
use std::mem::size_of;
use std::path::{Path, PathBuf};

use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use portkeep_admin::{ErrorKind, inspect, install};
use portkeep_tests::{Sandbox, assert_errno, enable, reservations, sock};

use crate::objects::{Objects, pinned};
use crate::scene::{PORT, acquire_port, assert_absent, assert_empty, assert_works, remove};

fn map_path(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.bpffs().join("portkeep/maps").join(name)
}

const KEY: [u8; 4] = [0; 4];

fn read(path: &Path) -> Vec<u8> {
    let map = MapHandle::from_pinned_path(path).expect("open the map");
    let value = map.lookup(&KEY, MapFlags::ANY).expect("look up");
    value.expect("a value")
}

/// Asserts that installing over what is there is refused and changes nothing, and that it can be
/// removed; `disguise` makes it another version's, while `PORT` is reserved.
fn assert_refused(sandbox: &Sandbox, disguise: impl FnOnce()) {
    let mut objects = Objects::mark();
    enable::enable(sandbox);
    let owner = acquire_port();
    disguise();
    objects.look();
    let state = || (pinned(sandbox.bpffs()), reservations::list(sandbox));
    let before = state();
    assert_eq!(before.1.len(), 1);

    let error = install(&enable::options(sandbox)).expect_err("another version");
    assert_eq!(error.kind(), ErrorKind::ForeignVersion, "{error:?}");
    let hint = error.hint().expect("a hint");
    assert!(hint.contains("portkeep disable"), "{hint}");
    assert_eq!(state(), before);
    assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);

    assert!(remove(&enable::installation(sandbox)));
    drop(owner);
    assert_empty(sandbox.bpffs());
    objects.assert_gone();
    assert_absent();
    assert!(!enable::enable(sandbox).upgraded);
    assert_works(sandbox);
}

/// Changes one of the 32-bit fields of the settings: the versions come first (`bpf/maps.h`).
fn change_settings(sandbox: &Sandbox, field: usize) {
    let path = map_path(sandbox, "settings");
    let mut value = read(&path);
    value[4 * field..4 * field + 4].copy_from_slice(&99_u32.to_ne_bytes());
    let map = MapHandle::from_pinned_path(&path).expect("open the settings");
    map.update(&KEY, &value, MapFlags::ANY)
        .expect("write the settings");
    let error = inspect(&enable::installation(sandbox)).expect_err("another version");
    assert_eq!(error.kind(), ErrorKind::ForeignVersion);
}

pub(crate) fn another_abi_is_refused(sandbox: &Sandbox) {
    assert_refused(sandbox, || change_settings(sandbox, 0));
}

pub(crate) fn another_layout_is_refused(sandbox: &Sandbox) {
    assert_refused(sandbox, || change_settings(sandbox, 1));
}

/// Pins another map in the place of one of Portkeep's.
fn replace(path: &Path, kind: MapType, value_size: u32) {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as u64,
        ..Default::default()
    };
    let mut map =
        MapHandle::create(kind, Some("another"), 4, value_size, 1, &options).expect("make a map");
    fs::remove_file(path).expect("unpin the map");
    map.pin(path).expect("pin the other map");
}

pub(crate) fn settings_of_another_size_are_refused(sandbox: &Sandbox) {
    assert_refused(sandbox, || {
        replace(&map_path(sandbox, "settings"), MapType::Array, 1024);
    });
}

pub(crate) fn maps_of_another_shape_are_refused(sandbox: &Sandbox) {
    assert_refused(sandbox, || {
        replace(&map_path(sandbox, "charges"), MapType::Hash, 1024);
    });
}
