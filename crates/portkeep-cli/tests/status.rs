//! `portkeep status`: to root all of it, to others what everybody may see.

mod common;

use std::fs;

use nix::mount::{MsFlags, mount};
use portkeep_tests::{Protocol, Sandbox, assert_errno, proc, sock, trials};
use serde_json::{Value, json};

use common::json::{document, members};
use common::kernel_part::{acquire, control_call};
use common::persistent::reserve_for_fleet;
use common::{EVERYBODY, Running, cells, done, misused, outcome, portkeep, portkeep_as_user};

trials! {
    root:
        not_enabled,
        enabled_to_root,
        enabled_to_an_ordinary_user,
        control_cgroups_are_listed,
        outside_the_control_cgroups,
        what_is_reserved_is_counted_over_all_namespaces,
        a_mount_of_our_own_is_told,
        another_bpf_file_system,
        an_upgrade_is_seen,
        the_store_is_counted,
        what_differs_from_the_store_is_told,
        what_a_fleet_has_is_told;
    plain:
        wrong_usage;
}

/// The text form as pairs.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let row = |line| match cells(line)[..] {
        [what, value] => (what, value),
        _ => panic!("not two columns: {line:?}"),
    };
    text.lines().map(row).collect()
}

/// Where nothing has been stored.
fn no_store(sandbox: &Sandbox) -> Value {
    json!({
        "file": sandbox.state_dir().join("reservations.toml"),
        "reservations": 0,
        "exclusions": 0,
        "fleet": [],
        "differences": [],
        "error": null,
    })
}

fn not_enabled(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for command in EVERYBODY {
        let text = done(&mut command(&["status"]));
        assert_eq!(rows(&text), [("enabled", "no"), ("backend", "held")]);
        let status = document(&mut command(&["status", "--json"]));
        let expected = json!({
            "schema": 1, "enabled": false, "backend": "held", "abi_version": null, "reserved": null,
            "kernel_part": null, "store": no_store(sandbox),
        });
        assert_eq!(status, expected);
    }
}

/// What serves this process is pinned elsewhere: the store can be compared with nothing, and is right.
fn another_bpf_file_system(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    done(&mut portkeep(["reserve", "20000/tcp"]));
    let other = sandbox.state_dir().join("bpf");
    fs::create_dir(&other).expect("make the directory");
    let nothing = None::<&str>;
    mount(nothing, &other, Some("bpf"), MsFlags::empty(), nothing).expect("mount");
    let other = ["--bpffs", other.to_str().expect("a path in UTF-8")];
    let text = done(portkeep(["status"]).args(other));
    let hint = "pinned in another BPF file system; name it with --bpffs";
    let rows = rows(&text);
    assert!(rows.contains(&("enabled", "yes")), "{text}");
    assert!(rows.contains(&("kernel part", hint)), "{text}");
    let store: Vec<_> = rows.iter().filter(|(what, _)| *what == "store").collect();
    let [(_, store)] = store[..] else {
        panic!("{text}")
    };
    assert!(
        store.starts_with("1 reservation and 0 exclusions in "),
        "{text}"
    );
    let status = document(portkeep(["status", "--json"]).args(other));
    assert_eq!(status["kernel_part"], Value::Null);
    assert_eq!(status["store"]["error"], Value::Null);
    assert_eq!(status["store"]["differences"], json!([]));
}

const NOTHING: &str = "0 ports (reservations: 0, network namespaces: 0)";

fn enabled_to_root(sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20009"]));
    let text = done(&mut portkeep(["status"]));
    let rows = rows(&text);
    let cgroup = sandbox.cgroup().to_str().expect("a path in UTF-8");
    let pinned = sandbox.bpffs().join("portkeep");
    let expected = [
        ("enabled", "yes"),
        ("backend", "kernel"),
        ("control calls here", "yes, ABI version 1"),
        ("reserved", NOTHING),
        ("attached to", cgroup),
        ("control cgroup", cgroup),
        ("pinned in", pinned.to_str().expect("a path in UTF-8")),
        ("pool", "20000-20009"),
        ("quota", "4096 ports for an unprivileged user"),
    ];
    let (memory, others) = rows.split_last().expect("rows");
    assert_eq!(others, expected);
    assert_eq!(memory.0, "kernel memory");
    let kilobytes = memory
        .1
        .strip_suffix(" KB")
        .and_then(|number| number.parse().ok());
    assert!(
        kilobytes.is_some_and(|number: u64| number > 0),
        "{memory:?}"
    );

    let mut status = document(&mut portkeep(["status", "--json"]));
    let memory = status["kernel_part"]["memory_bytes"].take();
    assert!(memory.as_u64().is_some_and(|bytes| bytes > 0), "{memory}");
    let expected = json!({
        "schema": 1,
        "enabled": true, "backend": "kernel",
        "abi_version": 1,
        "reserved": { "reservations": 0, "ports": 0, "network_namespaces": 0 },
        "kernel_part": {
            "cgroup": cgroup,
            "control_cgroups": [cgroup],
            "pinned_in": pinned,
            "mounted_bpffs": false,
            "pool": { "start": 20000, "end": 20009 },
            "quota": 4096,
            "memory_bytes": null,
        },
        "store": no_store(sandbox),
    });
    assert_eq!(status, expected);
}

fn enabled_to_an_ordinary_user(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let _held = acquire(Protocol::Udp, 20000..=20003);
    let text = done(&mut portkeep_as_user(["status"]));
    let expected = [
        ("enabled", "yes"),
        ("backend", "kernel"),
        ("control calls here", "yes, ABI version 1"),
        (
            "reserved",
            "4 ports (reservations: 1, network namespaces: 1)",
        ),
        ("kernel part", "run this as root to see more"),
    ];
    assert_eq!(rows(&text), expected);
    let status = document(&mut portkeep_as_user(["status", "--json"]));
    let expected = json!({
        "schema": 1,
        "enabled": true, "backend": "kernel",
        "abi_version": 1,
        "reserved": { "reservations": 1, "ports": 4, "network_namespaces": 1 },
        "kernel_part": null,
        "store": no_store(sandbox),
    });
    assert_eq!(status, expected);
}

fn control_cgroups_are_listed(sandbox: &Sandbox) {
    let mut paths = ["one", "two"].map(|name| {
        let path = sandbox.cgroup().join(name);
        fs::create_dir(&path).expect("make a cgroup");
        path.into_os_string()
            .into_string()
            .expect("a path in UTF-8")
    });
    done(&mut portkeep([
        "enable",
        "--control",
        &paths[0],
        "--control",
        &paths[1],
    ]));
    let status = document(&mut portkeep(["status", "--json"]));
    let listed = status["kernel_part"]["control_cgroups"]
        .as_array()
        .expect("an array");
    let mut listed: Vec<_> = listed.iter().filter_map(Value::as_str).collect();
    listed.sort_unstable();
    paths.sort();
    assert_eq!(listed, paths);
    let text = done(&mut portkeep(["status"]));
    for path in &paths {
        assert!(rows(&text).contains(&("control cgroup", path)), "{text}");
    }
    // One that is gone is not listed, and not in the way.
    fs::remove_dir(&paths[0]).expect("remove a cgroup");
    let status = document(&mut portkeep(["status", "--json"]));
    assert_eq!(status["kernel_part"]["control_cgroups"], json!([paths[1]]));
}

/// This process is in none of the control cgroups, which changes what it can do and nothing else.
fn outside_the_control_cgroups(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let control = sandbox.cgroup().join("control");
    fs::create_dir(&control).expect("make a cgroup");
    let control = control.to_str().expect("a path in UTF-8");
    done(&mut portkeep(["enable", "--control", control]));
    assert_errno!(control_call(), ENOPROTOOPT);
    for command in EVERYBODY {
        let status = document(&mut command(&["status", "--json"]));
        assert_eq!(
            (&status["enabled"], &status["abi_version"]),
            (&json!(true), &Value::Null)
        );
        let text = done(&mut command(&["status"]));
        let row = (
            "control calls here",
            "no, this process is not in a control cgroup",
        );
        assert!(rows(&text).contains(&row), "{text}");
    }
}

fn what_is_reserved_is_counted_over_all_namespaces(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let mut here = Running::start(portkeep(["hold", "--tcp", "3", "--both", "2"]));
    here.line();
    let (own, others) = portkeep_tests::Channel::pair();
    let _elsewhere = proc::fork_child(|| {
        proc::new_netns();
        let _held = acquire(Protocol::Udp, 20000..=20009);
        others.send(0);
        loop {
            nix::unistd::pause();
        }
    });
    assert_eq!(own.recv(), 0);
    let status = document(&mut portkeep(["status", "--json"]));
    let expected = json!({ "reservations": 4, "ports": 17, "network_namespaces": 2 });
    assert_eq!(status["reserved"], expected);
}

fn a_mount_of_our_own_is_told(sandbox: &Sandbox) {
    let directory = sandbox.state_dir().join("bpf");
    fs::create_dir(&directory).expect("make a directory");
    let directory = directory.to_str().expect("a path in UTF-8");
    done(&mut portkeep(["enable", "--bpffs", directory]));
    let status = document(&mut portkeep(["status", "--json", "--bpffs", directory]));
    assert_eq!(status["kernel_part"]["mounted_bpffs"], true);
    assert_eq!(
        members(&status["kernel_part"]),
        [
            "cgroup",
            "control_cgroups",
            "memory_bytes",
            "mounted_bpffs",
            "pinned_in",
            "pool",
            "quota"
        ]
    );
}

fn an_upgrade_is_seen(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    done(&mut portkeep(["enable", "--pool", "20000-20009"]));
    done(&mut portkeep(["enable", "--pool", "21000-21001"]));
    let status = document(&mut portkeep(["status", "--json"]));
    assert_eq!(
        status["kernel_part"]["pool"],
        json!({ "start": 21000, "end": 21001 })
    );
    let outcome = outcome(&mut portkeep(["disable"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(
        document(&mut portkeep(["status", "--json"]))["enabled"],
        false
    );
}

fn the_store_is_counted(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    done(&mut portkeep(["enable"]));
    done(&mut portkeep(["reserve", "20000-20003/both"]));
    done(&mut portkeep(["exclude", "8080/tcp"]));
    let file = sandbox.state_dir().join("reservations.toml");
    let expected = format!("2 reservations and 1 exclusion in {}", file.display());
    for command in EVERYBODY {
        let text = done(&mut command(&["status"]));
        assert!(rows(&text).contains(&("store", &expected)), "{text}");
        let store = document(&mut command(&["status", "--json"]))["store"].take();
        let expected = json!({
            "file": file, "reservations": 2, "exclusions": 1, "fleet": [], "differences": [],
            "error": null,
        });
        assert_eq!(store, expected);
    }
    // What is stored is there also while Portkeep is not enabled, and differs from nothing.
    done(&mut portkeep(["disable"]));
    let text = done(&mut portkeep(["status"]));
    assert_eq!(
        rows(&text),
        [("enabled", "no"), ("backend", "held"), ("store", &expected)]
    );
}

fn what_differs_from_the_store_is_told(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    done(&mut portkeep(["reserve", "40000-40003/tcp"]));
    done(&mut portkeep(["exclude", "20000/udp"]));
    let flags = portkeep::sockopt::DeleteFlags::default();
    portkeep::sockopt::delete(sock::udp4(), 20000, 1, flags).expect("delete");
    common::persistent::protect("50000");
    let expected = [
        "20000/udp: excluded in the store, not in the kernel part",
        "40000-40003: missing from net.ipv4.ip_local_reserved_ports",
    ];
    for command in EVERYBODY {
        let status = document(&mut command(&["status", "--json"]));
        assert_eq!(status["store"]["differences"], json!(expected));
        let text = done(&mut command(&["status"]));
        for difference in expected {
            let row = format!("{difference} (`portkeep enable` repairs it)");
            assert!(rows(&text).contains(&("differs", &row)), "{text}");
        }
    }
}

fn wrong_usage() {
    misused(&["status", "all"]);
    misused(&["status", "--yaml"]);
}

fn what_a_fleet_has_is_told(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    reserve_for_fleet(sandbox, "rtp", false, "20000-20003/udp", &["user root"]);
    reserve_for_fleet(sandbox, "g7f3a2", true, "61040-61041/tcp", &[]);
    let said = done(&mut portkeep(["status"]));
    for line in [
        "fleet prod, policy rtp: 20000-20003/udp",
        "fleet prod, grant g7f3a2: 61040-61041/tcp",
    ] {
        assert!(said.lines().any(|it| it.ends_with(line)), "{said}");
    }
    // Its policies are in the store, its grants are not.
    assert!(
        said.contains(" 1 reservation and 0 exclusions in"),
        "{said}"
    );
    done(&mut portkeep(["disable"]));
    done(&mut portkeep(["enable"]));
    let store = &document(&mut portkeep(["status", "--json"]))["store"];
    let fleet = |kind: &str, id: &str, ports: &str, enforced: bool| {
        json!({
            "fleet": "prod", "kind": kind, "id": id, "generation": 3, "ports": [ports],
            "enforced": enforced,
        })
    };
    let expected = [
        fleet("grant", "g7f3a2", "61040-61041/tcp", false),
        fleet("policy", "rtp", "20000-20003/udp", true),
    ];
    assert_eq!(store["fleet"], json!(expected));
    assert_eq!(store["differences"], json!([]));
}
