//! `portkeep enable`: the kernel part is installed, upgraded, or left alone with a reason.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, proc, raw, sock, trials};

use common::json::document;
use common::kernel_part::{
    acquire, assert_enabled, assert_free, assert_kept, assert_nothing_reserved, assert_removed,
    control_call, mounts_at, pinned, set_ipv4, the_reservation,
};
use common::{USER, done, misused, outcome, portkeep, portkeep_as_user, refused};

trials! {
    root:
        a_fresh_sandbox_is_enabled,
        again_upgrades_and_keeps_the_reservations,
        the_pool_is_where_ports_come_from,
        an_upgrade_changes_the_pool,
        what_is_not_given_stays_over_upgrades,
        what_is_not_given_stays_over_disable_and_boots,
        the_defaults_are_given_again,
        nothing_is_noted_for_the_defaults,
        an_installation_with_other_notes_keeps_its_options,
        notes_that_are_not_understood_change_nothing,
        a_quota_is_kept_and_shown,
        without_a_quota_administrators_alone_reserve,
        a_pool_in_the_automatic_range_is_warned_about,
        a_protected_pool_is_not_warned_about,
        control_cgroups_alone_have_the_calls,
        an_upgrade_changes_the_control_cgroups,
        a_control_cgroup_that_was_removed_is_made,
        control_cgroups_elsewhere_are_refused,
        a_plain_directory_is_mounted_until_disabled,
        a_mount_that_others_use_stays,
        wrong_locations_are_refused,
        an_ordinary_user_is_refused,
        an_ordinary_user_cannot_upgrade,
        two_at_once,
        two_at_once_in_a_plain_directory,
        killed_and_run_again => Duration::from_secs(300),
        killed_and_disabled => Duration::from_secs(300),
        killed_during_an_upgrade => Duration::from_secs(300);
    plain:
        pools_that_are_none,
        quotas_that_are_none,
        all_and_a_control_cgroup;
}

fn enabled(sandbox: &Sandbox) -> String {
    words("enabled", sandbox.cgroup(), sandbox.bpffs())
}

fn upgraded(sandbox: &Sandbox) -> String {
    words("upgraded", sandbox.cgroup(), sandbox.bpffs())
}

fn words(done: &str, cgroup: &Path, bpffs: &Path) -> String {
    let (cgroup, bpffs) = (cgroup.display(), bpffs.display());
    format!("Portkeep is {done}: attached to {cgroup}, pinned in {bpffs}/portkeep\n")
}

fn a_fresh_sandbox_is_enabled(sandbox: &Sandbox) {
    assert_removed(sandbox.bpffs());
    assert_eq!(done(&mut portkeep(["enable"])), enabled(sandbox));
    assert_enabled();
    assert_eq!(pinned(sandbox.bpffs()), ["portkeep"]);
    assert_nothing_reserved(sandbox);
    let held = acquire(Protocol::Tcp, 20000..=20003);
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_free(Protocol::Udp, 20000..=20003);
    drop(held);
    assert_free(Protocol::Tcp, 20000..=20003);
    assert_nothing_reserved(sandbox);
}

fn again_upgrades_and_keeps_the_reservations(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let held = acquire(Protocol::Tcp, 20000..=20003);
    let entry = the_reservation(sandbox);
    for _ in 0..3 {
        assert_eq!(done(&mut portkeep(["enable"])), upgraded(sandbox));
        assert_eq!(the_reservation(sandbox), entry);
        assert_kept(Protocol::Tcp, 20000..=20003);
        let own = sock::tcp4();
        assert_ok!(raw::associate(&own, entry.token));
        assert_ok!(sock::bind_any(&own, 20001));
    }
    drop(held);
    assert_nothing_reserved(sandbox);
    assert_free(Protocol::Tcp, 20000..=20003);
}

/// Asserts that the pool is exactly the ports from `start` to `end`.
#[track_caller]
fn assert_pool(start: u16, end: u16) {
    let (all, one_more) = (sock::tcp4(), sock::tcp4());
    let block = assert_ok!(raw::acquire(&all, 0, end - start + 1));
    assert_eq!((block.start, block.count), (start, end - start + 1));
    assert_errno!(raw::acquire4(&one_more, 0, 1), EADDRINUSE);
}

fn the_pool_is_where_ports_come_from(_sandbox: &Sandbox) {
    for (option, start, end) in [
        ("20000-20009", 20000, 20009),
        ("65535-65535", 65535, 65535),
        ("1-9", 1, 9),
    ] {
        done(&mut portkeep(["enable", "--pool", option]));
        assert_pool(start, end);
        done(&mut portkeep(["disable"]));
    }
    done(&mut portkeep(["enable", "--pool", "61000-65535"]));
    assert_pool(61000, 65535);
}

fn an_upgrade_changes_the_pool(sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20009"]));
    let held = acquire(Protocol::Tcp, 20000..=20009);
    assert_eq!(
        done(&mut portkeep(["enable", "--pool", "21000-21009"])),
        upgraded(sandbox)
    );
    assert_pool(21000, 21009);
    assert_kept(Protocol::Tcp, 20000..=20009);
    drop(held);
    assert_nothing_reserved(sandbox);
}

fn a_pool_in_the_automatic_range_is_warned_about(_sandbox: &Sandbox) {
    set_ipv4("ip_local_port_range", "32768 60999");
    for pool in ["40000-40009", "60999-61009", "32760-32768"] {
        let outcome = outcome(&mut portkeep(["enable", "--pool", pool]));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let warning = "portkeep: the pool overlaps the automatic range 32768-60999";
        assert!(outcome.stderr.starts_with(warning), "{pool}: {outcome:?}");
        assert!(outcome.stderr.contains("\nHint: "), "{pool}: {outcome:?}");
    }
    // The last of them: only the ports before the range are given out.
    assert_pool(32760, 32767);
    for pool in ["61000-61009", "32760-32767"] {
        done(&mut portkeep(["enable", "--pool", pool]));
    }
}

fn a_protected_pool_is_not_warned_about(_sandbox: &Sandbox) {
    set_ipv4("ip_local_port_range", "32768 60999");
    set_ipv4("ip_local_reserved_ports", "40000-40009");
    done(&mut portkeep(["enable", "--pool", "40000-40009"]));
    assert_pool(40000, 40009);
}

/// The errno of a control call in a cgroup.
fn errno_in(cgroup: impl AsRef<Path>) -> i32 {
    proc::in_cgroup(cgroup.as_ref(), || control_call().err().unwrap_or(0))
}

/// Makes a cgroup below the attach point.
fn cgroup(sandbox: &Sandbox, name: &str) -> String {
    let path = sandbox.cgroup().join(name);
    fs::create_dir(&path).expect("make a cgroup");
    path.into_os_string()
        .into_string()
        .expect("a path in UTF-8")
}

fn control_cgroups_alone_have_the_calls(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let [one, two, none] = ["one", "two", "none"].map(|name| cgroup(sandbox, name));
    done(&mut portkeep([
        "enable",
        "--control",
        &one,
        "--control",
        &two,
    ]));
    for cgroup in [&one, &two] {
        assert_eq!(errno_in(cgroup), libc::EINVAL, "{cgroup}");
    }
    for cgroup in [Path::new(&none), &sandbox.inside_cgroup()] {
        assert_eq!(errno_in(cgroup), libc::ENOPROTOOPT, "{}", cgroup.display());
    }
    // Enforced everywhere all the same.
    let (own, others) = portkeep_tests::Channel::pair();
    let _holder = proc::fork_child(|| {
        proc::enter_cgroup(Path::new(&one));
        let _held = acquire(Protocol::Tcp, 20000..=20003);
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    assert_kept(Protocol::Tcp, 20000..=20003);
    let elsewhere = proc::in_cgroup(Path::new(&none), || {
        sock::bind_any(sock::tcp4(), 20000).err().unwrap_or(0)
    });
    assert_eq!(elsewhere, libc::EADDRINUSE);
}

fn an_upgrade_changes_the_control_cgroups(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let [one, two] = ["one", "two"].map(|name| cgroup(sandbox, name));
    done(&mut portkeep(["enable", "--control", &one]));
    assert_eq!(
        done(&mut portkeep(["enable", "--control", &two])),
        upgraded(sandbox)
    );
    assert_eq!(errno_in(&one), libc::ENOPROTOOPT);
    assert_eq!(errno_in(&two), libc::EINVAL);
    done(&mut portkeep(["enable", "--control", "all"]));
    assert_eq!(errno_in(&one), libc::EINVAL);
    assert_enabled();
}

/// Enables with every option, and gives the control cgroup.
fn choose(sandbox: &Sandbox) -> String {
    // Another installation serves the calls outside the control cgroup.
    portkeep_tests::without_portkeep();
    let one = cgroup(sandbox, "one");
    done(&mut portkeep([
        "enable",
        "--pool",
        "20000-20009",
        "--quota",
        "5",
        "--control",
        &one,
    ]));
    one
}

/// Asserts that the installation has what [`choose`] chose.
#[track_caller]
fn assert_chosen(one: &str) {
    let part = &document(&mut portkeep(["status", "--json"]))["kernel_part"];
    assert_eq!(part["pool"], json!({"start": 20000, "end": 20009}));
    assert_eq!(part["quota"], 5);
    assert_eq!(part["control_cgroups"], json!([one]));
    assert_eq!(errno_in(one), libc::EINVAL);
    assert_errno!(control_call(), ENOPROTOOPT);
}

fn what_is_not_given_stays_over_upgrades(sandbox: &Sandbox) {
    let one = choose(sandbox);
    assert_chosen(&one);
    for _ in 0..2 {
        done(&mut portkeep(["enable"]));
        assert_chosen(&one);
    }
    // One of them, and the others stay.
    done(&mut portkeep(["enable", "--quota", "6"]));
    done(&mut portkeep(["enable", "--quota", "5"]));
    assert_chosen(&one);
    // Also without the notes: what runs tells.
    fs::remove_file(sandbox.state_dir().join("notes.toml")).expect("remove the notes");
    done(&mut portkeep(["enable"]));
    assert_chosen(&one);
}

/// What a boot takes away `disable` takes away, too.
fn what_is_not_given_stays_over_disable_and_boots(sandbox: &Sandbox) {
    let one = choose(sandbox);
    for _ in 0..2 {
        done(&mut portkeep(["disable"]));
        done(&mut portkeep(["enable"]));
        assert_chosen(&one);
    }
}

fn the_defaults_are_given_again(sandbox: &Sandbox) {
    choose(sandbox);
    done(&mut portkeep([
        "enable",
        "--pool",
        "61000-65535",
        "--quota",
        "4096",
        "--control",
        "all",
    ]));
    for _ in 0..2 {
        assert_pool(61000, 65535);
        let part = &document(&mut portkeep(["status", "--json"]))["kernel_part"];
        assert_eq!(part["quota"], 4096);
        done(&mut portkeep(["disable"]));
        done(&mut portkeep(["enable"]));
    }
}

fn nothing_is_noted_for_the_defaults(sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "61000-65535"]));
    let entries = fs::read_dir(sandbox.state_dir()).expect("read the directory");
    assert_eq!(entries.count(), 0);
}

/// Killed between the kernel and the notes, or enabled with another state directory: what runs goes
/// on, and is what is noted from then on.
fn an_installation_with_other_notes_keeps_its_options(sandbox: &Sandbox) {
    let one = choose(sandbox);
    let elsewhere = sandbox.state_dir().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("a path in UTF-8");
    let two = cgroup(sandbox, "two");
    done(&mut portkeep([
        "enable",
        "--state-dir",
        elsewhere,
        "--pool",
        "21000-21009",
        "--control",
        &two,
    ]));
    for _ in 0..2 {
        done(&mut portkeep(["enable"]));
        let part = &document(&mut portkeep(["status", "--json"]))["kernel_part"];
        assert_eq!(part["pool"], json!({"start": 21000, "end": 21009}));
        assert_eq!(part["control_cgroups"], json!([two]));
        assert_eq!(part["quota"], 5);
        assert_eq!(errno_in(&one), libc::ENOPROTOOPT);
        done(&mut portkeep(["disable"]));
    }
}

fn notes_that_are_not_understood_change_nothing(sandbox: &Sandbox) {
    choose(sandbox);
    done(&mut portkeep(["disable"]));
    for text in ["?", "version = 1\nlater = 1\n", "version = 9\n"] {
        let path = sandbox.state_dir().join("notes.toml");
        fs::write(&path, text).expect("write the notes");
        let outcome = outcome(&mut portkeep(["enable", "--pool", "21000-21009"]));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains("notes.toml"), "{outcome:?}");
        assert_removed(sandbox.bpffs());
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
    }
}

/// What acquiring so many ports comes to for a user.
fn errno_of_a_user(count: u16) -> i32 {
    proc::as_uid(USER, USER, || {
        raw::acquire4(sock::tcp4(), 20000, count).err().unwrap_or(0)
    })
}

fn a_quota_is_kept_and_shown(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--quota", "3"]));
    for _ in 0..2 {
        assert_eq!(errno_of_a_user(3), 0);
        assert_eq!(errno_of_a_user(4), libc::EDQUOT);
        assert_ok!(raw::acquire4(sock::tcp4(), 20000, 4));
        let text = done(&mut portkeep(["status"]));
        assert!(text.contains("3 ports for an unprivileged user"), "{text}");
        done(&mut portkeep(["enable", "--pool", "21000-21009"]));
    }
    done(&mut portkeep(["enable", "--quota", "4"]));
    assert_eq!(errno_of_a_user(4), 0);
}

fn without_a_quota_administrators_alone_reserve(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--quota", "0"]));
    assert_eq!(errno_of_a_user(1), libc::EDQUOT);
    assert_ok!(raw::acquire4(sock::tcp4(), 20000, 1));
    let text = done(&mut portkeep(["status"]));
    assert!(text.contains("0 ports for an unprivileged user"), "{text}");
}

/// At boot, before whatever makes it. Its reservations are restored from there.
fn a_control_cgroup_that_was_removed_is_made(sandbox: &Sandbox) {
    let one = choose(sandbox);
    done(&mut portkeep(["reserve", "30000-30003/tcp"]));
    for running in [true, false] {
        if !running {
            done(&mut portkeep(["disable"]));
        }
        fs::remove_dir(&one).expect("remove the cgroup");
        let outcome = outcome(&mut portkeep(["enable"]));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let warning =
            format!("portkeep: warning: created the control cgroup {one}, which was missing\n");
        assert_eq!(outcome.stderr, warning);
        assert_chosen(&one);
        assert_kept(Protocol::Tcp, 30000..=30003);
    }
    // What is given has to be there.
    let nowhere = format!("{one}/nowhere");
    let outcome = outcome(&mut portkeep(["enable", "--control", &nowhere]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(!Path::new(&nowhere).exists());
    assert_chosen(&one);
}

fn control_cgroups_elsewhere_are_refused(sandbox: &Sandbox) {
    let outside = sandbox.outside_cgroup();
    let outside = outside.to_str().expect("a path in UTF-8");
    let reason = refused(&mut portkeep(["enable", "--control", outside]));
    assert!(reason.contains(outside), "{reason}");
    let plain = sandbox.state_dir().to_str().expect("a path in UTF-8");
    let reason = refused(&mut portkeep(["enable", "--control", plain]));
    assert!(reason.contains(plain), "{reason}");
    assert_removed(sandbox.bpffs());
}

fn plain_directory(sandbox: &Sandbox) -> String {
    let path = sandbox.state_dir().join("bpf");
    fs::create_dir(&path).expect("make a directory");
    path.into_os_string()
        .into_string()
        .expect("a path in UTF-8")
}

fn a_plain_directory_is_mounted_until_disabled(sandbox: &Sandbox) {
    let directory = plain_directory(sandbox);
    let path = Path::new(&directory);
    let enable = ["enable", "--bpffs", &directory];
    assert_eq!(
        done(&mut portkeep(enable)),
        words("enabled", sandbox.cgroup(), path)
    );
    assert_eq!(mounts_at(path), 1);
    assert_enabled();
    // An upgrade does not forget whose mount it is.
    assert_eq!(
        done(&mut portkeep(enable)),
        words("upgraded", sandbox.cgroup(), path)
    );
    assert_eq!(mounts_at(path), 1);
    done(&mut portkeep(["disable", "--bpffs", &directory]));
    assert_eq!(mounts_at(path), 0);
    assert_removed(path);
}

fn a_mount_that_others_use_stays(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let directory = plain_directory(sandbox);
    let path = Path::new(&directory);
    done(&mut portkeep(["enable", "--bpffs", &directory]));
    fs::create_dir(path.join("others")).expect("make a directory in the BPF file system");
    done(&mut portkeep(["disable", "--bpffs", &directory]));
    assert_eq!(mounts_at(path), 1);
    assert_eq!(pinned(path), ["others"]);
    assert_errno!(control_call(), ENOPROTOOPT);
}

fn wrong_locations_are_refused(sandbox: &Sandbox) {
    let plain = sandbox.state_dir().to_str().expect("a path in UTF-8");
    let reason = refused(&mut portkeep(["enable", "--cgroup", plain]));
    assert_eq!(reason, format!("{plain} is not a cgroup2 directory"));
    for option in ["--cgroup", "--bpffs", "--control"] {
        let outcome = outcome(&mut portkeep(["enable", option, "/nonexistent/directory"]));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(
            outcome
                .stderr
                .contains("/nonexistent/directory: No such file"),
            "{outcome:?}"
        );
    }
    assert_removed(sandbox.bpffs());
}

fn an_ordinary_user_is_refused(sandbox: &Sandbox) {
    let outcome = outcome(&mut portkeep_as_user(["enable"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("Operation not permitted"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.ends_with("\nHint: run this as root\n"),
        "{outcome:?}"
    );
    assert_removed(sandbox.bpffs());
}

fn an_ordinary_user_cannot_upgrade(sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20009"]));
    refused(&mut portkeep_as_user(["enable", "--pool", "21000-21009"]));
    assert_pool(20000, 20009);
    assert_nothing_reserved(sandbox);
}

fn spawn(words: &[&str]) -> Child {
    portkeep(words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the command")
}

/// Enables twice at once: one installs, the other upgrades, and there is one installation.
fn both_succeed(sandbox: &Sandbox, bpffs: &Path) {
    let words_of_one = [
        "enable",
        "--bpffs",
        bpffs.to_str().expect("a path in UTF-8"),
    ];
    let both = [spawn(&words_of_one), spawn(&words_of_one)];
    let mut said = both.map(|child| {
        let output = child.wait_with_output().expect("wait for the command");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("output in UTF-8")
    });
    said.sort();
    let expected = ["enabled", "upgraded"].map(|done| words(done, sandbox.cgroup(), bpffs));
    assert_eq!(said, expected);
    assert_enabled();
}

fn two_at_once(sandbox: &Sandbox) {
    for _ in 0..5 {
        both_succeed(sandbox, sandbox.bpffs());
        let held = acquire(Protocol::Udp, 20000..=20003);
        assert_kept(Protocol::Udp, 20000..=20003);
        drop(held);
        assert_nothing_reserved(sandbox);
        done(&mut portkeep(["disable"]));
        assert_removed(sandbox.bpffs());
    }
}

fn two_at_once_in_a_plain_directory(sandbox: &Sandbox) {
    let directory = plain_directory(sandbox);
    let path = Path::new(&directory);
    for _ in 0..5 {
        both_succeed(sandbox, path);
        assert_eq!(mounts_at(path), 1);
        done(&mut portkeep(["disable", "--bpffs", &directory]));
        assert_eq!(mounts_at(path), 0);
        assert_removed(path);
    }
}

/// How many points in the course of `enable` it is killed at.
const KILLS: u32 = 16;

/// Kills `enable` at points spread over the time that it takes, and calls `check` each time.
fn kill_at_all_points(words: &[&str], check: impl Fn()) {
    let start = Instant::now();
    done(&mut portkeep(words));
    let whole = start.elapsed();
    for point in 0..=KILLS {
        let mut child = spawn(words);
        thread::sleep(whole * point / KILLS);
        child.kill().expect("kill the command");
        child.wait().expect("wait for the command");
        check();
    }
}

fn killed_and_run_again(sandbox: &Sandbox) {
    let directory = plain_directory(sandbox);
    let path = Path::new(&directory);
    let enable = ["enable", "--bpffs", &directory];
    let disable = ["disable", "--bpffs", &directory];
    kill_at_all_points(&enable, || {
        done(&mut portkeep(enable));
        assert_enabled();
        let held = acquire(Protocol::Tcp, 20000..=20003);
        assert_kept(Protocol::Tcp, 20000..=20003);
        drop(held);
        assert_free(Protocol::Tcp, 20000..=20003);
        done(&mut portkeep(disable));
        assert_removed(path);
    });
}

/// Whatever an interrupted installation has left can be looked at, and removed with the mount.
fn killed_and_disabled(sandbox: &Sandbox) {
    let directory = plain_directory(sandbox);
    let path = Path::new(&directory);
    let enable = ["enable", "--bpffs", &directory];
    let disable = ["disable", "--bpffs", &directory];
    let status = ["status", "--bpffs", &directory];
    kill_at_all_points(&enable, || {
        let outcome = outcome(&mut portkeep(status));
        let helped = outcome.stderr.contains("\nHint: ");
        assert!(outcome.code == Some(0) || helped, "{outcome:?}");
        done(&mut portkeep(disable));
        assert_removed(path);
        assert_eq!(mounts_at(path), 0);
    });
}

fn killed_during_an_upgrade(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let held = acquire(Protocol::Tcp, 20000..=20003);
    let entry = the_reservation(sandbox);
    kill_at_all_points(&["enable"], || {
        assert_eq!(the_reservation(sandbox), entry);
        assert_kept(Protocol::Tcp, 20000..=20003);
    });
    assert_eq!(done(&mut portkeep(["enable"])), upgraded(sandbox));
    assert_eq!(the_reservation(sandbox), entry);
    drop(held);
    assert_nothing_reserved(sandbox);
    assert_free(Protocol::Tcp, 20000..=20003);
}

fn pools_that_are_none() {
    for pool in [
        "", "-", "5", "0-5", "5-", "-5", "9-8", "1-65536", "a-b", "1-2-3", " 1-2",
    ] {
        misused(&["enable", &format!("--pool={pool}")]);
    }
    misused(&["enable", "--pool"]);
    misused(&["enable", "--pool", "1-2", "--pool", "1-2"]);
    misused(&["enable", "everything"]);
}

fn quotas_that_are_none() {
    for quota in ["", "-1", "a", "1.5", "4294967296"] {
        misused(&["enable", &format!("--quota={quota}")]);
    }
    misused(&["enable", "--quota"]);
    misused(&["enable", "--quota", "1", "--quota", "1"]);
}

fn all_and_a_control_cgroup() {
    misused(&["enable", "--control", "all", "--control", "/sys/fs/cgroup"]);
}
