//! Commands as a container runtime starts them: the filter first, then capabilities and user.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use portkeep_tests::{libc, runtime_dir};

use crate::common::{PORTKEEP, USER};
use crate::profile::Profile;

/// Who runs it.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// An ordinary user, without capabilities.
    User,
    /// Root with those that Docker gives.
    Root,
}

pub const EVERYBODY: [Who; 2] = [Who::User, Who::Root];

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW,
/// SYS_CHROOT, MKNOD, AUDIT_WRITE and SETFCAP, of capabilities(7).
const DOCKERS: u64 = 0xa804_25fb;
const LAST: u32 = 63;

/// `portkeep` with these words in a container.
pub fn portkeep(profile: Profile, who: Who, words: &[&str]) -> Command {
    let path = Path::new(PORTKEEP);
    let (directory, name) = path.parent().zip(path.file_name()).expect("a path");
    // Started from its directory: the user may not pass through those above it.
    let mut command = Command::new(Path::new(".").join(name));
    command.args(words).current_dir(directory);
    if matches!(who, Who::User) {
        command.env("XDG_RUNTIME_DIR", runtime_dir(USER));
    }
    let filter = profile.filter();
    let enter = move || {
        set_filter(&filter)?;
        become_one(who)
    };
    // SAFETY: the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(enter) };
    command
}

fn set_filter(filter: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    let set = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which outlives the call.
    match unsafe { libc::syscall(libc::SYS_seccomp, set, 0, &raw const program) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn become_one(who: Who) -> std::io::Result<()> {
    for capability in (0..=LAST).filter(|it| DOCKERS >> it & 1 == 0) {
        // There are not so many, which is an error of no matter.
        // SAFETY: the call takes numbers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    let held = match who {
        Who::User => {
            let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
            setgroups(&[])?;
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)?;
            0
        }
        Who::Root => DOCKERS,
    };
    // `_LINUX_CAPABILITY_VERSION_3`, this process; effective, permitted and inheritable ones, by halves.
    let header = [0x2008_0522_u32, 0];
    let half = |shift: u32| (held >> shift) as u32;
    let sets = [half(0), half(0), 0, half(32), half(32), 0];
    // SAFETY: the kernel reads the header and two sets of three numbers.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Where a program of this target is built, that every user can run.
pub fn build(sandbox: &portkeep_tests::Sandbox, source: &str, options: &[&str]) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/containers/programs")
        .join(source);
    let name = source.file_name().expect("a name");
    let mut built = sandbox.state_dir().join(name).into_os_string();
    built.push(options.concat());
    let mut command = match source.extension().and_then(|it| it.to_str()) {
        Some("go") => {
            let mut go = Command::new("go");
            go.args(["build", "-o"]).arg(&built).arg(&source);
            go.env("CGO_ENABLED", "0").env("GO111MODULE", "off");
            go
        }
        _ => {
            let mut cc = Command::new("cc");
            cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]);
            cc.args(options).arg("-o").arg(&built).arg(&source);
            cc
        }
    };
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
    built.into_string().expect("a path in UTF-8")
}
