//! Cgroups side by side, each with other programs at the hooks: what is done in them in turn, many
//! times, differs in nothing else.

use std::env;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use portkeep_admin::{InstallOptions, Installation, install, remove};
use portkeep_tests::{Sandbox, enable};

/// The `portkeep` of another revision, to compare with (`cargo xtask benchmarks --baseline`).
const BASELINE: &str = "PORTKEEP_BASELINE";

/// What is attached to a lane's cgroup.
#[derive(Debug)]
enum Programs {
    None,
    Idle(#[allow(dead_code, reason = "they are attached while it lives")] Vec<OwnedFd>),
    Portkeep(Installation),
    Baseline(Command),
}

#[derive(Debug)]
pub struct Lane {
    pub cgroup: PathBuf,
    programs: Programs,
}

impl Lane {
    fn new(sandbox: &Sandbox, name: &str, programs: impl FnOnce(&Path) -> Programs) -> Self {
        let cgroup = sandbox.cgroup().join(name);
        fs::create_dir_all(&cgroup).expect("make a cgroup");
        Self {
            programs: programs(&cgroup),
            cgroup,
        }
    }

    /// Nothing at all; on the other lanes' account the kernel has its hooks switched on.
    pub fn bare(sandbox: &Sandbox) -> Self {
        Self::new(sandbox, "bare", |_| Programs::None)
    }

    /// Programs that allow everything at once.
    pub fn idle(sandbox: &Sandbox) -> Self {
        Self::new(sandbox, "idle", |cgroup| {
            Programs::Idle(crate::hooks::attach_idle(cgroup))
        })
    }

    /// Portkeep, with control calls everywhere.
    pub fn portkeep(sandbox: &Sandbox) -> Self {
        Self::with_portkeep(sandbox, "portkeep", |_| Vec::new())
    }

    /// Portkeep, with control calls in a cgroup below, where nobody is.
    pub fn enforced(sandbox: &Sandbox) -> Self {
        Self::with_portkeep(sandbox, "enforced", |cgroup| vec![cgroup.join("control")])
    }

    fn with_portkeep(
        sandbox: &Sandbox,
        name: &str,
        control: impl Fn(&Path) -> Vec<PathBuf>,
    ) -> Self {
        Self::new(sandbox, name, |cgroup| {
            let control = control(cgroup);
            for cgroup in &control {
                fs::create_dir_all(cgroup).expect("make a cgroup");
            }
            let options = InstallOptions {
                installation: Installation {
                    cgroup: Some(cgroup.to_path_buf()),
                    bpffs: Some(file_system(sandbox, name)),
                    ..enable::installation(sandbox)
                },
                control,
                ..enable::options(sandbox)
            };
            install(&options).expect("install");
            Programs::Portkeep(options.installation)
        })
    }

    /// Portkeep as of another revision, see [`has_baseline`].
    pub fn baseline(sandbox: &Sandbox) -> Self {
        let program = env::var_os(BASELINE).expect("another revision");
        Self::new(sandbox, "baseline", |cgroup| {
            let command = |what| {
                let mut command = Command::new(&program);
                command
                    .arg(what)
                    .env("PORTKEEP_CGROUP", cgroup)
                    .env("PORTKEEP_BPFFS", file_system(sandbox, "baseline"))
                    .env("PORTKEEP_STATE_DIR", sandbox.state_dir().join("baseline"))
                    .stdout(Stdio::null());
                command
            };
            assert!(command("enable").status().expect("run it").success());
            Programs::Baseline(command("disable"))
        })
    }
}

/// Whether there is another revision to compare with.
pub fn has_baseline() -> bool {
    env::var_os(BASELINE).is_some()
}

impl Drop for Lane {
    fn drop(&mut self) {
        match &mut self.programs {
            Programs::None | Programs::Idle(_) => {}
            Programs::Portkeep(installation) => {
                let _ = remove(installation);
            }
            Programs::Baseline(disable) => {
                let _ = disable.status();
            }
        }
    }
}

/// A BPF file system of its own.
fn file_system(sandbox: &Sandbox, name: &str) -> PathBuf {
    let path = sandbox.state_dir().join(name).join("bpffs");
    if !path.exists() {
        fs::create_dir_all(&path).expect("make a directory");
        let bpf = Some("bpf");
        mount(bpf, &path, bpf, MsFlags::empty(), Some("mode=0755")).expect("mount a bpffs");
    }
    path
}

/// Keeps this process and those that it starts on one processor, so that no idle time of another
/// hides anything; until it is dropped.
#[derive(Debug)]
pub struct Pinned(CpuSet);

pub fn pin() -> Pinned {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this).expect("sched_getaffinity");
    let mut one = CpuSet::new();
    one.set(sched_getcpu().expect("sched_getcpu"))
        .expect("a processor");
    sched_setaffinity(this, &one).expect("sched_setaffinity");
    Pinned(before)
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.0).expect("sched_setaffinity");
    }
}
