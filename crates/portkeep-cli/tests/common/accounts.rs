//! Users and groups of a sandbox alone.

use std::fs;

use nix::mount::{MsFlags, mount};
use portkeep_tests::Sandbox;

/// Adds users with a group each, and groups, to those of the machine.
pub fn add(sandbox: &Sandbox, users: &[(&str, u32)], groups: &[(&str, u32)]) {
    let of_users = lines(users, |name, id| {
        format!("{name}:x:{id}:{id}::/:/bin/false\n")
    });
    let of_groups = lines(&[users, groups].concat(), |name, id| {
        format!("{name}:x:{id}:\n")
    });
    for (file, lines) in [("/etc/passwd", of_users), ("/etc/group", of_groups)] {
        let text = fs::read_to_string(file).expect("read the accounts");
        fs::create_dir_all(sandbox.state_dir()).expect("make a directory");
        let copy = sandbox.state_dir().join(file.trim_start_matches("/etc/"));
        // The first line of a name counts.
        fs::write(&copy, lines + &text).expect("write the accounts");
        let none = None::<&str>;
        mount(Some(&copy), file, none, MsFlags::MS_BIND, none).expect("mount");
    }
}

fn lines(of: &[(&str, u32)], line: impl Fn(&str, u32) -> String) -> String {
    of.iter().map(|(name, id)| line(name, *id)).collect()
}
