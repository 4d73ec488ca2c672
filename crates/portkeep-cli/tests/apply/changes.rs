//! What applying changes, and what it leaves.

use std::fs;
use std::path::Path;

use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, assert_ok, proc, raw, sock};
use serde_json::Value;

use crate::common::json::{document, elements};
use crate::common::kernel_part::{assert_free, assert_kept};
use crate::common::persistent::{
    assert_agreed, bind, bind_as, enable, listed, protect, protected, stored, stored_ports,
};
use crate::common::{USER, cells, done, outcome, portkeep, user_name};
use crate::scene::{apply, check, declare, directory, write};

pub fn add_change_and_remove(sandbox: &Sandbox) {
    enable();
    let user = user_name(USER);
    let file = declare(
        sandbox,
        "a.toml",
        &["reserve 20000-20003/udp root", "exclude 20010/tcp"],
    );
    let file = file.display().to_string();
    let added = format!(
        "+ 20010/tcp excluded  {file}:6\n+ 20000-20003/udp reserved for user root  {file}:3\n"
    );
    assert_eq!(check(), added);
    assert_eq!(apply(), format!("{added}2 declared entries: 2 added\n"));
    assert_eq!(
        listed(),
        [
            "20010-20010/tcp exclusion everybody",
            "20000-20003/udp persistent consumers root"
        ]
    );
    assert_agreed();

    declare(
        sandbox,
        "a.toml",
        &[&format!("reserve 20000-20003/udp {user}")],
    );
    let said = apply();
    assert!(
        said.ends_with("1 declared entry: 1 changed, 1 removed\n"),
        "{said}"
    );
    assert!(
        said.contains(&format!("- 20010/tcp excluded  {file}\n")),
        "{said}"
    );
    assert_eq!(bind_as(USER, USER, Protocol::Udp, 20000), 0);
    assert_eq!(bind(Protocol::Udp, 20000), EADDRINUSE);
    assert_agreed();

    fs::remove_file(file).expect("remove");
    let said = apply();
    assert!(said.ends_with("0 declared entries: 1 removed\n"), "{said}");
    assert_eq!(listed(), [] as [&str; 0]);
    assert_free(Protocol::Udp, 20000..=20003);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
}

pub fn the_same_again_changes_nothing(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 40000-40003/both root"]);
    let outcome = outcome(&mut portkeep(["apply"]));
    assert_eq!(
        outcome.code,
        Some(1),
        "a range of the store has one protocol: {outcome:?}"
    );
    declare(
        sandbox,
        "a.toml",
        &["reserve 40000-40003/udp root", "exclude 40010/udp"],
    );
    apply();
    let metadata = |name: &str| {
        let metadata = fs::metadata(sandbox.state_dir().join(name)).expect("a file");
        std::os::unix::fs::MetadataExt::ino(&metadata)
    };
    // A file that is written again is another one.
    let before = ["reservations.toml", "notes.toml"].map(metadata);
    assert_eq!(check(), "");
    assert_eq!(apply(), "2 declared entries: nothing to change\n");
    assert_eq!(["reservations.toml", "notes.toml"].map(metadata), before);
}

pub fn check_and_dry_run_change_nothing(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 20000/udp root"]);
    let said = check();
    assert!(said.starts_with("+ 20000/udp"), "{said}");
    assert_eq!(done(&mut portkeep(["apply", "--dry-run"])), said);
    assert_eq!(stored(sandbox), None);
    assert_eq!(listed(), [] as [&str; 0]);
}

/// The parts that both blocks have keep their tokens' head, and every other test's strangers try.
pub fn blocks_grow_and_shrink_in_place(sandbox: &Sandbox) {
    enable();
    for ports in [
        "20000-20009/tcp",
        "19990-20100/tcp",
        "20005-20200/tcp",
        "20006/tcp",
        "20006-20007/tcp",
    ] {
        declare(sandbox, "a.toml", &[&format!("reserve {ports} root")]);
        apply();
        assert_eq!(stored_ports(sandbox), [ports]);
        assert_eq!(listed().len(), 1);
        assert_agreed();
    }
    declare(
        sandbox,
        "a.toml",
        &[
            "reserve 20000-20006/tcp root",
            "reserve 20007-20009/tcp 65534",
        ],
    );
    apply();
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20007), 0);
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20006), EADDRINUSE);
    declare(sandbox, "a.toml", &["reserve 20000-20009/tcp root"]);
    apply();
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 20007), EADDRINUSE);
    assert_agreed();
    assert_kept_from_users(20000..=20009);
}

fn assert_kept_from_users(ports: std::ops::RangeInclusive<u16>) {
    let kept = proc::as_uid(USER, USER, || {
        assert_kept(Protocol::Tcp, ports.clone());
        0
    });
    assert_eq!(kept, 0);
}

pub fn a_growing_block_meets_sockets(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 20000-20003/tcp 65534"]);
    apply();
    let stranger = sock::tcp4();
    assert_ok!(sock::bind_any(&stranger, 20005));
    declare(sandbox, "a.toml", &["reserve 19990-20010/tcp 65534"]);
    let refused = outcome(&mut portkeep(["apply"]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("20005/tcp: "), "{refused:?}");
    assert_eq!(stored_ports(sandbox), ["20000-20003/tcp"]);
    assert_free(Protocol::Tcp, 19990..=19999);
    assert_agreed();
    // The consumer's own is none.
    declare(sandbox, "a.toml", &["reserve 19990-20010/tcp root"]);
    apply();
    assert_eq!(stored_ports(sandbox), ["19990-20010/tcp"]);
    assert_eq!(listed(), ["19990-20010/tcp persistent consumers root"]);
    assert_agreed();
}

pub fn kinds_change_in_place(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["exclude 20000-20003/tcp"]);
    apply();
    assert_free(Protocol::Tcp, 20000..=20003);
    declare(sandbox, "a.toml", &["reserve 20001-20005/tcp"]);
    apply();
    assert_kept(Protocol::Tcp, 20001..=20005);
    assert_free(Protocol::Tcp, 20000..=20000);
    declare(sandbox, "a.toml", &["exclude 20001-20005/tcp"]);
    apply();
    assert_free(Protocol::Tcp, 20000..=20005);
    assert_eq!(listed(), ["20001-20005/tcp exclusion everybody"]);
    assert_agreed();
}

pub fn automatic_ports_are_protected(sandbox: &Sandbox) {
    enable();
    protect("50000");
    declare(
        sandbox,
        "a.toml",
        &["exclude 40000-40003/tcp", "reserve 41000/udp root"],
    );
    apply();
    assert_eq!(protected(), "40000-40003,41000,50000");
    declare(sandbox, "a.toml", &["exclude 40002-40009/tcp"]);
    apply();
    assert_eq!(protected(), "40002-40009,50000");
    assert_agreed();
    protect("50000");
    assert!(check().contains("missing from net.ipv4.ip_local_reserved_ports"));
    apply();
    assert_eq!(protected(), "40002-40009,50000");
    declare(sandbox, "a.toml", &[]);
    apply();
    assert_eq!(protected(), "50000");
}

pub fn documents(sandbox: &Sandbox) {
    enable();
    let path = declare(sandbox, "a.toml", &["reserve 20000/udp root"]);
    let added = document(&mut portkeep(["apply", "--json"]));
    assert_eq!(added["differs"], true);
    assert_eq!(
        (&added["files"], &added["declared"]),
        (&Value::from(1), &Value::from(1))
    );
    let [change] = elements(&added["changes"]) else {
        panic!("{added}");
    };
    assert_eq!(change["action"], "add");
    assert_eq!(change["before"], Value::Null);
    assert_eq!(change["after"]["source"], path.display().to_string());
    assert_eq!(change["line"], 3);
    let again = document(&mut portkeep(["apply", "--check", "--json"]));
    assert_eq!(again["differs"], false);
    declare(sandbox, "a.toml", &["exclude 20000/udp"]);
    let changed = outcome(&mut portkeep(["apply", "--check", "--json"]));
    assert_eq!(changed.code, Some(3));
    let changed = crate::common::json::parse("apply", &changed.stdout);
    let change = &changed["changes"][0];
    assert_eq!(change["action"], "change");
    assert_eq!(change["before"]["users"][0], "root");
    assert_eq!(change["after"]["kind"], "exclusion");
}

pub fn what_others_made_stays(sandbox: &Sandbox) {
    enable();
    for words in [
        "reserve 20000/tcp --user root",
        "exclude 20001/tcp --comment mine",
    ] {
        done(&mut portkeep(words.split(' ')));
    }
    // Declared just so, or not at all.
    declare(
        sandbox,
        "a.toml",
        &["reserve 20000/tcp root", "reserve 20002/tcp root"],
    );
    let said = apply();
    assert!(said.ends_with("2 declared entries: 1 added\n"), "{said}");
    assert_eq!(check(), "");
    declare(sandbox, "a.toml", &[]);
    apply();
    assert_eq!(stored_ports(sandbox), ["20000/tcp", "20001/tcp"]);
    assert_agreed();
    // A part that was taken out by hand is declared still.
    declare(sandbox, "a.toml", &["reserve 20010-20019/tcp root"]);
    apply();
    done(&mut portkeep(["unreserve", "20013-20014/tcp"]));
    assert_ne!(check(), "");
    apply();
    assert!(stored_ports(sandbox).contains(&"20010-20019/tcp".to_owned()));
    assert_eq!(check(), "");
    assert_agreed();
}

pub fn drift_is_repaired(sandbox: &Sandbox) {
    enable();
    declare(sandbox, "a.toml", &["reserve 20000-20009/tcp root"]);
    apply();
    assert_ok!(raw::delete(sock::tcp4(), 20003, 2, raw::PART));
    let found = check();
    assert!(found.starts_with("~ 20000-20009/tcp"), "{found}");
    apply();
    assert_eq!(check(), "");
    assert_eq!(listed(), ["20000-20009/tcp persistent consumers root"]);
}

/// Of version 2 only while something in it is declared: an earlier command reads it again.
pub fn the_store_says_who_declared_it(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000/tcp"]));
    let version = || {
        let text = stored(sandbox).expect("a store");
        let line = text.lines().find(|line| line.starts_with("version"));
        line.expect("a version").to_owned()
    };
    assert_eq!(version(), "version = 1");
    let path = declare(sandbox, "a.toml", &["reserve 20001/tcp root"]);
    apply();
    assert_eq!(version(), "version = 2");
    let text = stored(sandbox).expect("a store");
    assert!(
        text.contains(&format!("source = {:?}", path.display().to_string())),
        "{text}"
    );
    declare(sandbox, "a.toml", &[]);
    apply();
    assert_eq!(version(), "version = 1");
    // A file that is edited keeps its comments, and what was noted above a table that grows.
    let edited =
        "# mine\nversion = 1\n\n# about this one\n[[reservation]]\nports = \"20005/tcp\"\n";
    fs::write(sandbox.state_dir().join("reservations.toml"), edited).expect("write");
    enable();
    declare(sandbox, "a.toml", &["reserve 20001/tcp root"]);
    apply();
    let text = stored(sandbox).expect("a store");
    assert!(
        text.starts_with("# mine\nversion = 2\n\n# about this one\n"),
        "{text}"
    );
}

pub fn a_thousand_at_once(sandbox: &Sandbox) {
    enable();
    let entries: Vec<String> = (0..1000)
        .map(|index| format!("reserve {}/tcp root", 36000 + 2 * index))
        .collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    declare(sandbox, "a.toml", &entries);
    let said = apply();
    assert!(said.ends_with("1000 declared entries: 1000 added\n"));
    assert_eq!(listed().len(), 1000);
    assert_eq!(check(), "");
    declare(sandbox, "a.toml", &[]);
    apply();
    assert_eq!(listed(), [] as [&str; 0]);
    assert_eq!(protected(), "");
}

pub fn namespaces(sandbox: &Sandbox) {
    enable();
    let netns = sandbox.state_dir().join("netns");
    fs::write(&netns, "").expect("make a file");
    let run = |words: &[&str]| {
        let status = std::process::Command::new("unshare")
            .arg(format!("--net={}", netns.display()))
            .args(words)
            .status();
        assert!(status.expect("start unshare").success());
    };
    run(&["ip", "link", "set", "lo", "up"]);
    let text = |here: &str, there: &str| {
        format!(
            "version = 1\n[[reservation]]\nports = {here:?}\n[[reservation]]\nports = {there:?}\n\
             netns = {:?}\n[[exclusion]]\nports = \"20100/udp\"\nnetns = \"every\"\n",
            netns.display().to_string()
        )
    };
    write(
        sandbox,
        "a.toml",
        &text("20000-20003/tcp", "20002-20005/tcp"),
    );
    apply();
    let there = || {
        let path = netns.display().to_string();
        let listed = done(&mut portkeep(["ls", "--netns", &path, "--tcp"]));
        let lines = listed.lines().skip(1);
        lines
            .map(|line| cells(line)[1].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(there(), ["20002-20005"]);
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_free(Protocol::Tcp, 20004..=20005);
    write(
        sandbox,
        "a.toml",
        &text("20001-20004/tcp", "40000-40007/tcp"),
    );
    apply();
    assert_eq!(there(), ["40000-40007"]);
    assert_kept(Protocol::Tcp, 20001..=20004);
    assert_eq!(check(), "");
    // One that is gone: the store keeps it.
    write(
        sandbox,
        "b.toml",
        "version = 1\n[[reservation]]\nports = \"20000/udp\"\nnetns = \"/run/netns/there-is-none\"\n",
    );
    let said = outcome(&mut portkeep(["apply"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stderr.contains("there is no network namespace"),
        "{said:?}"
    );
    fs::remove_file(directory(sandbox).join("a.toml")).expect("remove");
    fs::remove_file(directory(sandbox).join("b.toml")).expect("remove");
    assert_eq!(outcome(&mut portkeep(["apply"])).code, Some(0));
    assert_eq!(there(), [] as [&str; 0]);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
    let unmounted = nix::mount::umount(Path::new(&netns));
    unmounted.expect("unmount");
}
