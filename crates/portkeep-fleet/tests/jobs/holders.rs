use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portkeep_tests::Sandbox;
use portkeep_tests::libc::EADDRINUSE;

use crate::cluster::{Cluster, in_cgroup, signal, wait};
use crate::common::ok;

/// A job that says its port and stays.
fn start(cluster: &Cluster<'_>) -> (Child, u16) {
    use std::io::{BufRead as _, BufReader};
    let arguments = [
        "run",
        "--on",
        "n1,n2",
        "--tcp",
        "1",
        "--",
        "sh",
        "-c",
        "echo $PORT; exec sleep 1000000",
    ];
    let mut command = cluster.user("nobody", &arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("run");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut line).expect("read");
    (child, line.trim().parse().expect("a port"))
}

fn refused(cluster: &Cluster<'_>, port: u16) -> bool {
    [0, 1]
        .iter()
        .all(|node| cluster.bind(*node, None, port) == EADDRINUSE)
}

/// And one that ends gives them back at once, with its command's status.
pub fn a_killed_run_gives_its_ports_back(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let mut command = cluster.user(
        "nobody",
        &[
            "run", "--on", "n1,n2", "--tcp", "1", "--", "sh", "-c", "exit 7",
        ],
    );
    let output = command.output().expect("run");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    cluster.wait_until_nothing_is_left();

    let (mut ended, port) = start(&cluster);
    assert!(refused(&cluster, port));
    signal(&ended, Signal::SIGTERM);
    assert_eq!(ended.wait().expect("wait").code(), Some(128 + 15));
    cluster.wait_until_nothing_is_left();

    // As early as a signal can come.
    let early = "trap 'exit 9' TERM; kill -TERM $PPID; while :; do sleep 0.05; done";
    let arguments = ["run", "--on", "n1", "--tcp", "1", "--", "sh", "-c", early];
    let output = cluster.user("nobody", &arguments).output().expect("run");
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    cluster.wait_until_nothing_is_left();

    let (mut killed, port) = start(&cluster);
    signal(&killed, Signal::SIGKILL);
    killed.wait().expect("wait");
    // Not at once: whoever is gone may come back.
    assert!(refused(&cluster, port));
    cluster.wait_until_nothing_is_left();
    assert_eq!(cluster.bind(0, None, port), 0);
}

/// The holder tells the new one that it is there; so it is, long after the grace.
pub fn a_steward_that_starts_anew_is_told(sandbox: &Sandbox) {
    let mut cluster = Cluster::new(sandbox, 2, "61000-61999");
    let (mut job, port) = start(&cluster);
    cluster.kill_steward();
    cluster.start_steward();
    let (mut other, _) = start(&cluster);
    signal(&other, Signal::SIGKILL);
    other.wait().expect("wait");
    // The one that is not held ends, the one that is held does not.
    wait("the other one ends", || {
        (cluster
            .keys()
            .iter()
            .filter(|key| key.starts_with("grant/"))
            .count()
            == 1)
            .then_some(())
    });
    assert!(refused(&cluster, port));
    signal(&job, Signal::SIGTERM);
    job.wait().expect("wait");
    cluster.wait_until_nothing_is_left();
}

/// Jobs keep their grants, attach goes on, nothing new begins and nothing ends: also for so many seconds as
/// `PORTKEEP_FLEET_OUTAGE` says.
pub fn while_etcd_is_down(sandbox: &Sandbox) {
    let mut cluster = Cluster::new(sandbox, 2, "61000-61999");
    let (mut job, port) = start(&cluster);
    let keys = cluster.keys();
    let grant = keys
        .iter()
        .find_map(|key| key.strip_prefix("grant/"))
        .expect("a grant")
        .to_owned();
    cluster.etcd.kill(0);
    let mut command = cluster.user("nobody", &["acquire", "--on", "n1", "--tcp", "1"]);
    assert_eq!(command.output().expect("run").status.code(), Some(4));
    let mut attach = cluster.fleet_on(1);
    ok(in_cgroup(
        attach.args(["attach", &grant]),
        cluster.cgroup("job"),
    ));
    assert_eq!(cluster.bind(1, Some("job"), port), 0);
    // An agent that starts anew knows the job's grant, too.
    cluster.kill_agent(0);
    cluster.start_agent(0);
    wait("attach goes on after a restart of the agent", || {
        let mut attach = cluster.fleet_on(0);
        let done = in_cgroup(attach.args(["attach", &grant]), cluster.cgroup("job")).output();
        done.expect("run").status.success().then_some(())
    });
    assert_eq!(cluster.bind(0, Some("job"), port), 0);
    let outage = std::env::var("PORTKEEP_FLEET_OUTAGE");
    let outage = outage.map_or(0, |seconds| seconds.parse().expect("seconds"));
    let over = Instant::now() + Duration::from_secs(outage);
    while {
        assert!(refused(&cluster, port));
        assert_eq!(cluster.bind(1, Some("job"), port), 0);
        let mut attach = cluster.fleet_on(1);
        ok(in_cgroup(
            attach.args(["attach", &grant]),
            cluster.cgroup("job"),
        ));
        assert!(job.try_wait().expect("wait").is_none());
        Instant::now() < over
    } {
        std::thread::sleep(Duration::from_secs(2));
    }
    cluster.etcd.restart(0);
    cluster.wait_until_acting(0);
    assert!(refused(&cluster, port));
    signal(&job, Signal::SIGTERM);
    job.wait().expect("wait");
    cluster.wait_until_nothing_is_left();
}
