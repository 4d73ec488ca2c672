//! What an installer that was killed at a certain moment leaves behind, made by hand.

use std::fs;
use std::path::Path;

use libbpf_rs::Link;
use portkeep_tests::{Sandbox, enable};

use crate::objects::entries;
use crate::scene::{acquire_port, assert_absent, assert_empty, assert_free, assert_works, remove};

fn take_links_away(bpffs: &Path) {
    for path in entries(&bpffs.join("portkeep/links")) {
        let link = Link::open(&path).expect("open a link");
        link.detach().expect("detach it");
        fs::remove_file(path).expect("unpin it");
    }
}

/// The next installation must not find reservations whose sockets have gone.
fn assert_next_is_clean(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_free(sandbox);
    assert_works(sandbox);
    assert!(remove(&enable::installation(sandbox)));
    assert_empty(sandbox.bpffs());
    assert_absent();
}

pub(crate) fn a_removal_without_its_links(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owner = acquire_port();
    take_links_away(sandbox.bpffs());
    drop(owner);
    assert_next_is_clean(sandbox);
}

pub(crate) fn a_removal_without_its_settings(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let owner = acquire_port();
    take_links_away(sandbox.bpffs());
    let settings = sandbox.bpffs().join("portkeep/maps/settings");
    fs::remove_file(settings).expect("unpin the settings");
    drop(owner);
    assert_next_is_clean(sandbox);
}

pub(crate) fn an_installation_without_links(sandbox: &Sandbox) {
    enable::enable(sandbox);
    take_links_away(sandbox.bpffs());
    assert_absent();
    assert_next_is_clean(sandbox);
}
