use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;
use portkeep_tests::Sandbox;
use portkeep_tests::libc::EADDRINUSE;

use crate::cluster::{Cluster, in_cgroup, wait};
use crate::common::ok;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/slurm");

/// Two slurmd on two nodes, and one slurmctld beside the steward.
struct Slurm {
    directory: PathBuf,
    daemons: Vec<Child>,
}

impl Slurm {
    fn new(cluster: &Cluster<'_>) -> Slurm {
        let directory = cluster.sandbox.state_dir().join("slurm");
        let state = directory.join("state");
        fs::create_dir_all(&state).expect("a directory");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("a mode");
        // slurmctld looks for its own name among the controllers.
        unshare(CloneFlags::CLONE_NEWUTS).expect("a namespace");
        sethostname("ctl").expect("a name");
        // The daemons' own places, of this trial alone.
        fs::create_dir_all("/etc/slurm").expect("a directory");
        for place in ["/etc/slurm", "/run/munge"] {
            fs::create_dir_all(place).expect("a directory");
            let none = None::<&str>;
            mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), none).expect("mount");
        }
        cluster.name_the_nodes();
        let mut slurm = Slurm {
            directory,
            daemons: Vec::new(),
        };
        slurm.munge();
        slurm.configure();
        let mut controller = Command::new("slurmctld");
        controller.arg("-D");
        slurm.environment(&mut controller, cluster);
        slurm.start("slurmctld", controller);
        for node in 0..2 {
            let mut daemon = cluster.on(node, "slurmd");
            daemon.args(["-D", "-N", &format!("n{}", node + 1)]);
            daemon.env("PATH", slurm.path());
            in_cgroup(&mut daemon, cluster.cgroup(&format!("slurmd-{node}")));
            // SAFETY: system calls alone, between fork and exec.
            unsafe {
                daemon.pre_exec(move || {
                    unshare(CloneFlags::CLONE_NEWUTS)?;
                    Ok(sethostname(["n1", "n2"][node])?)
                });
            }
            slurm.start(&format!("slurmd-{node}"), daemon);
        }
        let started = std::time::Instant::now();
        loop {
            let output = Command::new("sinfo").args(["-h", "-o", "%D %t"]).output();
            let said = String::from_utf8(output.expect("sinfo").stdout).expect("UTF-8");
            if said.trim() == "2 idle" {
                return slurm;
            }
            assert!(
                started.elapsed() < Duration::from_secs(90),
                "{said}{}",
                slurm.logs()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// The command `portkeep`, as it finds `portkeep-fleet`.
    fn path(&self) -> String {
        let bin = self.directory.join("bin");
        fs::create_dir_all(&bin).expect("a directory");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = fleet ] && shift\nexec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_portkeep-fleet")
        );
        script(&bin.join("portkeep"), &text);
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display())
    }

    fn environment(&self, command: &mut Command, cluster: &Cluster<'_>) {
        command.env("PATH", self.path());
        command.env("PORTKEEP_STEWARD_SOCKET", cluster.socket());
    }

    fn munge(&mut self) {
        let key = self.file("munge.key");
        fs::write(&key, [7; 1024]).expect("write");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("a mode");
        let mut munged = Command::new("munged");
        munged.args([
            "--foreground",
            "--force",
            "--socket",
            "/run/munge/munge.socket.2",
        ]);
        for (option, file) in [
            ("--key-file", "munge.key"),
            ("--pid-file", "munged.pid"),
            ("--seed-file", "munge.seed"),
        ] {
            munged.arg(option).arg(self.file(file));
        }
        self.start("munged", munged);
        wait("munge answers", || {
            let done = Command::new("munge")
                .arg("-n")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            done.ok()?.success().then_some(())
        });
    }

    /// Slurm clears the environment of its scripts, so each gets what it would find in a configuration file.
    fn scripts(&self, names: &[&str]) {
        for name in names {
            let text = format!(
                "#!/bin/sh\nexport PATH='{}' PORTKEEP_SLURM_DIRECTORY='{}'\n. '{}'\nexec '{SCRIPTS}/{name}'\n",
                self.path(),
                self.file("grants"),
                self.file("environment"),
            );
            script(&self.directory.join(name), &text);
        }
    }

    fn configure(&self) {
        let text = format!(
            "ClusterName=t\nSlurmctldHost=ctl(10.98.0.1)\nSlurmUser=root\nStateSaveLocation={0}/state\n\
             SlurmdSpoolDir={0}/spool.%n\nSlurmctldPidFile={0}/ctl.pid\nSlurmdPidFile={0}/slurmd.%n.pid\n\
             SlurmctldLogFile={0}/ctl.log\nSlurmdLogFile={0}/slurmd.%n.log\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nSelectType=select/linear\nReturnToService=2\nMpiDefault=none\n\
             PrologSlurmctld={0}/prologctl\nEpilogSlurmctld={0}/epilogctl\nTaskProlog={0}/taskprolog\n\
             NodeName=n1 NodeAddr=10.98.0.11 CPUs=1 State=UNKNOWN\nNodeName=n2 NodeAddr=10.98.0.12 CPUs=1 State=UNKNOWN\n\
             PartitionName=p Nodes=ALL Default=YES State=UP\n",
            self.directory.display()
        );
        fs::write("/etc/slurm/slurm.conf", text).expect("write");
        fs::write("/etc/slurm/cgroup.conf", "CgroupPlugin=cgroup/v1\n").expect("write");
    }

    fn start(&mut self, name: &str, mut command: Command) {
        let log = fs::File::create(self.directory.join(format!("{name}.out"))).expect("a log");
        let other = log.try_clone().expect("a log");
        command.stdin(Stdio::null()).stdout(log).stderr(other);
        let child = command.spawn();
        self.daemons.push(
            child.unwrap_or_else(|error| panic!("{name}: {error}. Hint: scripts/set-up slurm")),
        );
    }

    fn logs(&self) -> String {
        let files = fs::read_dir(&self.directory).expect("read").flatten();
        let logs = files.map(|file| file.path()).filter(|path| {
            path.extension()
                .is_some_and(|end| end == "log" || end == "out")
        });
        logs.map(|path| {
            format!(
                "{}:\n{}\n",
                path.display(),
                fs::read_to_string(&path).unwrap_or_default()
            )
        })
        .collect()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// The same port on both nodes, open to the job's tasks and to nobody else; and free again after the job. A job that
/// does not ask has none.
pub fn jobs_learn_their_ports(sandbox: &Sandbox) {
    let cluster = Cluster::new(sandbox, 2, "61000-61999");
    let directory = sandbox.state_dir().join("slurm");
    fs::create_dir_all(&directory).expect("a directory");
    // On a machine each has its own; here one file has both nodes'.
    let environment = format!(
        "export PORTKEEP_STEWARD_SOCKET='{}'\ncase $SLURMD_NODENAME in\nn?) export PORTKEEP_STATE_DIR='{}/'$SLURMD_NODENAME ;;\nesac\n",
        cluster.socket().display(),
        sandbox.state_dir().display(),
    );
    fs::write(directory.join("environment"), environment).expect("write");
    let probe = "import os,socket\ns=socket.socket()\ns.bind(('',int(os.environ['MASTER_PORT'])))\ns.listen()\n\
                 print(os.environ['SLURMD_NODENAME'],os.environ['MASTER_PORT'],os.environ['SLURM_STEP_RESV_PORTS'])";
    let slurm = Slurm {
        directory: directory.clone(),
        daemons: Vec::new(),
    };
    slurm.scripts(&["prologctl", "epilogctl", "taskprolog"]);
    drop(slurm);
    let slurm = Slurm::new(&cluster);
    let mut job = Command::new("srun");
    job.args(["-N2", "--comment=portkeep:tcp=2", "python3", "-c", probe]);
    let output = job.output().expect("srun");
    let said = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(output.status.success(), "{output:?}\n{}", slurm.logs());
    let mut lines: Vec<Vec<&str>> = said.lines().map(|line| line.split(' ').collect()).collect();
    lines.sort();
    assert_eq!(
        (lines.len(), lines[0][0], lines[1][0]),
        (2, "n1", "n2"),
        "{said}"
    );
    assert_eq!(lines[0][1..], lines[1][1..], "{said}");
    let port: u16 = lines[0][1].parse().expect("a port");
    assert_eq!(lines[0][2], format!("{port}-{}", port + 1));
    cluster.wait_until_nothing_is_left();
    assert_eq!(cluster.bind(0, None, port), 0);

    let mut holding = Command::new("srun");
    holding.args([
        "-N2",
        "--comment=portkeep:tcp=1",
        "sh",
        "-c",
        "echo $PORT; exec sleep 1000000",
    ]);
    let mut holding = holding.stdout(Stdio::piped()).spawn().expect("srun");
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(holding.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut reader, &mut line).expect("read");
    let port: u16 = line
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{line}\n{}", slurm.logs()));
    for node in 0..2 {
        assert_eq!(cluster.bind(node, None, port), EADDRINUSE);
    }
    ok(Command::new("scancel").args(["--state=RUNNING", "--user=root"]));
    let _ = holding.wait();
    cluster.wait_until_nothing_is_left();

    let without =
        ok(Command::new("srun").args(["-N1", "sh", "-c", "echo ${PORTKEEP_GRANT:-none}"]));
    assert_eq!(without, "none\n");
}
