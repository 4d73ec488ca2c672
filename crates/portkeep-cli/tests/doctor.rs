//! `portkeep doctor`: everything is broken in turn, and told as exactly that.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use portkeep_tests::foreign::{self, BIND, CONNECT, PROCEED};
use portkeep_tests::{Sandbox, trials};
use serde_json::Value;

use common::json::{elements, members};
use common::kernel_part::set_ipv4;
use common::persistent::{assert_agreed, protect, store_file};
use common::{USER, done, misused, outcome, portkeep, portkeep_as_user};

trials! {
    root:
        a_healthy_machine,
        nothing_is_changed,
        not_enabled,
        an_ordinary_user_sees_a_part,
        pins_are_missing,
        the_list_is_missing,
        a_map_is_missing,
        an_attachment_has_been_detached,
        a_pin_is_left_over,
        a_program_of_another_build,
        the_cgroup_has_been_removed,
        a_control_cgroup_has_been_removed,
        no_control_calls_here,
        programs_of_others,
        the_setting_was_edited,
        the_store_is_damaged,
        a_user_is_gone,
        the_pool_is_automatic,
        the_pool_is_privileged,
        descriptors_are_few,
        no_cgroup_hierarchy;
    plain:
        wrong_usage;
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    state: String,
    name: String,
    message: String,
    hint: Option<String>,
}

/// Everything, by the document.
#[track_caller]
fn examined_by(command: &mut Command) -> Vec<Found> {
    let json = outcome(command.arg("--json"));
    assert_eq!(json.stderr, "");
    let document: Value = serde_json::from_str(&json.stdout).expect("a document");
    assert_eq!(document["schema"], 1);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let found: Vec<_> = elements(&document["checks"])
        .iter()
        .inspect(|check| assert_eq!(members(check), ["hint", "message", "name", "state"]))
        .map(|check| Found {
            state: text(&check["state"]).expect("a state"),
            name: text(&check["name"]).expect("a name"),
            message: text(&check["message"]).expect("a message"),
            hint: text(&check["hint"]),
        })
        .inspect(|it| assert_eq!(it.hint.is_none(), it.state == "ok", "{it:?}"))
        .collect();
    let worst = ["wrong", "warning", "unknown", "ok"]
        .into_iter()
        .find(|state| found.iter().any(|it| it.state == *state));
    assert_eq!(document["state"].as_str(), worst);
    let code = i32::from(worst == Some("wrong"));
    assert_eq!(json.code, Some(code), "{found:?}");
    found
}

fn is_not_ok(found: &Found) -> bool {
    found.state != "ok"
}

/// What is not ok; the text and the exit status say the same as the document.
#[track_caller]
fn found_by(command: impl Fn(&[&str]) -> Command) -> Vec<Found> {
    let found = examined_by(&mut command(&["doctor"]));
    let plain = outcome(&mut command(&["doctor"]));
    let code = i32::from(found.iter().any(|it| it.state == "wrong"));
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(code), ""));
    for it in &found {
        let message = it.message.lines().next().unwrap_or_default();
        let line = plain.stdout.lines().find(|line| line.contains(message));
        assert!(
            line.is_some_and(|line| line.starts_with(&it.state)),
            "{it:?}: {plain:?}"
        );
        if let Some(hint) = &it.hint {
            assert!(plain.stdout.contains(&format!("Hint: {hint}")), "{plain:?}");
        }
    }
    found.into_iter().filter(is_not_ok).collect()
}

#[track_caller]
fn found() -> Vec<Found> {
    found_by(|words| portkeep(words))
}

/// The one fault: its state, its name and its message.
#[track_caller]
fn assert_only(state: &str, name: &str, message: &str) {
    let found = found();
    let [it] = &found[..] else {
        panic!("not one fault: {found:?}");
    };
    assert_eq!((it.state.as_str(), it.name.as_str()), (state, name));
    assert!(it.message.contains(message), "{it:?}");
}

fn enable() {
    let enabled = outcome(&mut portkeep(["enable"]));
    assert_eq!(enabled.code, Some(0), "{enabled:?}");
}

fn links(sandbox: &Sandbox) -> PathBuf {
    sandbox.bpffs().join("portkeep/links")
}

/// What is wrong is mended by what the hint says.
#[track_caller]
fn assert_mended_by_enable() {
    enable();
    assert_eq!(found(), []);
}

fn a_healthy_machine(_sandbox: &Sandbox) {
    enable();
    assert_eq!(found(), []);
    done(&mut portkeep([
        "reserve",
        "40000-40003/tcp",
        "--user",
        "root",
    ]));
    assert_eq!(found(), []);
}

fn nothing_is_changed(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "40000-40003/tcp"]));
    let state = || {
        let names = |path: PathBuf| {
            let entries = fs::read_dir(path).expect("read the directory").flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        (
            done(&mut portkeep(["ls", "--json"])),
            names(links(sandbox)),
            names(sandbox.cgroup().into()),
            names(sandbox.state_dir().into()),
        )
    };
    let before = state();
    assert_eq!(found(), []);
    assert_eq!(state(), before);
    assert_agreed();
}

fn not_enabled(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    assert_only("warning", "kernel part", "not enabled");
    assert!(!sandbox.bpffs().join("portkeep").exists());
}

fn an_ordinary_user_sees_a_part(_sandbox: &Sandbox) {
    enable();
    let found = found_by(|words| portkeep_as_user(words));
    let names: Vec<_> = found.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "kernel features",
            "self-test",
            "programs of others",
            "redirected ports",
            "kernel part",
            "attachments"
        ]
    );
    for it in &found {
        assert_eq!(
            (it.state.as_str(), &*it.message),
            ("unknown", "only root can see it")
        );
        assert_eq!(it.hint.as_deref(), Some("run this as root"));
    }
}

fn pins_are_missing(sandbox: &Sandbox) {
    let names = ["bind4", "post_bind6", "sock_release"];
    enable();
    for name in names {
        fs::remove_file(links(sandbox).join(name)).expect("remove the pin");
    }
    let all = found();
    for name in names {
        let message = format!("links/{name} is missing");
        assert!(
            all.iter()
                .any(|it| it.name == "attachments" && it.message.ends_with(&message)),
            "{all:?}"
        );
    }
    assert_mended_by_enable();
}

fn the_list_is_missing(sandbox: &Sandbox) {
    enable();
    fs::remove_file(sandbox.bpffs().join("portkeep/reservations")).expect("remove the list");
    let all = found();
    assert!(
        all.iter()
            .any(|it| it.message.ends_with("portkeep/reservations is missing")),
        "{all:?}"
    );
    assert_mended_by_enable();
}

fn a_map_is_missing(sandbox: &Sandbox) {
    enable();
    fs::remove_file(sandbox.bpffs().join("portkeep/maps/charges")).expect("remove the pin");
    let all = found();
    assert!(
        all.iter()
            .any(|it| it.name == "attachments" && it.message.ends_with("maps/charges is missing")),
        "{all:?}"
    );
}

fn an_attachment_has_been_detached(sandbox: &Sandbox) {
    enable();
    foreign::detach(&links(sandbox).join("post_bind4"));
    assert_only("wrong", "attachments", "links/post_bind4 is not attached");
    assert_mended_by_enable();
}

fn a_pin_is_left_over(sandbox: &Sandbox) {
    enable();
    let links = links(sandbox);
    fs::rename(links.join("bind6"), links.join("bind6-new")).expect("rename the pin");
    let all = found();
    let of = |end: &str| all.iter().filter(|it| it.message.ends_with(end)).count();
    assert_eq!(
        (
            all.len(),
            of("links/bind6 is missing"),
            of("links/bind6-new is left over")
        ),
        (2, 1, 1)
    );
}

fn a_program_of_another_build(sandbox: &Sandbox) {
    enable();
    let path = links(sandbox).join("bind4");
    fs::remove_file(&path).expect("remove the pin");
    let other = foreign::attach(BIND[0], &PROCEED, sandbox.cgroup());
    foreign::pin(&other, &path);
    let all = found();
    assert!(
        all.iter().any(|it| it.state == "wrong"
            && it
                .message
                .ends_with("links/bind4 runs a program of another build of Portkeep")),
        "{all:?}"
    );
}

/// Whether or not the kernel has detached yet what was attached to it.
fn the_cgroup_has_been_removed(sandbox: &Sandbox) {
    let gone = sandbox.cgroup().join("gone");
    fs::create_dir(&gone).expect("make a cgroup");
    let path = gone.to_str().expect("a path in UTF-8");
    done(&mut portkeep(["enable", "--cgroup", path]));
    fs::remove_dir(&gone).expect("remove the cgroup");
    let all = examined_by(&mut portkeep(["doctor"]));
    assert!(
        all.iter()
            .any(|it| it.state == "wrong" && it.name == "kernel part"),
        "{all:?}"
    );
    assert_mended_by_enable();
}

fn a_control_cgroup_has_been_removed(sandbox: &Sandbox) {
    let (gone, inside) = (sandbox.cgroup().join("gone"), sandbox.inside_cgroup());
    fs::create_dir(&gone).expect("make a cgroup");
    let mut command = portkeep(["enable"]);
    command
        .arg("--control")
        .arg(&gone)
        .arg("--control")
        .arg(&inside);
    done(&mut command);
    assert_eq!(found(), []);
    fs::remove_dir(&gone).expect("remove the cgroup");
    let all = found();
    assert!(
        all.len() == 2 && all.iter().all(|it| it.message.ends_with(" is left over")),
        "{all:?}"
    );
}

fn no_control_calls_here(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let control = sandbox.cgroup().join("control");
    fs::create_dir(&control).expect("make a cgroup");
    let mut command = portkeep(["enable"]);
    command.arg("--control").arg(&control);
    done(&mut command);
    assert_only(
        "warning",
        "control calls",
        "this process is not in a control cgroup",
    );
}

fn programs_of_others(sandbox: &Sandbox) {
    enable();
    let child = sandbox.cgroup().join("child");
    fs::create_dir(&child).expect("make a cgroup");
    let places = [
        (BIND[1], "cgroup_inet6_bind", sandbox.cgroup()),
        (BIND[1], "cgroup_inet6_bind", &child),
        (CONNECT[0], "cgroup_inet4_connect", &child),
        (CONNECT[1], "cgroup_inet6_connect", &child),
    ];
    let others = places.map(|(hook, _, cgroup)| foreign::attach(hook, &PROCEED, cgroup));
    let all = found();
    assert_eq!(all.len(), places.len(), "{all:?}");
    for (_, hook, cgroup) in places {
        let place = format!(" at {hook} of {} may refuse", cgroup.display());
        assert!(
            all.iter().any(|it| it.state == "warning"
                && it.name == "programs of others"
                && it.message.starts_with("foreign (id ")
                && it.message.contains(&place)),
            "{place:?}: {all:?}"
        );
    }
    drop(others);
    common::eventually(|| found().is_empty());
}

fn the_setting_was_edited(_sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "40000-40003/tcp",
        "--user",
        "root",
    ]));
    protect("");
    assert_only(
        "wrong",
        "agreement",
        "40000-40003: missing from net.ipv4.ip_local_reserved_ports",
    );
    assert_mended_by_enable();
}

fn the_store_is_damaged(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["reserve", "20000/tcp"]));
    let file = store_file(sandbox);
    for (text, word) in [("?", "cannot parse"), ("version = 99\n", "later version")] {
        fs::write(&file, text).expect("write the store");
        let all = found();
        assert!(
            all.iter()
                .all(|it| it.state == "wrong" && it.name == "store"),
            "{all:?}"
        );
        assert!(all.iter().any(|it| it.message.contains(word)), "{all:?}");
    }
}

fn a_user_is_gone(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        "root",
    ]));
    let file = store_file(sandbox);
    let text = fs::read_to_string(&file).expect("read the store");
    fs::write(&file, text.replace("\"root\"", "\"nobody-at-all\"")).expect("write the store");
    enable();
    assert_only(
        "warning",
        "consumers",
        "20000-20003/tcp stays closed: there is no user nobody-at-all",
    );
}

fn the_pool_is_automatic(_sandbox: &Sandbox) {
    enable();
    set_ipv4("ip_local_port_range", "32768 61099");
    assert_only("warning", "pool", "100 of the 4536 ports 61000-65535");
    protect("61000-61099");
    assert_eq!(found(), []);
    protect("");
    set_ipv4("ip_local_port_range", "32768 65535");
    assert_only("wrong", "pool", "4536 of the 4536 ports");
    set_ipv4("ip_local_port_range", "32768 60999");
    assert_eq!(found(), []);
}

fn the_pool_is_privileged(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "1000-1099"]));
    assert_only(
        "warning",
        "pool",
        "24 of the 100 ports 1000-1099 are privileged",
    );
}

fn descriptors_are_few(_sandbox: &Sandbox) {
    enable();
    let few = |words: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 100; exec \"$@\"", "sh", common::PORTKEEP]);
        command.args(words);
        command
    };
    let found = found_by(few);
    let [it] = &found[..] else {
        panic!("not one fault: {found:?}");
    };
    assert_eq!(
        (it.state.as_str(), it.name.as_str()),
        ("warning", "descriptors")
    );
    assert!(it.message.starts_with("at most 100: "), "{it:?}");
}

fn no_cgroup_hierarchy(sandbox: &Sandbox) {
    let nowhere = sandbox.state_dir().to_str().expect("a path in UTF-8");
    let found = found_by(|words| {
        let mut command = portkeep(words);
        command.args(["--cgroup", nowhere]);
        command
    });
    let message = format!("{nowhere} is not a cgroup v2 directory");
    assert!(
        found
            .iter()
            .any(|it| it.name == "cgroup v2" && it.message == message),
        "{found:?}"
    );
}

fn wrong_usage() {
    misused(&["doctor", "now"]);
    misused(&["doctor", "--user", &USER.to_string()]);
}
