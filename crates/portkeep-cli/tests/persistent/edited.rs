//! Stores that an administrator has edited, and what `enable` makes of them.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use portkeep::Consumer;
use portkeep::sockopt::{self, CreateFlags, DeleteFlags};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Protocol, Sandbox, sock};

use crate::common::kernel_part::{assert_free, assert_kept, assert_nothing_reserved, reserved};
use crate::common::persistent::{
    assert_agreed, bind, bind_as, enable, listed, protect, protected, store_file, stored,
    stored_ports,
};
use crate::common::{USER, done, outcome, portkeep, refused};
use crate::namespaces::{name, within};

/// What the kernel part has of a network namespace: (protocol, ports).
type Reserved = (Protocol, std::ops::RangeInclusive<u16>);

const HEAD: &str = "version = 1\n";

/// A table for ports, with what else it has.
fn table(kind: &str, ports: &str, rest: &str) -> String {
    format!("\n[[{kind}]]\nports = \"{ports}\"\n{rest}")
}

fn write(sandbox: &Sandbox, text: &str) {
    fs::write(store_file(sandbox), text).expect("write the store");
}

/// Writes a store of some tables.
fn write_tables(sandbox: &Sandbox, tables: &[String]) {
    write(sandbox, &format!("{HEAD}{}", tables.concat()));
}

/// Takes the tables that name these ports out of the store.
fn delete(sandbox: &Sandbox, ports: &[&str]) {
    let text = stored(sandbox).expect("a store");
    let is_kept = |table: &&str| {
        !ports
            .iter()
            .any(|ports| table.contains(&format!("\"{ports}\"")))
    };
    let mut tables = text.split("\n[[");
    let head = tables.next().unwrap_or_default().to_owned();
    let kept = tables.filter(is_kept).map(|table| format!("\n[[{table}"));
    let edited = format!("{head}{}", kept.collect::<String>());
    assert_ne!(edited, text);
    write(sandbox, &edited);
}

/// As a program does that knows nothing but the ABI.
fn create_as_another(start: u16, count: u16, consumers: &[Consumer]) {
    let flags = CreateFlags::default();
    sockopt::create(sock::tcp4(), start, count, 1, flags, consumers).expect("create");
}

fn repaired(said: &str) -> Vec<&str> {
    let lines = said.lines();
    lines
        .filter_map(|line| line.strip_prefix("Repaired: "))
        .collect()
}

pub fn what_was_deleted_is_deleted(sandbox: &Sandbox) {
    enable();
    protect("50000");
    done(&mut portkeep([
        "reserve",
        "40000-40009/both",
        "--user",
        "root",
    ]));
    done(&mut portkeep(["reserve", "20000-20009/tcp"]));
    done(&mut portkeep(["exclude", "41000/udp"]));
    assert_eq!(protected(), "40000-40009,41000,50000");
    delete(sandbox, &["40000-40009/tcp", "41000/udp"]);
    let status = done(&mut portkeep(["status"]));
    let deleted = "40000-40009/tcp: deleted from the store, reserved in the kernel part";
    assert!(status.contains(deleted), "{status}");
    let said = done(&mut portkeep(["enable"]));
    let expected = [
        deleted,
        "41000/udp: deleted from the store, reserved in the kernel part",
        "41000: in net.ipv4.ip_local_reserved_ports, needed no more",
    ];
    for line in &expected[..2] {
        assert!(repaired(&said).contains(line), "{said}");
    }
    // The other protocol needs the ports protected all the same.
    assert_eq!(protected(), "40000-40009,50000");
    assert_free(Protocol::Tcp, 40000..=40009);
    assert_free(Protocol::Udp, 41000..=41000);
    assert_eq!(
        stored_ports(sandbox),
        ["40000-40009/udp", "20000-20009/tcp"]
    );
    assert_agreed();
    for _ in 0..2 {
        delete(sandbox, &["40000-40009/udp"]);
        done(&mut portkeep(["enable"]));
        assert_eq!(protected(), "50000");
        let left: [Reserved; 1] = [(Protocol::Tcp, 20000..=20009)];
        assert_eq!(reserved(sandbox), left);
        // Reserved again, it is new.
        done(&mut portkeep(["reserve", "40000-40009/udp"]));
        assert_agreed();
    }
}

pub fn what_another_program_made_is_told_from_it(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20009/tcp"]));
    create_as_another(21000, 4, &[Consumer::User(USER)]);
    delete(sandbox, &["20000-20009/tcp"]);
    let said = done(&mut portkeep(["enable"]));
    assert_eq!(
        repaired(&said),
        [
            "20000-20009/tcp: deleted from the store, reserved in the kernel part",
            "21000-21003/tcp: reserved in the kernel part, not in the store",
        ]
    );
    assert_eq!(stored_ports(sandbox), ["21000-21003/tcp"]);
    // From now on it is the store's, and goes with its table.
    delete(sandbox, &["21000-21003/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_nothing_reserved(sandbox);
    assert_free(Protocol::Tcp, 21000..=21003);
    // What the other one deletes the store brings back, and what it made of a part goes.
    done(&mut portkeep(["reserve", "22000-22009/tcp"]));
    sockopt::delete(sock::tcp4(), 22000, 10, DeleteFlags::default()).expect("delete");
    enable();
    assert_kept(Protocol::Tcp, 22000..=22009);
    sockopt::delete(sock::tcp4(), 22003, 2, DeleteFlags::PART).expect("delete");
    delete(sandbox, &["22000-22009/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_nothing_reserved(sandbox);
    // What goes beyond what there was is another one's.
    done(&mut portkeep(["reserve", "23000-23009/tcp"]));
    sockopt::delete(sock::tcp4(), 23000, 10, DeleteFlags::default()).expect("delete");
    create_as_another(23005, 10, &[]);
    delete(sandbox, &["23000-23009/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_eq!(stored_ports(sandbox), ["23005-23014/tcp"]);
    assert_agreed();
}

pub fn all_of_it_was_deleted(sandbox: &Sandbox) {
    enable();
    for whole_file in [false, true] {
        done(&mut portkeep(["reserve", "20000-20009/tcp"]));
        done(&mut portkeep(["exclude", "40000/udp"]));
        if whole_file {
            fs::remove_file(store_file(sandbox)).expect("remove the store");
        } else {
            write(sandbox, HEAD);
        }
        done(&mut portkeep(["enable"]));
        assert_nothing_reserved(sandbox);
        assert_eq!(protected(), "");
        assert_agreed();
    }
}

pub fn deleted_while_disabled_or_before_a_boot(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20009/tcp"]));
    done(&mut portkeep(["reserve", "21000-21009/tcp"]));
    done(&mut portkeep(["disable"]));
    delete(sandbox, &["20000-20009/tcp"]);
    enable();
    let left: [Reserved; 1] = [(Protocol::Tcp, 21000..=21009)];
    assert_eq!(reserved(sandbox), left);
    done(&mut portkeep(["disable"]));
    enable();
    // Another program makes what had been deleted before: that is new.
    create_as_another(20000, 10, &[]);
    done(&mut portkeep(["enable"]));
    assert_eq!(
        stored_ports(sandbox),
        ["21000-21009/tcp", "20000-20009/tcp"]
    );
}

/// A template of what is to be reserved, and of nothing else.
pub fn a_tool_replaces_the_whole_file(sandbox: &Sandbox) {
    enable();
    protect("50000");
    let all = [
        table("reservation", "40000-40009/tcp", "users = [\"root\"]\n"),
        table("reservation", "20000/udp", ""),
        table("exclusion", "41000/tcp", ""),
    ];
    for tables in [&all[..], &all[1..], &all[..1], &[], &all[2..], &[]] {
        write_tables(sandbox, tables);
        done(&mut portkeep(["enable"]));
        assert_eq!(reserved(sandbox).len(), tables.len());
        assert_agreed();
        // It is not written to.
        assert_eq!(stored(sandbox), Some(format!("{HEAD}{}", tables.concat())));
    }
    assert_eq!(protected(), "50000");
}

/// A stranger that tries all the time never gets a port that stays reserved.
pub fn a_range_that_shrinks_is_free_at_no_instant(sandbox: &Sandbox) {
    enable();
    let done_trying = AtomicBool::new(false);
    let shapes = [
        &["20000-20099/udp"][..],
        &["20000-20059/udp", "20080-20099/udp"],
        &["20010-20049/udp", "20090-20099/udp"],
        &["20020-20029/udp"],
    ];
    write_tables(sandbox, &[table("reservation", shapes[0][0], "")]);
    enable();
    thread::scope(|scope| {
        let stranger = scope.spawn(|| {
            let (mut tries, mut got) = (0_u64, 0_u64);
            while !done_trying.load(Ordering::Relaxed) {
                got += u64::from(bind(Protocol::Udp, 20020 + (tries % 10) as u16) == 0);
                tries += 1;
            }
            (tries, got)
        });
        for ports in &shapes[1..] {
            let tables: Vec<_> = ports
                .iter()
                .map(|ports| table("reservation", ports, &format!("users = [\"{USER}\"]\n")))
                .collect();
            write_tables(sandbox, &tables);
            done(&mut portkeep(["enable"]));
            let kernel: Vec<_> = portkeep::list()
                .expect("list")
                .iter()
                .map(|entry| entry.range.to_string())
                .collect();
            assert_eq!(kernel.len(), ports.len(), "{kernel:?}");
            assert_agreed();
        }
        done_trying.store(true, Ordering::Relaxed);
        let (tries, got) = stranger.join().expect("a thread");
        assert!(tries > 0);
        assert_eq!(got, 0, "of {tries}");
    });
    assert_eq!(bind_as(USER, USER, Protocol::Udp, 20025), 0);
    assert_free(Protocol::Udp, 20000..=20019);
    assert_free(Protocol::Udp, 20030..=20099);
}

pub fn ranges_grow_split_and_merge(sandbox: &Sandbox) {
    enable();
    for ports in [
        &["20000-20009/tcp"][..],
        &["20000-20019/tcp"],
        &["20000-20009/tcp", "20010-20019/tcp"],
        &["20000-20004/tcp", "20005-20006/tcp", "20007-20019/tcp"],
        &["19990-20005/tcp", "20006-20030/tcp"],
        &["19990-20030/tcp"],
        &["19980-19990/tcp", "20000/tcp", "20030-20040/tcp"],
        &["1000-65535/udp", "1000-30000/tcp"],
        &["20005/tcp", "20005/udp"],
    ] {
        let tables: Vec<_> = ports
            .iter()
            .map(|ports| table("reservation", ports, ""))
            .collect();
        write_tables(sandbox, &tables);
        done(&mut portkeep(["enable"]));
        let mut kernel: Vec<_> = portkeep::list()
            .expect("list")
            .iter()
            .map(|entry| entry.range.to_string())
            .collect();
        let mut expected = ports.to_vec();
        kernel.sort();
        expected.sort_unstable();
        assert_eq!(kernel, expected);
        assert_agreed();
    }
    assert_free(Protocol::Tcp, 20000..=20004);
    assert_eq!(protected(), "");
}

pub fn in_named_namespaces(sandbox: &Sandbox) {
    enable();
    let blue = name("blue");
    let at_blue = ["--netns", "blue"];
    for ports in ["40000-40003/tcp", "20000/udp"] {
        done(portkeep(["reserve", ports]).args(at_blue));
    }
    done(&mut portkeep(["reserve", "40000-40003/tcp"]));
    delete(sandbox, &["40000-40003/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_free(Protocol::Tcp, 40000..=40003);
    assert_eq!(within(&blue, || bind(Protocol::Tcp, 40000)), 0);
    assert_eq!(within(&blue, || i32::from(protected().is_empty())), 1);
    assert_eq!(within(&blue, || bind(Protocol::Udp, 20000)), EADDRINUSE);
    // The last one of its file: nothing but the notes leads there.
    write(sandbox, HEAD);
    done(&mut portkeep(["enable"]));
    assert_eq!(within(&blue, || bind(Protocol::Udp, 20000)), 0);
    assert_nothing_reserved(sandbox);
}

pub fn in_every_namespace(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20009/tcp",
        "--every-netns",
    ]));
    done(&mut portkeep(["exclude", "20020/tcp", "--every-netns"]));
    done(&mut portkeep(["reserve", "20030/tcp"]));
    let shrunk = stored(sandbox)
        .expect("a store")
        .replace("20000-20009/tcp", "20000-20004/tcp");
    write(sandbox, &shrunk);
    delete(sandbox, &["20020/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_eq!(
        listed(),
        [
            "20000-20004/tcp persistent associated",
            "20030-20030/tcp persistent associated"
        ]
    );
    write(sandbox, HEAD);
    done(&mut portkeep(["enable"]));
    assert_nothing_reserved(sandbox);
}

/// The notes were in the file, and nothing was noted about what was applied.
pub fn a_store_of_an_earlier_version(sandbox: &Sandbox) {
    enable();
    protect("50000");
    done(&mut portkeep(["reserve", "40000-40009/tcp"]));
    done(&mut portkeep(["reserve", "20000/tcp"]));
    let notes = sandbox.state_dir().join("notes.toml");
    let own = fs::read_to_string(&notes).expect("the notes");
    let entry = |name: &str| {
        let found = own.split("\n[[").find(|table| table.starts_with(name));
        found
            .map(|table| format!("\n[[{}\n", table.trim_end()))
            .expect("a note")
    };
    let home = own
        .lines()
        .find(|line| line.starts_with("home"))
        .expect("home");
    let tables =
        table("reservation", "40000-40009/tcp", "") + &table("reservation", "20000/tcp", "");
    let former = format!("{HEAD}{home}\n{tables}{}", entry("protected"));
    fs::remove_file(&notes).expect("remove the notes");
    write(sandbox, &former);
    assert_agreed();
    done(&mut portkeep(["enable"]));
    assert_eq!(protected(), "40000-40009,50000");
    delete(sandbox, &["40000-40009/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_eq!(protected(), "50000");
    let left: [Reserved; 1] = [(Protocol::Tcp, 20000..=20000)];
    assert_eq!(reserved(sandbox), left);
    done(&mut portkeep(["exclude", "8080/tcp"]));
    let text = stored(sandbox).expect("a store");
    assert!(
        !text.contains("protected") && !text.contains("home"),
        "{text}"
    );
    assert_agreed();
}

/// Each keeps what is its own.
pub fn two_state_directories(sandbox: &Sandbox) {
    enable();
    let other = sandbox.state_dir().join("other");
    let other = ["--state-dir", other.to_str().expect("a path in UTF-8")];
    done(&mut portkeep(["reserve", "20000/tcp"]));
    done(portkeep(["reserve", "21000/tcp"]).args(other));
    // Not of this store, so another program's.
    done(&mut portkeep(["enable"]));
    assert_eq!(stored_ports(sandbox), ["20000/tcp", "21000/tcp"]);
    delete(sandbox, &["21000/tcp"]);
    done(&mut portkeep(["enable"]));
    assert_free(Protocol::Tcp, 21000..=21000);
    done(portkeep(["enable"]).args(other));
    assert_kept(Protocol::Tcp, 21000..=21000);
    assert_kept(Protocol::Tcp, 20000..=20000);
}

pub fn entries_that_overlap_are_refused(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000-20009/tcp"]));
    let before = (reserved(sandbox), protected());
    let text = format!(
        "{HEAD}{}{}{}",
        table("reservation", "40000-40009/tcp", "users = [\"root\"]\n"),
        table("exclusion", "8080/tcp", ""),
        table("exclusion", "40009-40020/tcp", ""),
    );
    write(sandbox, &text);
    let reason = format!(
        "entries of {} overlap: line 4 (40000-40009/tcp, reserved for user root) overlaps line 11 \
         (40009-40020/tcp, excluded)",
        store_file(sandbox).display()
    );
    for words in [
        &["reserve", "30000/tcp"][..],
        &["unreserve", "20000-20009/tcp"],
        &["exclude", "30000/tcp"],
        &["include", "8080/tcp"],
    ] {
        assert_eq!(refused(&mut portkeep(words)), reason, "{words:?}");
    }
    let enabled = outcome(&mut portkeep(["enable"]));
    assert_eq!(enabled.code, Some(1), "{enabled:?}");
    assert!(
        enabled
            .stderr
            .starts_with(&format!("portkeep: {reason}\nHint: ")),
        "{enabled:?}"
    );
    assert!(!enabled.stdout.contains("Repaired"), "{enabled:?}");
    let status = done(&mut portkeep(["status"]));
    assert!(status.contains(&reason), "{status}");
    let doctor = outcome(&mut portkeep(["doctor"]));
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(
        doctor.stdout.contains("line 4 (40000-40009/tcp"),
        "{doctor:?}"
    );
    assert_eq!((reserved(sandbox), protected()), before);
    assert_eq!(stored(sandbox), Some(text));
    // It is in nobody's way that wants to be rid of Portkeep.
    done(&mut portkeep(["disable"]));
}

pub fn comments_survive_every_command(sandbox: &Sandbox) {
    enable();
    let text = "# Ours, see wiki/ports.\nversion = 1\n\n# --- voice ---\n\n# RTP\n[[reservation]]\n\
                ports = \"20000-20009/udp\" # ten\nusers = [\n  \"root\", # for now\n]\n\n\
                # --- web ---\n\n# the old one\n[[exclusion]]\nports = \"8080/tcp\"\n\
                # --- the end ---\n";
    write(sandbox, text);
    enable();
    assert_eq!(stored(sandbox).as_deref(), Some(text));
    done(&mut portkeep(["reserve", "30000/tcp"]));
    done(&mut portkeep(["exclude", "40000/tcp"]));
    done(&mut portkeep(["unreserve", "20004/udp"]));
    create_as_another(31000, 1, &[]);
    enable();
    let changed = stored(sandbox).expect("a store");
    for comment in [
        "# Ours, see wiki/ports.\nversion = 1\n\n# --- voice ---\n\n# RTP\n[[reservation]]\n",
        "ports = \"20000-20003/udp\" # ten\nusers = [\n  \"root\", # for now\n]\n",
        "# --- web ---\n\n# the old one\n[[exclusion]]\nports = \"8080/tcp\"\n",
        "# --- the end ---\n",
    ] {
        assert!(changed.contains(comment), "{changed}");
    }
    done(&mut portkeep(["include", "8080/tcp"]));
    let changed = stored(sandbox).expect("a store");
    assert!(!changed.contains("the old one"), "{changed}");
    assert!(changed.contains("# --- web ---"), "{changed}");
    done(&mut portkeep(["unreserve", "30000/tcp"]));
    done(&mut portkeep(["unreserve", "31000/tcp"]));
    done(&mut portkeep(["include", "40000/tcp"]));
    for ports in ["20000-20003/udp", "20005-20009/udp"] {
        done(&mut portkeep(["unreserve", ports]));
    }
    assert_eq!(
        stored(sandbox).as_deref(),
        Some(
            "# Ours, see wiki/ports.\nversion = 1\n\n# --- voice ---\n\n# --- web ---\n\
             # --- the end ---\n"
        )
    );
}
