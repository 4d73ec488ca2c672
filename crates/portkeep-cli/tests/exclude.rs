//! `portkeep exclude`: ports that nobody gets by chance.

mod common;

use portkeep_tests::{Protocol, Sandbox, assert_errno, proc, raw, sock, trials};

use common::json::document;
use common::kernel_part::{assert_free, reserved, set_ipv4};
use common::persistent::{assert_agreed, bind_as, enable, listed, protected, stored, stored_ports};
use common::{USER, cells, done, misused, outcome, portkeep, portkeep_as_user, refused};

trials! {
    root:
        everybody_may_bind_by_number,
        nobody_reserves_there,
        no_automatic_port_lies_there,
        sockets_are_not_in_the_way,
        the_same_twice_is_success,
        what_it_overlaps_is_named,
        it_is_shown,
        published_ports_of_compose_files,
        presets_are_as_documented,
        presets_are_as_configured_here,
        presets_with_ports_in_common,
        no_connect_takes_a_port_of_a_preset,
        an_ordinary_user_is_refused,
        without_the_kernel_part_it_is_refused;
    plain:
        wrong_usage;
}

fn everybody_may_bind_by_number(sandbox: &Sandbox) {
    enable();
    let said = done(&mut portkeep(["exclude", "20000-20003/both"]));
    assert_eq!(said, "20000-20003/tcp and 20000-20003/udp excluded\n");
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_free(protocol, 20000..=20003);
        assert_eq!(bind_as(USER, USER, protocol, 20000), 0);
    }
    assert_eq!(
        stored_ports(sandbox),
        ["20000-20003/tcp", "20000-20003/udp"]
    );
    assert_agreed();
}

fn nobody_reserves_there(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable", "--pool", "20000-20007"]));
    done(&mut portkeep(["exclude", "20000-20005/tcp"]));
    assert_errno!(raw::acquire4(sock::tcp4(), 20000, 1), EADDRINUSE);
    assert_errno!(raw::acquire4(sock::tcp4(), 0, 3), EADDRINUSE);
    let words = ["hold", "--tcp", "20000-20000"];
    let reason = "port 20000/tcp is excluded from being reserved";
    assert_eq!(refused(&mut portkeep(words)), reason);
    assert_eq!(refused(&mut portkeep_as_user(words)), reason);
    let own = done(&mut portkeep([
        "run",
        "--tcp",
        "2",
        "--",
        "sh",
        "-c",
        "echo $PORTKEEP_TCP",
    ]));
    assert_eq!(own, "20006,20007\n");
}

fn no_automatic_port_lies_there(_sandbox: &Sandbox) {
    enable();
    common::kernel_part::set_ipv4("ip_local_port_range", "40000 40009");
    // It warns of a lopsided choice, rightly.
    let outcome = outcome(&mut portkeep(["exclude", "40000-40007/udp"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(protected(), "40000-40007");
    let sockets: Vec<_> = (0..2).map(|_| sock::udp4()).collect();
    for socket in &sockets {
        sock::bind_any(socket, 0).expect("an automatic port");
        assert!((40008..=40009).contains(&sock::local_port(socket)));
    }
    assert_errno!(sock::bind_any(sock::udp4(), 0), EADDRINUSE);
}

fn sockets_are_not_in_the_way(sandbox: &Sandbox) {
    enable();
    let there = sock::tcp4();
    sock::bind_any(&there, 20001).expect("bind");
    done(&mut portkeep(["exclude", "20000-20003/tcp"]));
    assert_eq!(reserved(sandbox), [(Protocol::Tcp, 20000..=20003)]);
}

fn the_same_twice_is_success(sandbox: &Sandbox) {
    enable();
    let words = ["exclude", "40000-40003/tcp", "--comment", "JMX"];
    done(&mut portkeep(words));
    let before = (stored(sandbox), reserved(sandbox), protected());
    assert_eq!(
        done(&mut portkeep(words)),
        "40000-40003/tcp excluded already\n"
    );
    assert_eq!((stored(sandbox), reserved(sandbox), protected()), before);
}

fn what_it_overlaps_is_named(_sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "reserve",
        "20000-20003/tcp",
        "--user",
        "root",
    ]));
    assert_eq!(
        refused(&mut portkeep(["exclude", "20003-20009/tcp"])),
        "20003-20009/tcp overlaps 20000-20003/tcp, which is reserved for user root"
    );
    assert_eq!(listed(), ["20000-20003/tcp persistent consumers root"]);
}

fn it_is_shown(_sandbox: &Sandbox) {
    enable();
    done(&mut portkeep(["exclude", "20000/tcp", "--comment", "JMX"]));
    let text = done(&mut portkeep_as_user(["ls"]));
    let row = cells(text.lines().nth(1).expect("a row"));
    assert_eq!(row[..3], ["tcp", "20000", "excluded"]);
    assert_eq!(row[6..], ["everybody", "JMX"]);
    let why = document(&mut portkeep_as_user(["why", "20000/tcp", "--json"]));
    assert_eq!(why["state"], "excluded");
    assert_eq!(why["reservation"]["comment"], "JMX");
    let text = why["explanation"].as_str().expect("words");
    assert!(
        text.starts_with("20000/tcp is excluded from automatic choice; everybody may"),
        "{text}"
    );
    // A socket there is in the way of a bind, the exclusion is not.
    let there = sock::tcp4();
    sock::bind_any(&there, 20000).expect("bind");
    let why = document(&mut portkeep(["why", "20000/tcp", "--json"]));
    assert_eq!(why["state"], "bound");
}

fn published_ports_of_compose_files(sandbox: &Sandbox) {
    enable();
    let directory = sandbox.state_dir();
    let file = directory.join("compose.yml");
    let services = "services:
  web: {ports: ['127.0.0.1:38080:80', '9090']}
  db: {ports: [{target: 5432, published: '${DB_PORT}'}, '38080-38081:80', '5353:53/udp']}
";
    std::fs::write(&file, services).expect("write");
    let path = file.to_str().expect("text");
    let words = ["exclude", "40000/tcp", "--compose", path];
    let reason = format!("{path}: service db: the variable DB_PORT is not set");
    assert_eq!(refused(&mut portkeep(words)), reason);
    assert_eq!(listed(), [] as [&str; 0]);

    std::fs::write(directory.join(".env"), "DB_PORT=35432 # of the tests\n").expect("write");
    let said = done(&mut portkeep(words));
    let all = "35432/tcp, 38080-38081/tcp, 40000/tcp and 5353/udp";
    assert_eq!(said, format!("{all} excluded\n"));
    assert_eq!(protected(), "35432,38080-38081,40000");
    // As the engine does.
    assert_eq!(bind_as(USER, USER, Protocol::Tcp, 38080), 0);

    let mut again = portkeep(["exclude", "--compose", "-"]);
    again.stdin(std::fs::File::open(&file).expect("open"));
    again.env("DB_PORT", "35432");
    let said = done(&mut again);
    assert_eq!(
        said,
        "35432/tcp, 38080-38081/tcp and 5353/udp excluded already\n"
    );

    std::fs::write(&file, "services: {web: {image: web}}").expect("write");
    let reason = format!("{path} publishes no port of a fixed number");
    assert_eq!(
        refused(&mut portkeep(["exclude", "--compose", path])),
        reason
    );
}

fn an_ordinary_user_is_refused(_sandbox: &Sandbox) {
    enable();
    let outcome = outcome(&mut portkeep_as_user(["exclude", "20000/tcp"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.ends_with("Hint: run this as root\n"),
        "{outcome:?}"
    );
    assert_eq!(listed(), [] as [&str; 0]);
}

fn without_the_kernel_part_it_is_refused(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let reason = refused(&mut portkeep(["exclude", "40000/tcp"]));
    assert_eq!(reason, "Portkeep is not enabled here");
    assert_eq!(
        (stored_ports(sandbox), protected()),
        (vec![], String::new())
    );
}

fn wrong_usage() {
    for words in [
        &["exclude"][..],
        &["exclude", "80"],
        &["exclude", "80/tcp", "--user", "root"],
        &["exclude", "80/tcp", "--every-netns", "--netns", "1"],
    ] {
        misused(words);
    }
}

/// What somebody else's document says is what is excluded, both times.
fn presets_are_as_documented(sandbox: &Sandbox) {
    enable();
    for (preset, dynamic) in [
        ("kubernetes", Some("30000-32767/udp")),
        ("nomad", Some("20000-32000/tcp")),
        ("agones", Some("7000-8000/udp")),
        ("ecs", Some("51678-51680/tcp")),
        ("docker", Some("2375-2377/tcp")),
    ] {
        let said = done(&mut portkeep(["exclude", "--preset", preset]));
        assert!(said.ends_with(" excluded\n"), "{said}");
        let ports = stored_ports(sandbox);
        assert!(
            dynamic.is_none_or(|range| ports.contains(&range.to_owned())),
            "{ports:?}"
        );
        let text = stored(sandbox).expect("a store");
        assert!(text.contains(&format!("comment = \"{preset}\"")), "{text}");
        let said = done(&mut portkeep(["exclude", "--preset", preset]));
        assert!(said.ends_with(" excluded already\n"), "{said}");
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        done(&mut portkeep(["include"].into_iter().chain(ports)));
        assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
    }
    assert_agreed();
}

/// In the sandbox's own view of /etc.
fn presets_are_as_configured_here(sandbox: &Sandbox) {
    enable();
    let flags = nix::mount::MsFlags::empty();
    // Users are looked up in /etc; the trial needs none.
    nix::mount::mount(Some("tmpfs"), "/etc", Some("tmpfs"), flags, None::<&str>).expect("mount");
    for (preset, file, text, range) in [
        (
            "kubernetes",
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "spec:\n  containers:\n  - command:\n    - --service-node-port-range=21000-21999\n",
            "21000-21999/udp",
        ),
        (
            "nomad",
            "/etc/nomad.d/client.hcl",
            "client {\n  min_dynamic_port = 22000\n  max_dynamic_port = 22999\n}\n",
            "22000-22999/tcp",
        ),
        (
            "ecs",
            "/etc/ecs/ecs.config",
            "ECS_CLUSTER=x\nECS_DYNAMIC_HOST_PORT_RANGE=23000-23999\n",
            "23000-23999/tcp",
        ),
    ] {
        let directory = std::path::Path::new(file).parent().expect("a directory");
        std::fs::create_dir_all(directory).expect("make a directory");
        std::fs::write(file, text).expect("write");
        let said = outcome(&mut portkeep(["exclude", "--preset", preset]));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            said.stderr
                .contains(&format!("the range is that of {file}")),
            "{said:?}"
        );
        assert!(
            stored_ports(sandbox).contains(&range.to_owned()),
            "{said:?}"
        );
        std::fs::write(file, text.replace("999", "x")).expect("write");
        let reason = refused(&mut portkeep(["exclude", "--preset", preset]));
        assert!(reason.contains("is not a range of ports"), "{reason}");
    }
}

/// ecs and docker both have Docker's own ports.
fn presets_with_ports_in_common(sandbox: &Sandbox) {
    enable();
    done(&mut portkeep([
        "exclude", "--preset", "ecs", "--preset", "docker",
    ]));
    let ports = stored_ports(sandbox);
    for range in ["2375-2376/tcp", "2377/tcp", "51678-51680/tcp", "4789/udp"] {
        assert!(ports.contains(&range.to_owned()), "{ports:?}");
    }
    assert_agreed();
}

/// Where the automatic range has nearly nothing else, as on many a node: kernels choose from what is
/// left, or fail, but take none of it.
fn no_connect_takes_a_port_of_a_preset(_sandbox: &Sandbox) {
    set_ipv4("ip_local_port_range", "30000 33000");
    enable();
    let said = outcome(&mut portkeep(["exclude", "--preset", "kubernetes"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stderr.contains("92 % of the automatic range"),
        "{said:?}"
    );
    let storms: Vec<_> = (1..=4_u8)
        .map(|which| proc::fork_child(move || storm(which)))
        .collect();
    for storm in storms {
        assert_eq!(storm.code(), 0);
    }
    // Everybody may bind there all the same.
    assert_free(Protocol::Tcp, 30000..=30010);
}

/// Connects from automatic ports of both protocols, many of them at a time.
fn storm(which: u8) -> i32 {
    use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
    let there = Ipv4Addr::new(127, 0, 0, which);
    let listener = TcpListener::bind((there, 8000)).expect("listen");
    let mut taken = 0;
    for _ in 0..20 {
        let mut open = Vec::new();
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect((there, 8000)) {
                let (accepted, _) = listener.accept().expect("accept");
                open.push((stream, accepted));
            }
            let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
            if let Ok(socket) = datagrams {
                let port = socket.local_addr().expect("an address").port();
                assert!(!(30000..=32767).contains(&port), "{port}/udp");
            }
        }
        for (stream, _) in &open {
            let port = stream.local_addr().expect("an address").port();
            assert!(!(30000..=32767).contains(&port), "{port}/tcp");
            taken += 1;
        }
    }
    // Each of the ports that are left, at least once.
    assert!(taken > 200, "only {taken} connections");
    0
}
