//! What is wrong with an installation, piece by piece, without changing anything.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use libbpf_rs::query::LinkTypeInfo;
use libbpf_rs::{Link, MapHandle};

use crate::error::Error;
use crate::install::bpffs::Bpffs;
use crate::install::layout::Layout;
use crate::install::links::{self, HOOKS};
use crate::install::object::{self, PINNED_MAPS};
use crate::install::tags::{self, ByHook, ById};
use crate::install::{cgroup, features, proof};
use crate::installation::Installation;

/// Something that is not as [`install`](crate::install) makes it, which repairs it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// What should be pinned there is not, or cannot be opened.
    Missing(PathBuf),
    /// The attachment is pinned, but takes effect nowhere, or at another cgroup than the others.
    Detached(PathBuf),
    /// The program behind the attachment is that of another build of Portkeep.
    OtherBuild(PathBuf),
    /// Nothing of Portkeep's is to be there: an installation has been interrupted, or a control
    /// cgroup has been removed.
    Stale(PathBuf),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing(path) => write!(f, "{} is missing", path.display()),
            Fault::Detached(path) => write!(f, "{} is not attached", path.display()),
            Fault::OtherBuild(path) => {
                write!(
                    f,
                    "{} runs a program of another build of Portkeep",
                    path.display()
                )
            }
            Fault::Stale(path) => write!(f, "{} is left over", path.display()),
        }
    }
}

/// Fails, naming the first feature of the kernel that is missing; also without privilege.
///
/// # Errors
///
/// [`ErrorKind::MissingFeature`](crate::ErrorKind::MissingFeature),
/// [`ErrorKind::NotPermitted`](crate::ErrorKind::NotPermitted).
pub fn check_features() -> Result<(), Error> {
    object::keep_log();
    features::require_privilege()?;
    features::require_all()
}

/// Lets a copy of the programs prove that they see every kind of bound socket, in a cgroup and a
/// network namespace of their own: what [`install`](crate::install) does first.
///
/// # Errors
///
/// [`ErrorKind::ProofFailed`](crate::ErrorKind::ProofFailed), and those of the system calls.
pub fn prove(installation: &Installation) -> Result<(), Error> {
    object::keep_log();
    features::require_privilege()?;
    proof::prove_copy(&installation.find_cgroup()?)
}

/// What is wrong with the installation at the installation; nothing also where there is none.
///
/// # Errors
///
/// Without privilege, and when others than root have made what is there, or can change it.
pub fn faults(installation: &Installation) -> Result<Vec<Fault>, Error> {
    object::keep_log();
    let Some(layout) = Bpffs::find(installation)?.installation()? else {
        return Ok(Vec::new());
    };
    features::require_privilege()?;
    let top = installation.find_cgroup()?;
    let (tags, programs) = tags_of_this_build()?;
    let mut faults = Vec::new();
    for path in PINNED_MAPS.map(|name| layout.map(name)) {
        if MapHandle::from_pinned_path(&path).is_err() {
            faults.push(Fault::Missing(path));
        }
    }
    let attached = links::attached_to(&layout);
    let mut expected: Vec<(PathBuf, &str, Option<u64>)> = HOOKS
        .iter()
        .map(|&hook| (layout.links().join(hook), hook, attached))
        .collect();
    for id in links::control_cgroups(&layout)? {
        // A removed cgroup is told of as left over.
        let there = cgroup::find(&top, id).is_some();
        for hook in ["getsockopt", "setsockopt"] {
            let path = layout.links().join(format!("{hook}-{id}"));
            match there {
                true => expected.push((path, hook, Some(id))),
                false => faults.push(Fault::Stale(path)),
            }
        }
    }
    expected.push((layout.reservations(), "list", None));
    for (path, hook, cgroup) in &expected {
        faults.extend(fault_of_link(path, hook, *cgroup, &tags, &programs));
    }
    let known: BTreeSet<&Path> = expected
        .iter()
        .map(|(path, ..)| path.as_path())
        .chain(faults.iter().filter_map(|fault| match fault {
            Fault::Stale(path) => Some(path.as_path()),
            _ => None,
        }))
        .collect();
    let left: Vec<_> = left_over(&layout, &known).map(Fault::Stale).collect();
    faults.extend(left);
    Ok(faults)
}

/// `cgroup` is where it has to be attached; the list is attached to a map.
fn fault_of_link(
    path: &Path,
    hook: &str,
    cgroup: Option<u64>,
    tags: &ByHook,
    programs: &ById,
) -> Option<Fault> {
    let Some(info) = Link::open(path).ok().and_then(|link| link.info().ok()) else {
        return Some(Fault::Missing(path.into()));
    };
    if let LinkTypeInfo::Cgroup(link) = &info.info
        && (link.cgroup_id == 0 || Some(link.cgroup_id) != cgroup)
    {
        return Some(Fault::Detached(path.into()));
    }
    (programs.get(&info.prog_id) != tags.get(hook)).then(|| Fault::OtherBuild(path.into()))
}

/// Those of this build's programs, by hook, and those of all, by id. They have to be loaded for that.
fn tags_of_this_build() -> Result<(ByHook, ById), Error> {
    let mut storage = MaybeUninit::uninit();
    let skeleton = object::load(&mut storage, None)?;
    let programs = tags::by_id();
    Ok((tags::by_hook(&skeleton, &programs), programs))
}

fn left_over<'a>(
    layout: &'a Layout,
    known: &'a BTreeSet<&Path>,
) -> impl Iterator<Item = PathBuf> + 'a {
    let entries = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten();
    let is_map = |name: &OsStr| PINNED_MAPS.iter().any(|map| name == *map);
    let maps = entries(layout.maps()).filter(move |entry| !is_map(&entry.file_name()));
    maps.chain(entries(layout.links()))
        .map(|entry| entry.path())
        .filter(move |path| !known.contains(path.as_path()))
}
