//! A kernel part for one command: made, used, and taken away again.
//!
//! It is pinned in a BPF file system that only our mount namespace has, so the kernel takes it away
//! with the last process in there, however that ends. What then is left, a cgroup without processes and
//! a directory, the next `./try` removes.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::cgroup;
use crate::directory::Directory;
use crate::signals::Signals;

/// The kernel part, and where it is.
#[derive(Debug)]
pub struct Scene {
    directory: Directory,
    portkeep: PathBuf,
    top: PathBuf,
    cgroup: Option<PathBuf>,
}

/// Removes what a killed one has left, but nothing that its command still uses.
pub fn sweep(portkeep: &Path) {
    let left = || -> anyhow::Result<Option<Scene>> {
        let Some(directory) = Directory::take_if_there()? else {
            return Ok(None);
        };
        let cgroup = directory.cgroup();
        if cgroup.as_deref().map_or(Ok(false), cgroup::is_populated)? {
            return Ok(None);
        }
        directory.furnish()?;
        Ok(Some(Scene {
            directory,
            portkeep: portkeep.to_owned(),
            top: cgroup::top()?,
            cgroup,
        }))
    };
    // If another one has it, it is not left.
    if let Ok(Some(scene)) = left() {
        scene.take_away();
    }
}

impl Scene {
    /// Enables it, with nothing of us left behind if that fails.
    pub fn set_up(portkeep: &Path, signals: &Signals) -> anyhow::Result<Self> {
        let mut scene = Self {
            directory: Directory::take()?,
            portkeep: portkeep.to_owned(),
            top: cgroup::top()?,
            cgroup: None,
        };
        if scene.directory.cgroup().is_some() {
            bail!("the command of a ./try that has been killed has it for itself");
        }
        let result = scene.make(signals);
        if result.is_err() {
            scene.take_away();
        }
        result.map(|()| scene)
    }

    fn make(&mut self, signals: &Signals) -> anyhow::Result<()> {
        self.directory.furnish().context("making directories")?;
        let cgroup = self.make_cgroup()?;
        hide_mounts_below(&self.directory.bpffs()).context("making a mount namespace")?;
        let mut enable = self.portkeep(["enable", "--control"], signals);
        let output = enable.arg(cgroup).output().context("portkeep")?;
        io::stderr().write_all(&output.stderr)?;
        if !output.status.success() {
            bail!("`portkeep enable` has failed");
        }
        Ok(())
    }

    fn make_cgroup(&mut self) -> anyhow::Result<PathBuf> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for place in cgroup::places(&self.top) {
            self.directory.set_cgroup(&place)?;
            result = fs::create_dir(&place);
            if result.is_ok() {
                self.cgroup = Some(place.clone());
                return Ok(place);
            }
        }
        result.map(|()| PathBuf::new()).context("making a cgroup")
    }

    /// The command with the environment of the scene, out of reach of the terminal's signals.
    fn portkeep<const N: usize>(&self, words: [&str; N], signals: &Signals) -> Command {
        let mut command = Command::new(&self.portkeep);
        command.args(words).envs(self.environment());
        command.stdin(Stdio::null()).process_group(0);
        signals.restore_in(&mut command);
        command
    }

    /// What leads Portkeep to the scene.
    pub fn environment(&self) -> [(&'static str, impl AsRef<OsStr>); 3] {
        [
            ("PORTKEEP_CGROUP", self.top.clone()),
            ("PORTKEEP_BPFFS", self.directory.bpffs()),
            ("PORTKEEP_STATE_DIR", self.directory.state()),
        ]
    }

    /// The cgroup of the command and of what it leaves running.
    pub fn cgroup(&self) -> &Path {
        self.cgroup.as_deref().unwrap_or(&self.top)
    }

    /// Removes everything, and says what cannot be removed.
    pub fn take_away(&self) {
        if let Err(error) = self.clear() {
            eprintln!("try: cannot take the kernel part away: {error:#}");
        }
    }

    fn clear(&self) -> anyhow::Result<()> {
        // It also takes back what the store has put into `ip_local_reserved_ports`.
        let mut disable = Command::new(&self.portkeep);
        disable
            .arg("disable")
            .envs(self.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        let disabled = disable.status().context("portkeep disable");
        // Where it was not ours to unmount, or was left behind by a failure.
        let _ = umount2(&self.directory.bpffs(), MntFlags::MNT_DETACH);
        if let Some(cgroup) = &self.cgroup {
            cgroup::remove(cgroup).with_context(|| format!("removing {}", cgroup.display()))?;
        }
        self.directory.remove().context("removing the directory")?;
        if !disabled?.success() {
            bail!("`portkeep disable` has failed");
        }
        Ok(())
    }
}

/// Enters a mount namespace where what is mounted at a directory stays unseen from outside. All other
/// mounts are shared on as they were.
fn hide_mounts_below(directory: &Path) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    let root = mount_point(directory)?;
    if mount(none, &root, none, MsFlags::MS_SLAVE, none).is_err() {
        // A bind mount, or a chroot.
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    }
    Ok(())
}

/// The directory at which the file system of a directory is mounted.
fn mount_point(directory: &Path) -> io::Result<PathBuf> {
    let device = fs::metadata(directory)?.dev();
    let inside = |path: &&Path| fs::metadata(path).is_ok_and(|data| data.dev() == device);
    let root = directory.ancestors().take_while(inside).last();
    Ok(root.unwrap_or(directory).to_owned())
}
