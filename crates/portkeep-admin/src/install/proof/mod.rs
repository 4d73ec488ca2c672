//! Do the programs see what they must see on this kernel?
//!
//! The check for sockets reads the kernel's own tables. They have moved between versions before,
//! and a program that reads the wrong place would say "free" of every port. So before any program
//! takes effect, the programs are attached to a cgroup made for the purpose, and a child process in
//! it, in a network namespace of its own, binds one socket of each kind and asks. Where there are no
//! reservations yet, these are the programs that are installed afterwards: the verifier takes most
//! of the time of `enable`. Beside reservations in force it is a copy with maps of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use libbpf_rs::Link;
use portkeep_host::DEFAULT_POOL;

use crate::error::{Error, ErrorKind};
use crate::install::cgroup::Cgroup;
use crate::install::settings::Settings;
use crate::install::skeleton::PortkeepSkel;
use crate::install::{links, object, sys};

mod child;

use child::Outcome;

/// What the names of the proof's cgroups begin with.
const PREFIX: &str = "portkeep-proof-";

/// A cgroup that goes away again.
struct TemporaryCgroup(PathBuf);

impl TemporaryCgroup {
    fn create(below: &Path) -> Result<TemporaryCgroup, Error> {
        // Process ids are unique in their namespace only; another installer may have the same.
        for number in 0.. {
            let path = below.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(TemporaryCgroup(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::path("making the cgroup", &path, error)),
            }
        }
        unreachable!("the numbers do not end")
    }
}

impl Drop for TemporaryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Removes what killed installers left. The caller holds the lock.
pub fn sweep(cgroup: &Path) {
    let Ok(entries) = fs::read_dir(cgroup) else {
        return;
    };
    for entry in entries.flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            remove_when_idle(&entry.path());
        }
    }
}

/// The child process of a killed installer may still be in it; it soon ends.
fn remove_when_idle(cgroup: &Path) {
    for _ in 0..200 {
        match fs::remove_dir(cgroup) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

/// Runs the proof below the cgroup with a copy of the programs, and maps that go with it.
pub fn prove_copy(cgroup: &Path) -> Result<(), Error> {
    let mut storage = MaybeUninit::uninit();
    let skeleton = object::load(&mut storage, None)?;
    Settings::new(DEFAULT_POOL).write(&skeleton.maps.settings)?;
    prove(&skeleton, cgroup)
}

/// Runs the proof below the cgroup. The programs' maps have their settings and no reservation, and
/// have none afterwards.
pub fn prove(skeleton: &PortkeepSkel<'_>, cgroup: &Path) -> Result<(), Error> {
    let temporary = TemporaryCgroup::create(cgroup)?;
    let _links = attach(skeleton, &Cgroup::open(&temporary.0)?)?;
    let outcome = run_child(&temporary.0.join("cgroup.procs"))
        .map_err(|error| Error::system("running the proof of the kernel part", error))?;
    match outcome {
        Outcome::PASSED => Ok(()),
        Outcome { step, errno } => Err(Error::new(
            ErrorKind::ProofFailed,
            format!(
                "the programs do not work on this kernel: {} ({})",
                child::STEPS
                    .get(usize::from(step))
                    .unwrap_or(&"the child process failed"),
                match errno {
                    0 => "it succeeded".to_owned(),
                    errno => io::Error::from_raw_os_error(errno).to_string(),
                }
            ),
        )
        .with_hint("nothing was changed; please report this with the output of `uname -a`")),
    }
}

fn attach(skeleton: &PortkeepSkel<'_>, cgroup: &Cgroup) -> Result<Vec<Link>, Error> {
    let programs = &skeleton.progs;
    let control = [&programs.portkeep_getsockopt, &programs.portkeep_setsockopt];
    links::enforcing(skeleton)
        .into_iter()
        .chain(control)
        .map(|program| {
            program
                .attach_cgroup(cgroup.directory.as_raw_fd())
                .map_err(|error| Error::bpf("attaching to a cgroup", error))
        })
        .collect()
}

fn pipe() -> io::Result<(File, File)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    sys::check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: pipe2 succeeded, so both are open and nobody else's.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}

fn run_child(procs: &Path) -> io::Result<Outcome> {
    let procs = OpenOptions::new().write(true).open(procs)?;
    let (mut reader, writer) = pipe()?;
    // SAFETY: the child makes system calls only, until it exits; no lock that another thread may
    // have held at this instant is touched.
    let pid = sys::check(unsafe { libc::fork() })?;
    if pid == 0 {
        child::main(procs.as_raw_fd(), writer.as_raw_fd());
    }
    drop(writer);
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    wait_for(pid)?;
    read?;
    Ok(Outcome::from_bytes(&bytes))
}

fn wait_for(pid: libc::pid_t) -> io::Result<()> {
    let mut status = 0;
    loop {
        // SAFETY: `status` has room for the result; the child is ours and not yet waited for.
        match sys::check(unsafe { libc::waitpid(pid, &mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result.map(drop),
        }
    }
}
