use std::process::Command;

use portkeep_tests::Sandbox;
use portkeep_tests::libc::EADDRINUSE;
use serde_json::json;

use crate::cluster::{Cluster, as_user, in_cgroup, json, port};
use crate::common::{fails, ok};
use crate::json::parse;

/// Acquired by a user, closed to all others and to the user, open to what is attached on that node, and given back.
pub fn the_same_ports_on_all_nodes(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 3, "61000-61999");
    let grant = cluster.acquire("nobody", &["--on", "n[1-3]", "--tcp", "2", "--udp", "1"]);
    assert_eq!(grant["nodes"], json!(["n1", "n2", "n3"]));
    assert_eq!(grant["ports"].as_array().map(Vec::len), Some(2));
    let (id, tcp) = (grant["grant"].as_str().expect("an ID"), port(&grant, "tcp"));
    for node in 0..3 {
        for port in [tcp, tcp + 1] {
            assert_eq!(cluster.bind(node, None, port), EADDRINUSE, "n{}", node + 1);
        }
        assert_eq!(cluster.bind(node, Some("other"), tcp), EADDRINUSE);
    }
    let attach = |node: usize, user: &str| -> Command {
        let mut command = cluster.fleet_on(node);
        command.args(["attach", id, "--json"]);
        let mut command = as_user_on(&cluster, node, command, user);
        in_cgroup(&mut command, cluster.cgroup("job"));
        command
    };
    // Another user's, who is not let in.
    let refused = fails(&mut attach(0, "daemon"), 1);
    assert!(refused.contains("another user's"), "{refused}");
    assert_eq!(cluster.bind(0, Some("job"), tcp), EADDRINUSE);
    let attached = parse("fleet-attach", &ok(&mut attach(0, "nobody")));
    assert_eq!(
        (&attached["grant"], &attached["ports"]),
        (&grant["grant"], &grant["ports"])
    );
    assert_eq!(cluster.bind(0, Some("job"), tcp + 1), 0);
    assert_eq!(cluster.bind(0, Some("other"), tcp + 1), EADDRINUSE);
    assert_eq!(cluster.bind(1, Some("job"), tcp + 1), EADDRINUSE);
    // The command learns its ports; again is no harm.
    let mut command = cluster.fleet_on(1);
    command.args([
        "attach",
        id,
        "--",
        "sh",
        "-c",
        "echo $PORT $PORTKEEP_TCP $PORTKEEP_UDP $PORTKEEP_GRANT",
    ]);
    let mut command = as_user_on(&cluster, 1, command, "nobody");
    let said = ok(in_cgroup(&mut command, cluster.cgroup("job")));
    assert_eq!(
        said.trim(),
        format!("{tcp} {tcp},{} {} {id}", tcp + 1, port(&grant, "udp"))
    );
    assert_eq!(cluster.bind(1, Some("job"), tcp), 0);
    let mut command = cluster.fleet_on(2);
    command.args(["attach", "--export", id]);
    let mut command = as_user_on(&cluster, 2, command, "nobody");
    let said = ok(in_cgroup(&mut command, cluster.cgroup("job")));
    assert!(
        said.contains(&format!("\nexport MASTER_PORT={tcp}\n")),
        "{said}"
    );
    // Root's job system asks for a user; users only for themselves.
    let on = ["--on", "n1", "--tcp", "1", "--for"];
    let of_job = cluster.acquire("root", &[&on[..], &["nobody"]].concat());
    cluster.release("nobody", of_job["grant"].as_str().expect("an ID"));
    let refused = cluster.refused("daemon", &[&on[..], &["nobody"]].concat());
    assert!(
        refused["refused"]
            .as_str()
            .expect("words")
            .contains("only root"),
        "{refused}"
    );
    // A second one has other ports.
    let second = cluster.acquire("daemon", &["--on", "n2,n3", "--tcp", "1"]);
    assert!(![tcp, tcp + 1].contains(&port(&second, "tcp")));

    // Each sees their own; root sees all.
    let own = parse(
        "fleet-ls",
        &ok(&mut cluster.user("nobody", &["ls", "--json"])),
    );
    let own = own["grants"].as_array().expect("grants").clone();
    assert_eq!(own.len(), 1);
    assert_eq!(
        (&own[0]["grant"], &own[0]["ports"], &own[0]["nodes"]),
        (&grant["grant"], &grant["ports"], &grant["nodes"])
    );
    assert_eq!(
        (&own[0]["phase"], &own[0]["held"]),
        (&json!("committed"), &json!(false))
    );
    let all = ok(&mut cluster.user("root", &["ls"]));
    assert!(
        all.lines().count() == 3 && all.contains(id) && all.contains("3 nodes  held"),
        "{all}"
    );
    let none = ok(&mut cluster.user("bin", &["ls"]));
    assert_eq!(none.lines().count(), 1, "{none}");
    let refused = cluster.release_fails("daemon", id);
    assert!(refused.contains("is not daemon's"), "{refused}");
    assert_eq!(cluster.release("nobody", id)["left"], false);
    for node in 0..3 {
        assert_eq!(cluster.bind(node, None, tcp), 0);
    }
    let refused = fails(&mut attach(0, "nobody"), 1);
    assert!(refused.contains("has no grant"), "{refused}");
    assert_eq!(cluster.release("nobody", id)["left"], false);
    cluster.release("root", second["grant"].as_str().expect("an ID"));
    cluster.wait_until_nothing_is_left();
}

/// The command's own hook enters the node's namespace first, as root.
fn as_user_on(cluster: &Cluster<'_>, node: usize, command: Command, user: &str) -> Command {
    let wrapped = as_user(command, user);
    let mut on = cluster.on(node, wrapped.get_program().to_str().expect("a program"));
    on.args(wrapped.get_args());
    on
}

pub fn others_are_tried_where_one_is_in_use(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 2, "62000-62003");
    let listener = "import socket,sys,time\ns=socket.socket()\ns.bind(('',62001))\ns.listen()\n\
                    print('there',flush=True)\ntime.sleep(1e6)";
    let mut stranger = cluster.on(1, "python3");
    let mut stranger = stranger
        .args(["-c", listener])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a stranger");
    let mut line = [0; 6];
    std::io::Read::read_exact(stranger.stdout.as_mut().expect("a pipe"), &mut line).expect("read");
    // Whatever is chosen first, only one block of two is free on both.
    let grant = cluster.acquire("nobody", &["--on", "n1,n2", "--tcp", "2"]);
    assert_eq!(grant["ports"], json!(["62002-62003/tcp"]));
    cluster.release("nobody", grant["grant"].as_str().expect("an ID"));
    let refused = cluster.refused("nobody", &["--on", "n1,n2", "--tcp", "3"]);
    let said = refused["refused"].as_str().expect("a refusal");
    assert!(said.contains("the largest block"), "{said}");
    let node = &refused["in_the_way"][0];
    assert_eq!(
        (node["node"].as_str(), node["obstacles"][0]["port"].as_str()),
        (Some("n2"), Some("62001/tcp"))
    );
    let what = node["obstacles"][0]["what"].as_str().expect("words");
    assert!(
        what.contains(&format!("(pid {}, user root)", stranger.id())),
        "{what}"
    );
    stranger.kill().expect("kill");
    stranger.wait().expect("wait");
    cluster.wait_until_nothing_is_left();
    for port in 62000..=62003 {
        assert_eq!(cluster.bind(0, None, port), 0);
    }
}

pub fn any_nodes_with_a_label(sandbox: &Sandbox) {
    let mut cluster = Cluster::new(sandbox, 3, "61000-61999");
    let grant = cluster.acquire(
        "nobody",
        &["--any", "2", "--of", "role=compute", "--tcp", "1"],
    );
    assert_eq!(grant["nodes"].as_array().map(Vec::len), Some(2));
    cluster.release("nobody", grant["grant"].as_str().expect("an ID"));
    let refused = cluster.refused("nobody", &["--any", "2", "--of", "number=3", "--tcp", "1"]);
    assert!(
        refused["refused"]
            .as_str()
            .expect("words")
            .contains("1 of 2"),
        "{refused}"
    );
    // One that is down is not chosen, and named where it is asked for.
    cluster.kill_agent(1);
    crate::cluster::wait("its lease has run out", || {
        let refused = cluster.user(
            "nobody",
            &[
                "acquire", "--json", "--on", "n[1-2]", "--tcp", "1", "--wait", "1",
            ],
        );
        let mut refused = refused;
        let output = refused.output().expect("run");
        let document = json(String::from_utf8(output.stdout).expect("UTF-8"));
        let what = document["in_the_way"][0]["obstacles"][0]["what"]
            .as_str()?
            .to_owned();
        (what == "its agent is not connected").then_some(())
    });
    let grant = cluster.acquire("nobody", &["--any", "2", "--tcp", "1"]);
    assert!(
        !grant["nodes"]
            .as_array()
            .expect("nodes")
            .contains(&json!("n2")),
        "{grant}"
    );
}

pub fn what_users_may_hold(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let quota = ["quota", "--grants", "2", "--ports", "10", "--json"];
    let limits = parse(
        "fleet-quota",
        &ok(crate::common::fleet(&cluster.etcd, "operator").args(quota)),
    );
    assert_eq!(
        (&limits["grants"], &limits["ports"]),
        (&json!(2), &json!(10))
    );
    fails(
        crate::common::fleet(&cluster.etcd, "n1").args(["quota", "--grants", "9"]),
        1,
    );
    let on = ["--on", "n[1-2]", "--tcp"];
    let ask = |count: &'static str| [&on[..], &[count]].concat();
    let refused = cluster.refused("nobody", &ask("6"));
    assert!(
        refused["refused"]
            .as_str()
            .expect("words")
            .contains("12 ports at once"),
        "{refused}"
    );
    let first = cluster.acquire("nobody", &ask("2"));
    cluster.acquire("nobody", &ask("1"));
    let refused = cluster.refused("nobody", &ask("1"));
    assert!(
        refused["refused"]
            .as_str()
            .expect("words")
            .contains("3 grants at once"),
        "{refused}"
    );
    // Others have their own, and root has none.
    cluster.acquire("daemon", &ask("5"));
    cluster.acquire("root", &ask("20"));
    cluster.release("nobody", first["grant"].as_str().expect("an ID"));
    cluster.acquire("nobody", &ask("1"));
}

pub fn wrong_usage(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 1, "61000-61999");
    for arguments in [
        &["acquire", "--tcp", "1"][..],
        &["acquire", "--on", "n1"],
        &["acquire", "--on", "n[1", "--tcp", "1"],
        &["acquire", "--on", "n1", "--tcp", "0"],
        &["acquire", "--any", "0", "--tcp", "1"],
        &["run", "--on", "n1", "--tcp", "1"],
        &["release"],
        &["attach", "a/b"],
    ] {
        fails(&mut cluster.user("nobody", arguments), 2);
    }
    let refused = cluster.refused("nobody", &["--on", "n1,n9", "--tcp", "1"]);
    assert_eq!(refused["in_the_way"][0]["node"], "n9");
    let mut nowhere = cluster.user("root", &["acquire", "--on", "n1", "--tcp", "1"]);
    nowhere.env("PORTKEEP_STEWARD_SOCKET", "/nonexistent/steward.sock");
    let said = fails(&mut nowhere, 4);
    assert!(said.contains("no steward answers"), "{said}");
}
