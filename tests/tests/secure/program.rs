//! The library in a set-user-ID program.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use portkeep::{Backend, Reservation};
use portkeep_host::bpffs;
use portkeep_tests::{Sandbox, skip};

/// The argument with which the runner is such a program.
pub(crate) const TELL: &str = "--tell";

const USER: u32 = 65534;

/// Says what the library makes of the environment, and holds a port for a moment, of which the library
/// leaves a record.
pub(crate) fn tell() -> ExitCode {
    let held = Reservation::builder()
        .backend(Backend::Held)
        .acquire()
        .expect("hold a port");
    println!("{}", geteuid());
    println!("{}", bpffs::mount_point().unwrap_or_default().display());
    println!("{}", portkeep::list_held().len());
    let runtime = env::var_os("XDG_RUNTIME_DIR").expect("it is set");
    println!("{}", Path::new(&runtime).join("portkeep").exists());
    drop(held);
    ExitCode::SUCCESS
}

struct Told {
    euid: u32,
    mount_point: PathBuf,
    held: usize,
    record_in_runtime_dir: bool,
}

/// Runs the program as a user, from a copy with these mode bits.
fn run(sandbox: &Sandbox, mode: u32) -> Told {
    let program = sandbox.state_dir().join("program");
    fs::copy(env::current_exe().expect("a path"), &program).expect("copy the program");
    fs::set_permissions(&program, Permissions::from_mode(mode)).expect("set the mode");
    let mut command = Command::new(&program);
    command
        .arg(TELL)
        .env("PORTKEEP_BPFFS", chosen(sandbox, "bpffs"))
        .env("XDG_RUNTIME_DIR", chosen(sandbox, "runtime"));
    let become_user = || {
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        Ok(setresuid(uid, uid, uid)?)
    };
    // SAFETY: the closure makes three system calls and allocates nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, become_user) };
    let output = command.output().expect("start the program");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = text.lines().collect();
    let [euid, mount_point, held, record] = lines[..] else {
        panic!("{text}")
    };
    Told {
        euid: euid.parse().expect("a number"),
        mount_point: mount_point.into(),
        held: held.parse().expect("a number"),
        record_in_runtime_dir: record == "true",
    }
}

/// A place of the caller's choice.
fn chosen(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.state_dir().join(name)
}

pub(crate) fn with_more_rights(sandbox: &Sandbox) {
    // It is root's, as it has to be for the library to use it.
    fs::create_dir(chosen(sandbox, "runtime")).expect("make a directory");
    let told = run(sandbox, 0o4755);
    if told.euid != 0 {
        skip("the temporary directory is on a file system without set-user-ID programs");
    }
    assert_ne!(told.mount_point, chosen(sandbox, "bpffs"));
    assert!(!told.record_in_runtime_dir);
    assert!(told.held >= 1, "where root's records are else");
    let left = fs::read_dir(chosen(sandbox, "runtime")).expect("read it");
    assert_eq!(left.count(), 0);
}

pub(crate) fn with_the_rights_of_the_caller(sandbox: &Sandbox) {
    let runtime = chosen(sandbox, "runtime");
    fs::create_dir(&runtime).expect("make a directory");
    std::os::unix::fs::chown(&runtime, Some(USER), None).expect("give it away");
    let told = run(sandbox, 0o755);
    assert_eq!(told.euid, USER);
    assert_eq!(told.mount_point, chosen(sandbox, "bpffs"));
    assert!(told.record_in_runtime_dir);
    assert_eq!(told.held, 1);
}
