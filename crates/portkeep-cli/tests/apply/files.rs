//! Which files are read, and which are refused.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use nix::sys::stat::Mode;
use portkeep_tests::Sandbox;

use crate::common::persistent::{enable, listed, stored_ports};
use crate::common::{USER, done, outcome, portkeep};
use crate::scene::{apply, check, declare, directory, refuse, write};

/// Someone else wrote it, can write it, or it is no file: nothing of any file is applied.
pub fn that_are_not_trusted(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    let bad = directory(sandbox).join("b.toml");
    let elsewhere = sandbox.state_dir().join("elsewhere.toml");
    fs::write(&elsewhere, "version = 1\n").expect("write");
    let refused = |why: &str| {
        let said = refuse();
        assert!(
            said.contains("b.toml is not trusted") && said.contains(why),
            "{said}"
        );
        assert_eq!(listed(), [] as [&str; 0]);
        let _ = fs::remove_file(&bad).or_else(|_| fs::remove_dir(&bad));
    };
    symlink(&elsewhere, &bad).expect("link");
    refused("symbolic link");
    symlink("/dev/zero", &bad).expect("link");
    refused("symbolic link");
    nix::unistd::mkfifo(&bad, Mode::from_bits_truncate(0o644)).expect("make a FIFO");
    refused("not a regular file");
    fs::create_dir(&bad).expect("make a directory");
    refused("not a regular file");
    write(sandbox, "b.toml", "version = 1\n");
    chown(&bad, Some(USER), None).expect("chown");
    refused("another user");
    for mode in [0o664, 0o646, 0o666] {
        write(sandbox, "b.toml", "version = 1\n");
        fs::set_permissions(&bad, fs::Permissions::from_mode(mode)).expect("chmod");
        refused("can write it");
    }
    let directory = directory(sandbox);
    let odd = directory.join(std::ffi::OsStr::from_bytes(b"b\xff.toml"));
    fs::write(&odd, "version = 1\n").expect("write");
    assert!(refuse().contains("not UTF-8"));
    fs::remove_file(odd).expect("remove");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("chmod");
    let said = refuse();
    assert!(said.contains("reservations.d is not trusted"), "{said}");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("chmod");
    apply();
}

pub fn that_cannot_be_understood(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    for (text, why) in [
        ("", "missing field `version`"),
        ("version = 2\n", "later version"),
        (
            "version = 1\n[[reservation]]\nports = \"1-2/sctp\"\n",
            "b.toml",
        ),
        (
            "version = 1\n[[reservation]]\nports = \"9-2/tcp\"\n",
            "b.toml",
        ),
        (
            "version = 1\n[[reservation]]\nport = \"9/tcp\"\n",
            "unknown field `port`",
        ),
        (
            "version = 1\n[[protected]]\nports = \"9\"\n",
            "unknown field `protected`",
        ),
        (
            "version = 1\n[[reservation]]\nports = \"9/tcp\"\nsource = \"/x\"\n",
            "b.toml:3: `source`",
        ),
        (
            "version = 1\n[[reservation]]\nports = \"9/tcp\"\nnetns = \"1@x\"\n",
            "b.toml:3: a network",
        ),
        (
            "version = 1\n[[exclusion]]\nports = \"9/tcp\"\nusers = [\"root\"]\n",
            "b.toml:3: everybody",
        ),
        (
            "version = 1\n[[reservation]]\nports = \"9/tcp\"\ncgroups = [\"/\"]\n",
            "b.toml:3: every process",
        ),
        ("version = 1\n\0\0", "b.toml"),
    ] {
        write(sandbox, "b.toml", text);
        let said = refuse();
        assert!(said.contains(why), "{text:?}: {said}");
        assert_eq!(listed(), [] as [&str; 0]);
    }
    fs::write(directory(sandbox).join("b.toml"), b"version = 1 # \xff\n").expect("write");
    assert!(refuse().contains("b.toml"));
    let missing = outcome(&mut portkeep(["apply", "/there/is/none.toml"]));
    assert_eq!(missing.code, Some(1), "{missing:?}");
}

/// What editors and package managers leave.
pub fn that_are_left_out(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    for name in [
        ".a.toml.swp",
        ".hidden.toml",
        "a.toml~",
        "a.toml.dpkg-new",
        "README",
    ] {
        write(sandbox, name, "nonsense");
    }
    apply();
    assert_eq!(stored_ports(sandbox), ["20000/tcp"]);
}

pub fn that_move(sandbox: &Sandbox) {
    enable();
    let (a, b) = (
        directory(sandbox).join("a.toml"),
        directory(sandbox).join("b.toml"),
    );
    declare(
        sandbox,
        "a.toml",
        &["reserve 20000-20003/tcp root", "reserve 20010/tcp root"],
    );
    apply();
    fs::rename(&a, &b).expect("rename");
    assert_ne!(check(), "");
    apply();
    assert_eq!(check(), "");
    assert_eq!(stored_ports(sandbox), ["20000-20003/tcp", "20010/tcp"]);
    // Out of the directory, and named alone: what it declares goes with it, in place.
    let c = sandbox.state_dir().join("c.toml");
    fs::rename(&b, &c).expect("rename");
    let c = c.to_str().expect("text");
    fs::write(
        c,
        "version = 1\n[[reservation]]\nports = \"20001-20009/tcp\"\n",
    )
    .expect("write");
    done(&mut portkeep(["apply", c]));
    let mut stored = stored_ports(sandbox);
    stored.sort();
    assert_eq!(stored, ["20001-20009/tcp", "20010/tcp"]);
    // The rest is the directory's still.
    apply();
    assert_eq!(stored_ports(sandbox), ["20001-20009/tcp"]);
    // One file removes nothing of another.
    declare(sandbox, "a.toml", &["reserve 20020/tcp root"]);
    apply();
    done(&mut portkeep(["apply", c]));
    assert_eq!(stored_ports(sandbox).len(), 2);
}

pub fn that_are_given_twice(sandbox: &Sandbox) {
    enable();
    let a = declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    let a = a.to_str().expect("text");
    let directory = directory(sandbox);
    let said = done(&mut portkeep([
        "apply",
        a,
        directory.to_str().expect("text"),
        a,
    ]));
    assert!(said.ends_with("1 declared entry: 1 added\n"), "{said}");
    // From within the directory it is the same file.
    let said = done(portkeep(["apply", "a.toml"]).current_dir(directory));
    assert_eq!(said, "1 declared entry: nothing to change\n");
}
