//! The programs' attachments to cgroups, pinned one file each.
//!
//! A pinned link keeps its program attached without a process. Replacing the program behind a link
//! is one step for the kernel (`BPF_LINK_UPDATE`), so an upgrade never leaves a port unguarded.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libbpf_rs::Link;
use libbpf_rs::ProgramMut;
use libbpf_rs::query::LinkTypeInfo;

use crate::error::Error;
use crate::install::cgroup::Cgroup;
use crate::install::layout::Layout;
use crate::install::skeleton::PortkeepSkel;

/// The cgroup that a pinned link is attached to.
fn cgroup_of(path: &Path) -> Option<u64> {
    match Link::open(path).ok()?.info().ok()?.info {
        LinkTypeInfo::Cgroup(info) => Some(info.cgroup_id).filter(|&id| id != 0),
        _ => None,
    }
}

/// The hook that ends reservations: while it is attached, what is in the maps is true.
const RELEASE: &str = "sock_release";

/// The hooks that enforce, all attached to one cgroup.
pub const HOOKS: [&str; 7] = [
    RELEASE,
    "post_bind4",
    "post_bind6",
    "bind4",
    "bind6",
    "connect4",
    "connect6",
];

/// The cgroup that an installation is attached to. A link may be pinned and attached to nothing: an
/// interrupted removal detaches it first, and the kernel does when its cgroup and all sockets of it
/// have gone.
pub fn attached_to(layout: &Layout) -> Option<u64> {
    cgroup_of(&layout.links().join(RELEASE))
}

/// Makes `path` a link of the program to the cgroup: an existing one gets the program, unless it
/// is attached elsewhere.
fn put(program: &ProgramMut<'_>, cgroup: &Cgroup, path: &Path) -> Result<(), Error> {
    let failed = |doing: &str| {
        let doing = format!("{doing} {}", path.display());
        move |error| Error::bpf(doing, error)
    };
    if path.exists() && cgroup_of(path) == Some(cgroup.id) {
        let mut link = Link::open(path).map_err(failed("opening"))?;
        return link
            .update_prog(program)
            .map_err(failed("replacing the program behind"));
    }
    let mut link = program
        .attach_cgroup(cgroup.directory.as_raw_fd())
        .map_err(failed("attaching to the cgroup for"))?;
    if !path.exists() {
        return link.pin(path).map_err(failed("pinning"));
    }
    // Attached here before it is detached there, and one pin takes the place of the other.
    let new = path.with_file_name(format!(
        "{}-new",
        path.file_name().unwrap_or_default().display()
    ));
    let _ = fs::remove_file(&new);
    link.pin(&new).map_err(failed("pinning"))?;
    fs::rename(&new, path).map_err(|error| Error::path("replacing", path, error))
}

/// Detaches and unpins. Detaching first makes it take effect now: the kernel frees a link that is
/// merely unpinned some time later.
pub fn take_away(path: &Path) -> Result<(), Error> {
    if let Ok(link) = Link::open(path) {
        // A link whose cgroup has been removed is detached already.
        let _ = link.detach();
    }
    fs::remove_file(path).map_err(|error| Error::path("removing", path, error))
}

/// The programs that enforce, in the order of [`HOOKS`].
pub fn enforcing<'a, 'object>(
    skeleton: &'a PortkeepSkel<'object>,
) -> [&'a ProgramMut<'object>; HOOKS.len()] {
    let programs = &skeleton.progs;
    [
        &programs.portkeep_sock_release,
        &programs.portkeep_post_bind4,
        &programs.portkeep_post_bind6,
        &programs.portkeep_bind4,
        &programs.portkeep_bind6,
        &programs.portkeep_connect4,
        &programs.portkeep_connect6,
    ]
}

/// Attaches everything: enforcement at `cgroup`, the control calls at each of `control`. The
/// release hook comes first and the control calls last, so that nothing can be reserved before it
/// can be enforced and released.
pub fn put_all(
    skeleton: &PortkeepSkel<'_>,
    layout: &Layout,
    cgroup: &Cgroup,
    control: &[Cgroup],
) -> Result<(), Error> {
    let programs = &skeleton.progs;
    let links = layout.links();
    for (program, name) in enforcing(skeleton).into_iter().zip(HOOKS) {
        put(program, cgroup, &links.join(name))?;
    }
    let mut wanted = BTreeSet::new();
    for cgroup in control {
        for (program, hook) in [
            (&programs.portkeep_getsockopt, "getsockopt"),
            (&programs.portkeep_setsockopt, "setsockopt"),
        ] {
            let name = format!("{hook}-{}", cgroup.id);
            put(program, cgroup, &links.join(&name))?;
            wanted.insert(name);
        }
    }
    for name in control_links(layout)? {
        if !wanted.contains(&name) {
            take_away(&links.join(name))?;
        }
    }
    put_list(skeleton, layout)
}

/// The names of the links of the control calls.
fn control_links(layout: &Layout) -> Result<Vec<String>, Error> {
    let links = layout.links();
    let entries = fs::read_dir(&links).map_err(|error| Error::path("reading", &links, error))?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.contains("sockopt-"))
        .collect())
}

/// The ids of the cgroups whose processes can make the control calls.
pub fn control_cgroups(layout: &Layout) -> Result<Vec<u64>, Error> {
    let mut ids: Vec<u64> = control_links(layout)?
        .iter()
        .filter_map(|name| name.strip_prefix("setsockopt-")?.parse().ok())
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Pins the list of reservations, which everybody may read.
fn put_list(skeleton: &PortkeepSkel<'_>, layout: &Layout) -> Result<(), Error> {
    let path = layout.reservations();
    let program = &skeleton.progs.portkeep_list;
    let failed = |error| Error::bpf(format!("pinning {}", path.display()), error);
    if path.exists() {
        Link::open(&path)
            .map_err(failed)?
            .update_prog(program)
            .map_err(failed)?;
    } else {
        program
            .attach_iter(skeleton.maps.reservations.as_fd())
            .map_err(failed)?
            .pin(&path)
            .map_err(failed)?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444))
        .map_err(|error| Error::path("setting the mode of", &path, error))
}
