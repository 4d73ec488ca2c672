//! A program that runs with more rights than its caller does not let it choose the store.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use portkeep_tests::enable::enable;
use portkeep_tests::{Sandbox, reservations};

use crate::installed::prefix;
use crate::program::{assert_passed, compile, output, sources};

const USER: u32 = 65534;
const DEFAULT: &str = "/var/lib/portkeep/reservations.toml";

pub(crate) fn the_callers_store_is_not_written(sandbox: &Sandbox) {
    // The machine's own is not touched either.
    let none = None::<&str>;
    mount(
        Some("tmpfs"),
        "/var/lib",
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )
    .expect("mount");
    enable(sandbox);
    let program = sandbox.state_dir().join("secure");
    let library = format!("-Wl,-rpath,{}", prefix().join("lib").display());
    let source = sources().join("secure.c");
    assert_eq!(compile("gcc", &["-Wall", &library], &source, &program), "");
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("set the mode");
    let store = sandbox.state_dir().join("of-the-user");
    fs::create_dir(&store).expect("make a directory");
    chown(&store, Some(USER), None).expect("give it away");
    let mut command = Command::new(&program);
    command
        .env("PORTKEEP_STATE_DIR", &store)
        .env("PORTKEEP_BPFFS", &store)
        .uid(USER)
        .gid(USER);
    assert_passed("secure", &output(&mut command));
    assert_eq!(fs::read_dir(&store).expect("read it").count(), 0);
    assert!(Path::new(DEFAULT).is_file());
    assert_eq!(reservations::list(sandbox).len(), 1);
}
