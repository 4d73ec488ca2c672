//! What the runner reports and what it leaves behind.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use portkeep_tests::{Sandbox, proc};

use crate::bodies::wait_for;

/// Makes this binary run the bodies instead of the tests; its value is the shared directory.
pub(crate) const BODIES: &str = "PORTKEEP_TEST_BODIES";

pub(crate) fn a_passing_body_leaves_nothing(sandbox: &Sandbox) {
    let run = Run::of(sandbox, &["--exact", "bodies::passes"]);
    assert!(run.status.success(), "{}", run.output);
    assert!(
        run.output.contains("1 passed; 0 failed; 0 ignored"),
        "{}",
        run.output
    );
}

pub(crate) fn a_skipped_body_is_ignored_with_its_reason(sandbox: &Sandbox) {
    let run = Run::of(sandbox, &["--exact", "bodies::skips"]);
    assert!(run.status.success(), "{}", run.output);
    for words in ["ignored (no such feature)", "0 passed; 0 failed; 1 ignored"] {
        assert!(run.output.contains(words), "{}", run.output);
    }
    assert!(!run.output.contains("panicked"), "{}", run.output);
}

pub(crate) fn a_panic_fails_and_shows_the_output(sandbox: &Sandbox) {
    let run = Run::of(sandbox, &["--exact", "bodies::panics"]).failed("failed");
    assert!(run.output.contains("the last words"), "{}", run.output);
    assert!(run.output.contains("on purpose"), "{}", run.output);
}

pub(crate) fn a_plain_panic_fails(sandbox: &Sandbox) {
    Run::of(sandbox, &["--exact", "bodies::panics_plainly"]).failed("on purpose");
}

pub(crate) fn an_early_exit_fails(sandbox: &Sandbox) {
    Run::of(sandbox, &["--exact", "bodies::exits"]).failed("the body left through exit(0)");
}

pub(crate) fn a_signal_fails(sandbox: &Sandbox) {
    Run::of(sandbox, &["--exact", "bodies::crashes"]).failed("killed by SIGABRT");
}

pub(crate) fn a_hang_is_killed(sandbox: &Sandbox) {
    Run::of(sandbox, &["--exact", "bodies::hangs"]).failed("killed: not over in 1s");
}

pub(crate) fn a_hang_in_another_cgroup_is_killed(sandbox: &Sandbox) {
    Run::of(sandbox, &["--exact", "bodies::escapes_and_hangs"]).failed("killed: not over in 1s");
}

pub(crate) fn what_a_body_leaves_running_is_killed(sandbox: &Sandbox) {
    let run = Run::of(sandbox, &["--exact", "bodies::leaves_a_process"]);
    assert!(run.status.success(), "{}", run.output);
    let pid = fs::read_to_string(sandbox.state_dir().join("left")).expect("the process id");
    assert!(!is_running(&pid), "process {pid} is still there");
}

pub(crate) fn what_a_killed_runner_leaves_is_swept(sandbox: &Sandbox) {
    let mut first = command(sandbox, &["--exact", "bodies::waits_to_be_killed"])
        .spawn()
        .expect("start a runner");
    let waiting = sandbox.state_dir().join("waiting");
    wait_for(&waiting);
    let line = fs::read_to_string(waiting).expect("what the body wrote");
    let (cgroup, pid) = line.rsplit_once(' ').expect("a cgroup and a process id");
    assert!(Path::new(cgroup).exists() && is_running(pid));
    assert_eq!(leftovers(first.id()).len(), 2, "a cgroup and a directory");

    first.kill().expect("kill the runner");
    first.wait().expect("wait for the runner");
    let second = Run::of(sandbox, &["--exact", "bodies::passes"]);
    assert!(second.status.success(), "{}", second.output);
    assert!(!is_running(pid), "process {pid} is still there");
    // A third runner that sweeps at the same time may still be at it.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !leftovers(first.id()).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", leftovers(first.id()));
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn mounts_do_not_spread(sandbox: &Sandbox) {
    // As systemd mounts it: what is mounted in a copy of the namespace appears in the original.
    let (none, shared) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_SHARED);
    mount(none, "/", none, shared, none).expect("share the mounts");
    let run = Run::of(sandbox, &["--exact", "bodies::passes"]);
    assert!(run.status.success(), "{}", run.output);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let sandboxes = mounts.matches("/portkeep-test-").count();
    assert_eq!(sandboxes, 1, "only this sandbox's: {mounts}");
}

pub(crate) fn trials_run_side_by_side(sandbox: &Sandbox) {
    let run = Run::of(sandbox, &["--test-threads=2", "bodies::meets_"]);
    assert!(run.status.success(), "{}", run.output);
    assert!(
        run.output.contains("2 passed; 0 failed; 0 ignored"),
        "{}",
        run.output
    );
}

pub(crate) fn without_privilege_root_trials_are_ignored(_sandbox: &Sandbox) {
    for arguments in [[].as_slice(), &["--include-ignored"]] {
        let passed = proc::as_uid(65534, 65534, || {
            let mut command = Command::new("/proc/self/exe");
            let output = command.args(arguments).output().expect("run the tests");
            assert!(output.status.success(), "{output:?}");
            let output = String::from_utf8_lossy(&output.stdout);
            let root: Vec<_> = output
                .lines()
                .filter(|line| line.contains("[root]"))
                .collect();
            assert!(root.len() > 20, "{output}");
            assert!(
                root.iter().all(|line| line.contains("... ignored")),
                "{output}"
            );
            let summary = format!("1 passed; 0 failed; {} ignored", root.len());
            assert!(output.contains(&summary), "{output}");
            0
        });
        assert_eq!(passed, 0);
    }
}

/// A run of the bodies that is over.
struct Run {
    status: ExitStatus,
    output: String,
}

impl Run {
    /// Runs bodies and checks that nothing is left.
    fn of(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut runner = command(sandbox, arguments).spawn().expect("start a runner");
        let mut output = String::new();
        let mut stdout = runner.stdout.take().expect("its output");
        stdout.read_to_string(&mut output).expect("read its output");
        let status = runner.wait().expect("wait for the runner");
        assert_eq!(leftovers(runner.id()), [] as [PathBuf; 0], "{output}");
        Self { status, output }
    }

    /// Checks that one trial failed for this reason.
    #[track_caller]
    fn failed(self, reason: &str) -> Self {
        assert_eq!(self.status.code(), Some(101), "{}", self.output);
        assert!(
            self.output.contains("0 passed; 1 failed; 0 ignored"),
            "{}",
            self.output
        );
        // The reason of a plain trial is in the middle of a line.
        assert!(self.output.contains(reason), "{}", self.output);
        self
    }
}

fn command(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).env(BODIES, sandbox.state_dir());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The cgroups and directories that the runner with this process id made and that are still there.
fn leftovers(runner: u32) -> Vec<PathBuf> {
    // Beside this trial's own.
    let own = PathBuf::from(std::env::var_os("PORTKEEP_CGROUP").expect("a sandbox"));
    let cgroups = own.parent().expect("a directory").to_owned();
    let prefix = format!("portkeep-test-{runner}-");
    [cgroups, std::env::temp_dir()]
        .iter()
        .flat_map(|directory| fs::read_dir(directory).expect("list it"))
        .map(|entry| entry.expect("list it"))
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_running(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}
