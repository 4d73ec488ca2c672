//! A bpf file system is everybody's to write to, unless the mounter says otherwise: somebody may have
//! made `portkeep` there before root enabled Portkeep.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use portkeep_tests::{Protocol, Sandbox, enable, proc};

use crate::common::kernel_part::{acquire, assert_enabled, assert_removed};
use crate::common::{
    EVERYBODY, Outcome, PORTKEEP, USER, done, outcome, portkeep, portkeep_as_user,
};

/// Every command that looks at a bpf file system.
const COMMANDS: [&[&str]; 11] = [
    &["ls"],
    &["ls", "--json"],
    &["ls", "--all-namespaces"],
    &["status"],
    &["status", "--json"],
    &["why", "80/tcp"],
    &["why", "80/tcp", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["enable"],
    &["disable"],
];

/// A list with a reservation that nobody has made.
fn forged() -> String {
    let netns = portkeep::netns_cookie().expect("the cookie");
    format!(
        "PROTOCOL PORTS FLAGS PID UID COMMAND SINCE TOKEN SOCKET NETNS LIFETIME CONSUMERS\n\
         tcp 80-80 - 1 0 nginx 1000000 99 0 {netns} runtime -\n"
    )
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set the mode");
}

/// The kind, owner, mode and target of everything below a directory.
fn everything(below: &Path) -> Vec<(PathBuf, u32, u32, Option<PathBuf>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).expect("read a directory").flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().expect("look"));
        if metadata.is_dir() {
            found.extend(everything(&path));
        }
        let target = fs::read_link(&path).ok();
        found.push((path, metadata.uid(), metadata.mode(), target));
    }
    found.sort();
    found
}

/// Asserts that each command ends, with a reason that has these words and a hint, believes nothing
/// and changes nothing.
#[track_caller]
fn assert_refused(sandbox: &Sandbox, reason: &str) {
    let before = everything(sandbox.bpffs());
    for words in COMMANDS {
        assert_told(words, reason, &outcome(&mut limited(portkeep(words))));
        let privileged = ["doctor", "enable", "disable"].contains(&words[0]);
        if !privileged {
            let outcome = outcome(&mut limited(portkeep_as_user(words)));
            assert_told(words, reason, &outcome);
        }
        assert_eq!(everything(sandbox.bpffs()), before, "{words:?}");
    }
}

/// With less memory than a file without an end fills.
fn limited(mut command: Command) -> Command {
    use std::os::unix::process::CommandExt as _;
    let limit = || {
        use nix::sys::resource::{Resource, setrlimit};
        Ok(setrlimit(Resource::RLIMIT_AS, 4 << 30, 4 << 30)?)
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(limit) };
    command
}

#[track_caller]
fn assert_told(words: &[&str], reason: &str, outcome: &Outcome) {
    let Outcome { stdout, stderr, .. } = outcome;
    // `why` has more to tell than what is reserved, and `doctor` than what is wrong.
    let expected = if words[0] == "why" { 0 } else { 1 };
    assert_eq!(outcome.code, Some(expected), "{words:?}: {outcome:?}");
    let said = format!("{stdout}{stderr}");
    assert!(said.contains(reason), "{words:?}: {outcome:?}");
    let is_document = words.contains(&"--json") && !stdout.is_empty();
    assert!(
        is_document || said.contains("Hint: nothing there was trusted"),
        "{words:?}: {outcome:?}"
    );
    assert!(!said.contains("nginx"), "{words:?}: {outcome:?}");
}

/// What a user puts in the place of the list.
pub fn a_folder_of_a_user(sandbox: &Sandbox) {
    set_mode(sandbox.bpffs(), 0o1777);
    let folder = sandbox.bpffs().join("portkeep");
    let (fifo, list) = (
        sandbox.state_dir().join("fifo"),
        sandbox.state_dir().join("list"),
    );
    mkfifo(&fifo, Mode::from_bits_truncate(0o666)).expect("make a FIFO");
    fs::write(&list, forged()).expect("write a list");
    for target in [&*fifo, Path::new("/dev/zero"), &*list, Path::new("/")] {
        let made = proc::as_uid(USER, USER, || {
            fs::create_dir(&folder).expect("make the folder");
            fs::create_dir(folder.join("maps")).expect("make a folder");
            symlink(target, folder.join("reservations")).expect("make a link");
            0
        });
        assert_eq!(made, 0);
        let reason = format!("{} belongs to user {USER}, not to root", folder.display());
        assert_refused(sandbox, &reason);
        // The folder may be root's, and what is in it not.
        chown(&folder, Some(0), Some(0)).expect("give the folder to root");
        let reason = format!(
            "{}/maps belongs to user {USER}, not to root",
            folder.display()
        );
        for words in [["enable"], ["disable"], ["status"]] {
            assert_told(&words, &reason, &outcome(&mut portkeep(words)));
        }
        let reason = format!("{}/reservations belongs to user {USER}", folder.display());
        for words in [&["ls"][..], &["why", "80/tcp"]] {
            assert_told(words, &reason, &outcome(&mut limited(portkeep(words))));
        }
        fs::remove_dir_all(&folder).expect("remove it");
    }
    done(&mut portkeep(["enable"]));
    assert_enabled();
    done(&mut portkeep(["disable"]));
    assert_removed(sandbox.bpffs());
}

/// Else `enable` and `disable` would make and remove things there.
pub fn a_link_to_a_folder_of_root(sandbox: &Sandbox) {
    set_mode(sandbox.bpffs(), 0o1777);
    let target = sandbox.state_dir().join("of-root");
    for directory in ["maps", "links"] {
        fs::create_dir_all(target.join(directory)).expect("make a directory");
    }
    for file in ["reservations", "maps/a", "links/setsockopt-1"] {
        fs::write(target.join(file), forged()).expect("write a file");
    }
    let before = everything(&target);
    let folder = sandbox.bpffs().join("portkeep");
    let made = proc::as_uid(USER, USER, || {
        symlink(&target, &folder).expect("make a link");
        0
    });
    assert_eq!(made, 0);
    let owner = format!("{} belongs to user {USER}, not to root", folder.display());
    assert_refused(sandbox, &owner);
    assert_eq!(everything(&target), before);
    // A link is not followed, whoever has made it.
    fs::remove_file(&folder).expect("remove the link");
    symlink(&target, &folder).expect("make a link");
    let kind = format!(
        "{} is not what the kernel part creates there",
        folder.display()
    );
    assert_refused(sandbox, &kind);
    assert_eq!(everything(&target), before);
}

/// Root's, but others may exchange it.
pub fn what_others_may_change(sandbox: &Sandbox) {
    let folder = sandbox.bpffs().join("portkeep");
    fs::create_dir(&folder).expect("make the folder");
    for mode in [0o777, 0o1777, 0o775, 0o757] {
        set_mode(&folder, mode);
        let reason = format!(
            "{} can be changed by other users (mode {mode:o})",
            folder.display()
        );
        assert_refused(sandbox, &reason);
    }
    fs::remove_dir(&folder).expect("remove the folder");
    for mode in [0o777, 0o770, 0o702] {
        set_mode(sandbox.bpffs(), mode);
        let reason = format!(
            "{} can be changed by other users (mode {mode:o})",
            sandbox.bpffs().display()
        );
        let enable = outcome(&mut portkeep(["enable"]));
        assert_told(&["enable"], &reason, &enable);
        assert_removed(sandbox.bpffs());
    }
    set_mode(sandbox.bpffs(), 0o755);
    chown(sandbox.bpffs(), Some(USER), None).expect("give it away");
    let reason = format!("{} belongs to user {USER}", sandbox.bpffs().display());
    assert_told(&["enable"], &reason, &outcome(&mut portkeep(["enable"])));
    assert_removed(sandbox.bpffs());
}

/// In a file system where anybody can make files a list is nobody's.
pub fn a_plain_directory(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let plain = sandbox.state_dir().join("plain");
    fs::create_dir_all(plain.join("portkeep")).expect("make a directory");
    fs::write(plain.join("portkeep/reservations"), forged()).expect("write a list");
    for command in EVERYBODY {
        for words in [&["ls"][..], &["ls", "--json"], &["why", "80/tcp"]] {
            let outcome = outcome(command(words).env("PORTKEEP_BPFFS", &plain));
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            let reason = format!("{} is not in a bpf file system", plain.display());
            assert!(said.contains(&reason), "{words:?}: {outcome:?}");
            assert!(!said.contains("nginx"), "{words:?}: {outcome:?}");
        }
    }
}

pub fn the_kernels_default_mode_will_do(sandbox: &Sandbox) {
    set_mode(sandbox.bpffs(), 0o1777);
    done(&mut portkeep(["enable"]));
    let _owner = acquire(Protocol::Tcp, 20000..=20000);
    for command in EVERYBODY {
        assert_eq!(done(&mut command(&["ls"])).lines().count(), 2);
    }
    let user = proc::as_uid(USER, USER, || {
        let folder = sandbox.bpffs().join("portkeep");
        i32::from(fs::rename(&folder, sandbox.bpffs().join("away")).is_ok())
    });
    assert_eq!(user, 0);
    done(&mut portkeep(["enable"]));
    done(&mut portkeep(["disable"]));
    assert_removed(sandbox.bpffs());
}

/// Where the machine's root has no number of its own, and where root is somebody else.
pub fn root_of_a_user_namespace_reads_the_list(_: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let _owner = acquire(Protocol::Tcp, 20000..=20000);
    let path = Path::new(PORTKEEP);
    let (directory, name) = path.parent().zip(path.file_name()).expect("a path");
    let code = proc::as_uid(USER, USER, || {
        std::env::set_current_dir(directory).expect("go there");
        unshare(CloneFlags::CLONE_NEWUSER).expect("make a user namespace");
        fs::write("/proc/self/uid_map", format!("0 {USER} 1")).expect("map root");
        let list = done(Command::new(Path::new(".").join(name)).arg("ls"));
        assert_eq!(list.lines().count(), 2, "{list}");
        0
    });
    assert_eq!(code, 0);
}

/// In a directory that somebody else has made for root to find.
pub fn a_store_that_is_no_file(sandbox: &Sandbox) {
    let store = sandbox.state_dir().join("reservations.toml");
    done(&mut portkeep(["enable"]));
    for device in [None, Some("/dev/zero"), Some("/dev/tty")] {
        match device {
            None => mkfifo(&store, Mode::from_bits_truncate(0o666)).expect("make a FIFO"),
            Some(device) => symlink(device, &store).expect("make a link"),
        }
        for words in [
            &["status"][..],
            &["ls"],
            &["doctor"],
            &["why", "80/tcp"],
            &["enable"],
        ] {
            let outcome = outcome(&mut limited(portkeep(words)));
            assert!(outcome.code.is_some(), "{words:?}: {outcome:?}");
            assert!(
                words[0] != "enable" || outcome.code == Some(1),
                "{words:?}: {outcome:?}"
            );
        }
        fs::remove_file(&store).expect("remove it");
    }
}
