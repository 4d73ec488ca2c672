//! The kernel's hashes of the programs' instructions, after it has filled in its own offsets: equal
//! ones are the same program for this kernel.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;

use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::skel::Skel as _;
use libbpf_rs::{Link, Program};

use crate::error::Error;
use crate::install::layout::Layout;
use crate::install::links::{self, HOOKS};
use crate::install::skeleton::PortkeepSkel;

pub type Tag = [u8; 8];
pub type ById = BTreeMap<u32, Tag>;
pub type ByHook = BTreeMap<String, Tag>;

/// Those of every program that the kernel has, by the program's id.
pub fn by_id() -> ById {
    ProgInfoIter::default()
        .map(|program| (program.id, program.tag.0))
        .collect()
}

/// Those of the loaded programs, by hook, from a list that was made since.
pub fn by_hook(skeleton: &PortkeepSkel<'_>, tags: &ById) -> ByHook {
    skeleton
        .object()
        .progs()
        .filter_map(|program| {
            let tag = tags.get(&Program::id_from_fd(program.as_fd()).ok()?)?;
            let name = program.name().to_string_lossy();
            Some((name.strip_prefix("portkeep_")?.to_owned(), *tag))
        })
        .collect()
}

/// Whether the same programs are attached already: then they have been proved on this kernel, for
/// pinned links do not outlive a boot.
pub fn are_attached(skeleton: &PortkeepSkel<'_>, layout: &Layout) -> Result<bool, Error> {
    let tags = by_id();
    let own = by_hook(skeleton, &tags);
    let attached = |path: &Path| -> Option<Tag> {
        let info = Link::open(path).ok()?.info().ok()?;
        tags.get(&info.prog_id).copied()
    };
    let directory = layout.links();
    let runs = |hook: &str, name: &str| {
        let tag = attached(&directory.join(name));
        tag.is_some() && tag == own.get(hook).copied()
    };
    let control = links::control_cgroups(layout)?;
    Ok(HOOKS.iter().all(|hook| runs(hook, hook))
        && !control.is_empty()
        && control.iter().all(|id| {
            ["getsockopt", "setsockopt"]
                .iter()
                .all(|hook| runs(hook, &format!("{hook}-{id}")))
        }))
}
