use std::process::Stdio;

use portkeep_tests::Sandbox;

use crate::cluster::{Cluster, in_cgroup, port};
use crate::common::ok;

/// As torchrun does it: rank 0 listens at the port on the first node, the others connect to it.
const RANK: &str = r#"
import os, socket, sys, time
rank, master, port = int(sys.argv[1]), sys.argv[2], int(os.environ["PORT"])
if rank == 0:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", port))
    server.listen()
    peer, _ = server.accept()
    print("rank 0 heard", peer.recv(100).decode())
else:
    for _ in range(600):
        try:
            peer = socket.create_connection((master, port), 5)
            break
        except OSError:
            time.sleep(0.1)
    peer.sendall(b"rank 1")
"#;

/// Two tasks on two nodes, each in the job's cgroup of its node, meet at the port that both nodes keep for them.
pub fn a_job_on_two_nodes(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let grant = cluster.acquire("root", &["--on", "n[1-2]", "--tcp", "1"]);
    let id = grant["grant"].as_str().expect("an ID");
    let task = |node: usize| {
        let mut task = cluster.fleet_on(node);
        let rank = node.to_string();
        task.args([
            "attach",
            id,
            "--",
            "python3",
            "-c",
            RANK,
            &rank,
            "10.98.0.11",
        ]);
        in_cgroup(&mut task, cluster.cgroup(&format!("job-{rank}")));
        task
    };
    let worker = task(1).stdout(Stdio::null()).spawn();
    let said = ok(&mut task(0));
    assert_eq!(said, "rank 0 heard rank 1\n");
    assert!(worker.expect("a worker").wait().expect("wait").success());
    assert_ne!(port(&grant, "tcp"), 0);
    cluster.release("root", id);
    cluster.wait_until_nothing_is_left();
}
