//! A container: user, network and mount namespaces and a cgroup of its own.

use std::fs;
use std::process::Command;

use portkeep_tests::{Sandbox, proc};

use crate::twice::twice;

/// A server at a low port and at one that is reserved outside, a client, and automatic ports.
const INSIDE: &str = "
import socket
listeners = []
for port in 80, 9000, 61000:
    listener = socket.create_server(('', port))
    client = socket.create_connection(('127.0.0.1', port))
    connection, peer = listener.accept()
    client.sendall(b'hello')
    assert connection.recv(5) == b'hello'
    listeners.append(listener)
    print(port, peer[0])
ports = set()
for family in socket.AF_INET, socket.AF_INET6:
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        held = [socket.socket(family, kind) for _ in range(200)]
        for it in held:
            it.bind(('', 0))
        print(family, kind, len({it.getsockname()[1] for it in held}))
";

fn contained(sandbox: &Sandbox) -> String {
    let cgroup = sandbox
        .inside_cgroup()
        .parent()
        .expect("a cgroup")
        .join("container");
    if !cgroup.exists() {
        fs::create_dir(&cgroup).expect("make a cgroup");
    }
    let file = sandbox.state_dir().join("said");
    let code = proc::in_cgroup(&cgroup, || {
        let output = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--net",
                "--mount",
                "--pid",
                "--fork",
            ])
            .args([
                "--cgroup",
                "sh",
                "-c",
                "ip link set lo up && exec \"$@\"",
                "sh",
            ])
            .args(["/usr/bin/python3", "-c", INSIDE])
            .output()
            .expect("run unshare");
        assert!(output.status.success(), "{output:?}");
        fs::write(&file, output.stdout).expect("write a file");
        0
    });
    assert_eq!(code, 0);
    fs::read_to_string(&file).expect("read the file")
}

pub(crate) fn with_namespaces_and_a_cgroup(sandbox: &Sandbox) {
    let [without, with] = twice(sandbox, || contained(sandbox));
    assert_eq!(without.lines().count(), 7, "{without}");
    assert_eq!(without, with);
}
