//! Launchers of others, unchanged, on two nodes whose kernel keeps the job's block of ports.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Sandbox, skip};

use crate::cluster::Cluster;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/launchers");

/// Of each node's own daemons and ranks: OOB has four ports, and eight are for messages.
const MPI: &str = r#"
oob=$(echo $PORTKEEP_TCP | cut -d, -f1-4)
first=$(echo $PORTKEEP_TCP | cut -d, -f5)
exec "$SSH" n1 exec mpirun --allow-run-as-root --host n1:1,n2:1 -np 2 --mca plm_rsh_agent "$SSH" \
	--mca oob tcp --mca oob_tcp_if_include 10.98.0.0/24 --mca oob_tcp_dynamic_ipv4_ports "$oob" \
	--mca oob_tcp_dynamic_ipv6_ports "$oob" \
	--mca pml ob1 --mca btl tcp,self --mca btl_tcp_if_include 10.98.0.0/24 \
	--mca btl_tcp_port_min_v4 $first --mca btl_tcp_port_range_v4 8 \
	--mca btl_tcp_port_min_v6 $first --mca btl_tcp_port_range_v6 8 \
	/usr/bin/python3 "$DIRECTORY/rank.py"
"#;

/// Waits for a line after the ranks have met, so that they can be looked at.
const RANK: &str = "
import socket
from mpi4py import MPI
world = MPI.COMM_WORLD
names = world.gather(socket.gethostname())
if world.Get_rank() == 0:
    print('met', *names, flush=True)
    input()
assert world.allreduce(1) == 2
";

const TORCHRUN: &str = r#"
for rank in 0 1; do
	# Without a redirection, torchrun 1.13 fails on Python 3.11.
	"$SSH" n$((rank + 1)) "GLOO_SOCKET_IFNAME=e0 exec /usr/bin/python3 -m torch.distributed.run \
		--nnodes=2 --nproc_per_node=1 --node_rank=$rank --master_addr=n1 --master_port=$PORT \
		--redirects=1 --tee=1 $PROGRAMS/train.py" &
	eval "rank$rank=\$!"
done
wait $rank0
wait $rank1
"#;

/// The head's ports are those of the other node, too.
const RAY: &str = r#"
set -- $(echo $PORTKEEP_TCP | tr , ' ')
gcs=$1
node="--block --temp-dir=$DIRECTORY/r --disable-usage-stats --num-cpus=1 --object-store-memory=100000000
	--node-manager-port=$2 --object-manager-port=$3 --dashboard-agent-listen-port=$4 --dashboard-agent-grpc-port=$5
	--metrics-export-port=$6 --runtime-env-agent-port=$7"
export AUTOSCALER_METRIC_PORT=$8 DASHBOARD_METRIC_PORT=$9
shift 9
head="--head --port=$gcs --dashboard-port=$1 --ray-client-server-port=$2"
shift 2
workers=--worker-port-list=$(echo "$@" | tr ' ' ,)
"$SSH" n1 exec "$RAY/python" -m ray.scripts.scripts start $head $node $workers --node-ip-address=10.98.0.11 >"$DIRECTORY/head.log" 2>&1 &
first=$!
until grep -q 'Ray runtime started' "$DIRECTORY/head.log"; do
	kill -0 $first || { cat "$DIRECTORY/head.log"; exit 1; }
	sleep 0.5
done
"$SSH" n2 exec "$RAY/python" -m ray.scripts.scripts start --address=10.98.0.11:$gcs $node $workers --node-ip-address=10.98.0.12 \
	>"$DIRECTORY/node.log" 2>&1 &
second=$!
"$SSH" n1 exec "$RAY/python" "$DIRECTORY/task.py" 10.98.0.11:$gcs || status=$?
kill $second $first
wait $second || true
wait $first || true
exit ${status:-0}
"#;

const TASK: &str = "
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
@ray.remote(num_cpus=1, scheduling_strategy='SPREAD')
class Actor:
    def where(self):
        return ray.util.get_node_ip_address()
# Each takes a node's only processor; the second waits until its node is there.
actors = [Actor.remote() for _ in range(2)]
print('met', *sorted(ray.get([actor.where.remote() for actor in actors])), flush=True)
input()
";

/// What the scripts of a job need: the nodes' names, and something like ssh.
struct Launcher<'a> {
    cluster: &'a Cluster<'a>,
    directory: PathBuf,
}

impl<'a> Launcher<'a> {
    fn new(cluster: &'a Cluster<'_>) -> Launcher<'a> {
        cluster.name_the_nodes();
        // A short one: Ray has Unix sockets below it.
        let directory = env::temp_dir().join(format!("pk{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory");
        let launcher = Launcher { cluster, directory };
        launcher.write("attaching-ssh", &launcher.ssh());
        launcher
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// As ssh, `ssh HOST COMMAND…` starts a shell on another node; and it attaches that to the grant.
    fn ssh(&self) -> String {
        let mut cases = String::new();
        for (index, node) in self.cluster.nodes.iter().enumerate() {
            let command = self.cluster.on(index, "");
            let variables = command.get_envs().map(|(name, value)| {
                let value = value.expect("a value").display();
                format!("export {}='{value}'\n", name.display())
            });
            cases += &format!(
                "{0})\nnamespace=/proc/{1}/ns/net cgroup='{2}'\n{3};;\n",
                node.name,
                node.pid(),
                self.cluster.cgroup(&format!("job-{}", node.name)).display(),
                variables.collect::<String>(),
            );
        }
        format!(
            "#!/bin/sh\nset -e\nhost=$1\nshift\ncase $host in\n{cases}esac\necho $$ >\"$cgroup/cgroup.procs\"\n\
             exec nsenter --net=\"$namespace\" unshare --uts \
             sh -c 'hostname \"$1\" && shift && exec \"$@\"' ssh \"$host\" \
             '{}' attach \"$PORTKEEP_GRANT\" -- sh -c \"$*\"\n",
            env!("CARGO_BIN_EXE_portkeep-fleet"),
        )
    }

    /// A job of this script with this number of ports, the same on both nodes.
    fn start(&self, script: &str, ports: &str) -> Child {
        self.write("job", &format!("#!/bin/sh\nset -e\n{script}"));
        let job = self.directory.join("job").display().to_string();
        let mut command = self.cluster.user(
            "root",
            &["run", "--on", "n[1-2]", "--tcp", ports, "--", &job],
        );
        command.env("SSH", self.directory.join("attaching-ssh"));
        command.env("DIRECTORY", &self.directory);
        command.env("PROGRAMS", PROGRAMS);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("run")
    }

    /// Waits until the nodes have met, looks, and lets the job end.
    fn meet(&self, script: &str, ports: u16, met: &str) {
        let script = format!("echo $PORT\n{script}");
        let mut job = self.start(&script, &ports.to_string());
        let mut lines = BufReader::new(job.stdout.take().expect("a pipe")).lines();
        let mut next = || {
            lines
                .next()
                .unwrap_or_else(|| panic!("{}", self.logs()))
                .expect("read")
        };
        let first: u16 = next().parse().expect("a port");
        assert_eq!(next(), met);
        let block: BTreeSet<u16> = (first..first + ports).collect();
        for (index, node) in self.cluster.nodes.iter().enumerate() {
            let listening = listening(node.pid());
            assert!(!listening.is_empty(), "nobody listens on {}", node.name);
            assert!(listening.is_subset(&block), "{listening:?}, not {block:?}");
            for port in &block {
                assert_eq!(self.cluster.bind(index, None, *port), EADDRINUSE, "{port}");
            }
        }
        job.stdin
            .take()
            .expect("a pipe")
            .write_all(b"\n")
            .expect("write");
        assert!(job.wait().expect("wait").success(), "{}", self.logs());
        self.cluster.wait_until_nothing_is_left();
        assert_eq!(self.cluster.bind(1, None, first), 0);
    }

    fn logs(&self) -> String {
        let files = fs::read_dir(&self.directory).expect("read").flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
        logs.map(|file| fs::read_to_string(file.path()).unwrap_or_default())
            .collect()
    }
}

impl Drop for Launcher<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The ports at which processes of a node listen for others.
fn listening(pid: u32) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for (table, loopback) in [
        ("tcp", "0100007F"),
        ("tcp6", "00000000000000000000000001000000"),
    ] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).expect("a table");
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (address, port) = words[1].split_once(':').expect("an address");
            if words[3] == "0A" && address != loopback {
                ports.insert(u16::from_str_radix(port, 16).expect("a port"));
            }
        }
    }
    ports
}

fn needs(path: &str, what: &str) {
    if !Path::new(path).exists() {
        skip(&format!(
            "{what} is not installed; scripts/set-up launchers does that"
        ));
    }
}

/// mpirun on the first node starts its daemon on the second; daemons and ranks listen in the block.
pub fn mpi_on_two_nodes(sandbox: &Sandbox) {
    let done = Command::new("/usr/bin/python3")
        .args(["-c", "import mpi4py"])
        .status();
    assert!(done.expect("python3").success(), "Hint: scripts/set-up mpi");
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let launcher = Launcher::new(&cluster);
    launcher.write("rank.py", RANK);
    launcher.meet(MPI, 12, "met n1 n2");
}

/// Only the first node's torchrun listens, at the port that both keep.
pub fn torchrun_on_two_nodes(sandbox: &Sandbox) {
    needs("/usr/lib/python3/dist-packages/torch", "PyTorch");
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let launcher = Launcher::new(&cluster);
    let job = launcher
        .start(TORCHRUN, "1")
        .wait_with_output()
        .expect("wait");
    let said = String::from_utf8_lossy(&job.stdout);
    assert!(job.status.success(), "{said}");
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2, "{said}");
    for (rank, line) in lines.iter().enumerate() {
        let at = format!("[default0]:rank {rank} of 2 at 61");
        assert!(line.starts_with(&at), "{said}");
    }
    cluster.wait_until_nothing_is_left();
}

/// A head and a node with the same ports for their own servers and for workers.
pub fn ray_on_two_nodes(sandbox: &Sandbox) {
    let Some(ray) = env::var_os("PORTKEEP_RAY") else {
        skip("PORTKEEP_RAY is not set; bindings/test says where Ray is");
    };
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let launcher = Launcher::new(&cluster);
    launcher.write("task.py", TASK);
    let script = format!("RAY='{}'\n{RAY}", ray.display());
    launcher.meet(&script, 32, "met 10.98.0.11 10.98.0.12");
}
