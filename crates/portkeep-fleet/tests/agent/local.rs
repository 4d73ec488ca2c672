use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use portkeep_fleet::agent::local::{Answer, Request};
use portkeep_fleet_core::data::{Phase, Report};
use portkeep_tests::Sandbox;

use crate::common::{fails, fleet};
use crate::node::{Node, name};

fn send(node: &Node<'_>, bytes: &[u8]) -> Option<Answer> {
    let mut stream = UnixStream::connect(node.socket()).expect("connect");
    // It may be closed before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    serde_json::from_slice(&answer).ok()
}

pub fn requests_are_bounded(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    let long = vec![b'{'; 1 << 20];
    let deep = format!("{}\n", "[".repeat(60_000));
    let garbage: [&[u8]; 8] = [
        b"",
        b"\n",
        b"{}\n",
        b"{\"ask\":\"no such\"}\n",
        b"{\"ask\":\"forget\",\"id\":\"a/b\"}\n",
        b"\xff\xfe\0\n",
        &long,
        deep.as_bytes(),
    ];
    for bytes in garbage {
        if let Some(answer) = send(&node, bytes) {
            assert!(answer.error.is_some(), "{answer:?}");
        }
    }
    // More than are served at a time, all silent, do not keep the next one out for ever.
    let silent: Vec<UnixStream> = (0..40)
        .map(|_| UnixStream::connect(node.socket()).expect("connect"))
        .collect();
    assert!(node.ask(&Request::Status).is_some());
    drop(silent);
    let why = node
        .ask(&Request::Why {
            port: "--help".into(),
        })
        .expect("an answer");
    assert!(why.error.expect("an error").contains("expected a port"));
    node.policy("rtp", "40000/tcp", Phase::Preparing);
    node.wait_report("rtp", Report::Held);
}

pub fn only_root_changes_something(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    let mode = std::fs::metadata(node.socket())
        .expect("the socket")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o666);
    let python = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
        s.sendall((sys.argv[2]+'\\n').encode())\nprint(s.recv(65536).decode())";
    let ask = |question: &str| {
        let output = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "/usr/bin/python3",
                "-c",
                python,
            ])
            .arg(node.socket())
            .arg(question)
            .output()
            .expect("setpriv");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str::<Answer>(&text).unwrap_or_else(|error| {
            panic!(
                "{error}: {text} {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    };
    for question in [
        "{\"ask\":\"forget\",\"id\":\"rtp\"}",
        "{\"ask\":\"repair\",\"id\":\"rtp\"}",
        "{\"ask\":\"adopt-engine\"}",
    ] {
        let refused = ask(question).error.expect("an error");
        assert!(refused.contains("only root"), "{refused}");
    }
    let status = ask("{\"ask\":\"status\"}");
    assert_eq!(status.document["node"], "a");
    let forget = node
        .ask(&Request::Forget { id: name("rtp") })
        .expect("an answer");
    assert!(forget.error.expect("an error").contains("has no rtp"));
}

pub fn one_agent_a_machine(sandbox: &Sandbox) {
    let node = Node::started(sandbox);
    let refused = fails(fleet(&node.etcd, "a").arg("agent"), 1);
    assert!(refused.contains("another agent runs"), "{refused}");
    node.wait_until_acting();
    // The operator's configuration is no node's.
    std::fs::write(
        node.etcd.directory().join("bare.toml"),
        "name = \"test\"\nengine = [\"http://127.0.0.1:1\"]\n",
    )
    .expect("write a configuration");
    let refused = fails(fleet(&node.etcd, "bare").arg("agent"), 2);
    assert!(refused.contains("`node` is missing"), "{refused}");
}
