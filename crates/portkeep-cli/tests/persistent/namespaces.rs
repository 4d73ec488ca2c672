//! `--netns` and `--every-netns`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, setns};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::proc::{Child, fork_child, new_netns};
use portkeep_tests::{Channel, Protocol, Sandbox};

use crate::common::json::{document, elements};
use crate::common::kernel_part::{assert_free, assert_kept, assert_nothing_reserved};
use crate::common::persistent::{
    assert_agreed, bind, enable, listed, protected, stored, stored_ports,
};
use crate::common::{Running, done, misused, outcome, portkeep, refused};

/// A process in a network namespace of its own, which lives as long.
pub fn namespace() -> Child {
    let (own, others) = Channel::pair();
    let child = fork_child(|| {
        new_netns();
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    child
}

pub fn namespace_of(process: &Child) -> PathBuf {
    format!("/proc/{}/ns/net", process.pid()).into()
}

/// Runs a closure in another network namespace.
pub fn within(namespace: &Path, body: impl FnOnce() -> i32) -> i32 {
    let file = File::open(namespace).expect("open the namespace");
    fork_child(|| {
        setns(&file, CloneFlags::CLONE_NEWNET).expect("setns");
        body()
    })
    .code()
}

/// `ip netns add`, in a /run of this sandbox alone.
pub fn name(name: &str) -> PathBuf {
    let names = Path::new("/run/netns");
    if !names.join(".ours").exists() {
        mount(
            None::<&str>,
            "/run",
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .expect("mount");
        fs::create_dir(names).expect("make a directory");
        File::create(names.join(".ours")).expect("make a file");
    }
    let path = names.join(name);
    File::create(&path).expect("make a file");
    let made = namespace();
    mount(
        Some(&namespace_of(&made)),
        &path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .expect("bind mount");
    path
}

pub fn every_command_acts_where_it_is_told(sandbox: &Sandbox) {
    enable();
    let there = namespace();
    let path = namespace_of(&there);
    for netns in [there.pid().to_string(), path.display().to_string()] {
        let netns = netns.as_str();
        let at = |words: &[&str]| {
            let mut command = portkeep(words);
            command.args(["--netns", netns]);
            command
        };
        let quiet = outcome(&mut at(&["reserve", "40000-40003/tcp"]));
        assert_eq!(quiet.code, Some(0), "{quiet:?}");
        assert_eq!(within(&path, || bind(Protocol::Tcp, 40000)), EADDRINUSE);
        assert_free(Protocol::Tcp, 40000..=40003);
        assert_eq!(protected(), "");
        let protected_there = within(&path, || i32::from(protected() == "40000-40003"));
        assert_eq!(protected_there, 1);
        assert_eq!(listed(), [] as [&str; 0]);
        let list = document(&mut at(&["ls", "--json"]));
        assert_eq!(elements(&list["reservations"]).len(), 1);
        let why = document(&mut at(&["why", "40000/tcp", "--json"]));
        assert_eq!(why["state"], "reserved");
        done(&mut at(&["unreserve", "40000-40003/tcp"]));
        assert_eq!(within(&path, || i32::from(protected().is_empty())), 1);
        assert_eq!(outcome(&mut at(&["exclude", "20000/udp"])).code, Some(0));
        let why = document(&mut at(&["why", "20000/udp", "--json"]));
        assert_eq!(why["state"], "excluded");
        done(&mut at(&["include", "20000/udp"]));

        let mut held = Running::start(at(&["hold", "--tcp", "20000-20003"]));
        assert_eq!(held.line(), "20000-20003/tcp");
        assert_eq!(within(&path, || bind(Protocol::Tcp, 20000)), EADDRINUSE);
        assert_free(Protocol::Tcp, 20000..=20003);
        drop(held);
        let mut run = portkeep(["run", "--tcp", "20000-20003", "--netns", netns]);
        run.args(["--", "readlink", "/proc/self/ns/net"]);
        let link = fs::read_link(&path)
            .expect("read the link")
            .display()
            .to_string();
        assert_eq!(done(&mut run).trim(), link);
    }
    assert_nothing_reserved(sandbox);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
}

pub fn by_name_it_is_kept(sandbox: &Sandbox) {
    enable();
    let blue = name("blue");
    done(&mut portkeep([
        "reserve",
        "40000-40003/tcp",
        "--netns",
        "blue",
    ]));
    done(&mut portkeep(["reserve", "40000-40003/tcp"]));
    assert!(stored(sandbox).is_some_and(|text| text.contains("netns = \"/run/netns/blue\"")));
    assert_eq!(within(&blue, || bind(Protocol::Tcp, 40001)), EADDRINUSE);
    // The name is made anew, as a script does at boot.
    done(&mut portkeep(["disable"]));
    assert_eq!(within(&blue, || i32::from(protected().is_empty())), 1);
    umount(&blue).expect("unmount");
    fs::remove_file(&blue).expect("remove");
    let outcome = outcome(&mut portkeep(["enable"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("there is no network namespace /run/netns/blue; create it"),
        "{outcome:?}"
    );
    assert_kept(Protocol::Tcp, 40000..=40003);
    name("blue");
    done(&mut portkeep(["enable"]));
    assert_eq!(within(&blue, || bind(Protocol::Tcp, 40001)), EADDRINUSE);
    assert_eq!(within(&blue, || i32::from(protected() == "40000-40003")), 1);
    done(&mut portkeep([
        "unreserve",
        "40000-40003/tcp",
        "--netns",
        "blue",
    ]));
    assert_eq!(within(&blue, || bind(Protocol::Tcp, 40001)), 0);
    assert_kept(Protocol::Tcp, 40000..=40003);
    assert_agreed();
}

pub fn by_process_it_ends_with_the_namespace(_sandbox: &Sandbox) {
    enable();
    let there = namespace();
    let pid = there.pid().to_string();
    let outcome = outcome(&mut portkeep(["reserve", "20000/tcp", "--netns", &pid]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("this network namespace has no name"),
        "{outcome:?}"
    );
    drop(there);
    // It is in nobody's way.
    done(&mut portkeep(["enable"]));
    done(&mut portkeep(["reserve", "20000/tcp"]));
    assert_agreed();
}

/// `ip netns exec blue portkeep …` is not about home.
pub fn commands_run_in_a_named_namespace_mean_that(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "30000/tcp"]));
    let blue = name("blue");
    let code = within(&blue, || {
        done(&mut portkeep(["reserve", "20000-20003/tcp"]));
        assert_kept(Protocol::Tcp, 20000..=20003);
        assert_agreed();
        0
    });
    assert_eq!(code, 0);
    assert_free(Protocol::Tcp, 20000..=20003);
    assert!(stored(sandbox).is_some_and(|text| text.contains("netns = \"/run/netns/blue\"")));
    // In one without a name it is as with its process id.
    let there = namespace();
    let code = within(&namespace_of(&there), || {
        let outcome = outcome(&mut portkeep(["exclude", "21000/tcp"]));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stderr.contains("has no name"), "{outcome:?}");
        0
    });
    assert_eq!(code, 0);
    assert_eq!(listed(), ["30000-30000/tcp exclusion everybody"]);
    assert_agreed();
}

pub fn every_namespace_has_it(sandbox: &Sandbox) {
    enable();
    let old = namespace();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        "1234",
        "--every-netns",
    ]));
    let new = namespace();
    let kept = |process: &Child| within(&namespace_of(process), || bind(Protocol::Tcp, 20001));
    assert_eq!((kept(&old), kept(&new)), (EADDRINUSE, EADDRINUSE));
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert!(stored(sandbox).is_some_and(|text| text.contains("netns = \"every\"")));
    let list = document(&mut portkeep(["ls", "--json"]));
    assert_eq!(list["reservations"][0]["every_netns"], true);
    let why = within(&namespace_of(&new), || {
        let text = done(&mut portkeep(["why", "20001/tcp"]));
        i32::from(text.contains("is reserved for user 1234 in every network namespace"))
    });
    assert_eq!(why, 1);
    let again = done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        "1234",
        "--every-netns",
    ]));
    assert_eq!(again, "20000-20003/tcp reserved already\n");
    done(&mut portkeep(["disable"]));
    assert_eq!(kept(&new), 0);
    enable();
    assert_eq!(kept(&new), EADDRINUSE);
    assert_agreed();
    done(&mut portkeep(["unreserve", "20000-20003/tcp"]));
    assert_eq!((kept(&old), kept(&new)), (0, 0));
    done(&mut portkeep(["reserve", "41000/tcp"]));
    let warned = outcome(&mut portkeep(["reserve", "40000/tcp", "--every-netns"]));
    assert_eq!(warned.code, Some(0));
    assert_eq!(protected(), "40000,41000");
    assert!(
        warned
            .stderr
            .contains("in other network namespaces a connect() may still take 40000"),
        "{warned:?}"
    );
    assert_agreed();
}

pub fn unknown_names_are_refused(_sandbox: &Sandbox) {
    enable();
    for (netns, reason) in [
        ("nosuchname", "there is no network namespace nosuchname"),
        ("/nonexistent", "there is no network namespace /nonexistent"),
        ("4194304", "there is no network namespace 4194304"),
        (
            "/proc/self/status",
            "/proc/self/status is not a network namespace",
        ),
    ] {
        for words in [
            &["reserve", "20000/tcp"][..],
            &["unreserve", "20000/tcp"],
            &["exclude", "20000/tcp"],
            &["include", "20000/tcp"],
            &["ls"],
            &["why", "20000/tcp"],
            &["hold", "--tcp", "1"],
        ] {
            let mut command = portkeep(words);
            command.args(["--netns", netns]);
            let outcome = outcome(&mut command);
            assert_eq!(outcome.code, Some(1), "{outcome:?}");
            assert!(
                outcome.stderr.starts_with(&format!("portkeep: {reason}")),
                "{outcome:?}"
            );
        }
    }
    misused(&["ls", "--netns"]);
    refused(&mut portkeep(["ls", "--netns", ""]));
}
