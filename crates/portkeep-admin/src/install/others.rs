//! Programs of others at the hooks that Portkeep uses.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use libbpf_rs::libbpf_sys as bpf;
use libbpf_rs::query::ProgInfoIter;

use crate::error::Error;
use crate::install::layout::first_mount;
use crate::install::{cgroup, features, links};
use crate::installation::Installation;

/// The hooks, by the names that `bpftool cgroup show` gives them: those that enforce, and the control calls.
const HOOKS: [(&str, bpf::bpf_attach_type); links::HOOKS.len() + 2] = [
    ("cgroup_inet4_bind", bpf::BPF_CGROUP_INET4_BIND),
    ("cgroup_inet6_bind", bpf::BPF_CGROUP_INET6_BIND),
    ("cgroup_inet4_connect", bpf::BPF_CGROUP_INET4_CONNECT),
    ("cgroup_inet6_connect", bpf::BPF_CGROUP_INET6_CONNECT),
    ("cgroup_inet4_post_bind", bpf::BPF_CGROUP_INET4_POST_BIND),
    ("cgroup_inet6_post_bind", bpf::BPF_CGROUP_INET6_POST_BIND),
    (
        "cgroup_inet_sock_release",
        bpf::BPF_CGROUP_INET_SOCK_RELEASE,
    ),
    ("cgroup_setsockopt", bpf::BPF_CGROUP_SETSOCKOPT),
    ("cgroup_getsockopt", bpf::BPF_CGROUP_GETSOCKOPT),
];

/// More programs than any cgroup has at a hook (`BPF_CGROUP_MAX_PROGS`).
const PROGRAMS_MAX: usize = 64;

/// A BPF program that is not Portkeep's, at a hook that Portkeep uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherProgram {
    /// The hook, as `bpftool cgroup show` calls it.
    pub hook: &'static str,
    /// The cgroup that it is attached to.
    pub cgroup: PathBuf,
    /// The program's id.
    pub id: u32,
    /// Its name; empty if it has none.
    pub name: String,
}

/// The programs of others at Portkeep's hooks, in the whole cgroup hierarchy.
///
/// # Errors
///
/// Without privilege.
pub fn other_programs(installation: &Installation) -> Result<Vec<OtherProgram>, Error> {
    features::require_privilege()?;
    let top = match &installation.cgroup {
        Some(cgroup) => cgroup.clone(),
        None => first_mount("cgroup2")?.unwrap_or_default(),
    };
    let mut found = Vec::new();
    look_below(&top, &mut found);
    if found.is_empty() {
        return Ok(found);
    }
    for program in ProgInfoIter::default() {
        for other in found.iter_mut().filter(|other| other.id == program.id) {
            other.name = program.name.to_string_lossy().into_owned();
        }
    }
    found.retain(|other| !other.name.starts_with("portkeep_"));
    Ok(found)
}

/// A cgroup that is removed meanwhile has none.
fn look_below(cgroup: &Path, found: &mut Vec<OtherProgram>) {
    let Ok(directory) = File::open(cgroup) else {
        return;
    };
    for (hook, kind) in HOOKS {
        found.extend(
            attached(&directory, kind)
                .into_iter()
                .map(|id| OtherProgram {
                    hook,
                    cgroup: cgroup.into(),
                    id,
                    name: String::new(),
                }),
        );
    }
    for child in cgroup::children(cgroup) {
        look_below(&child, found);
    }
}

fn attached(cgroup: &File, kind: bpf::bpf_attach_type) -> Vec<u32> {
    let mut ids = [0; PROGRAMS_MAX];
    let mut count = ids.len() as u32;
    let mut flags = 0;
    // SAFETY: the kernel writes to the flags, as many ids as the count says, and the count.
    let result = unsafe {
        bpf::bpf_prog_query(
            cgroup.as_raw_fd(),
            kind,
            0,
            &mut flags,
            ids.as_mut_ptr(),
            &mut count,
        )
    };
    match result {
        0 => ids.into_iter().take(count as usize).collect(),
        _ => Vec::new(),
    }
}
