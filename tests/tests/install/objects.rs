//! The kernel's BPF objects: which of them are ours, and whether they are gone.
//!
//! Other trials install at the same time, so a process of ours is marked: it has a real user id
//! that nobody else has, which the kernel notes with every program (`bpf_prog_info`), and the
//! effective one of root, which decides on what it may.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};
use libbpf_rs::{Link, MapCore, MapHandle};
use nix::unistd::{Uid, setresuid};

use crate::scene::eventually;

/// The objects that the marked processes make.
#[derive(Debug)]
pub(crate) struct Objects {
    uid: u32,
    seen: Ids,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) programs: BTreeSet<u32>,
    pub(crate) maps: BTreeSet<u32>,
    pub(crate) links: BTreeSet<u32>,
}

impl Objects {
    /// Marks this process and the children that it will have.
    pub(crate) fn mark() -> Self {
        let uid = 1_000_000_000 + std::process::id();
        let root = Uid::from_raw(0);
        setresuid(Uid::from_raw(uid), root, root).expect("set the real user id");
        let this = Self {
            uid,
            seen: Ids::default(),
        };
        assert_eq!(this.now(), Ids::default(), "somebody has the same mark");
        this
    }

    /// Those that are there now.
    pub(crate) fn now(&self) -> Ids {
        let mut ids = Ids::default();
        for program in ProgInfoIter::default().filter(|program| program.created_by_uid == self.uid)
        {
            ids.programs.insert(program.id);
            ids.maps.extend(program.map_ids);
        }
        let links = LinkInfoIter::default().filter(|link| ids.programs.contains(&link.prog_id));
        ids.links = links.map(|link| link.id).collect();
        ids
    }

    /// Remembers those that are there now.
    pub(crate) fn look(&mut self) -> Ids {
        let now = self.now();
        self.seen.programs.extend(&now.programs);
        self.seen.maps.extend(&now.maps);
        self.seen.links.extend(&now.links);
        now
    }

    /// Remembers others: no program may need a map that is pinned.
    pub(crate) fn remember(&mut self, others: &Ids) {
        self.seen.maps.extend(&others.maps);
        self.seen.links.extend(&others.links);
    }

    /// Asserts that none is there any more, nor any that was seen. The kernel frees them some time
    /// after the last reference has gone.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        eventually("the programs and links are freed", || {
            self.now() == Ids::default()
        });
        eventually("the maps are freed", || {
            !MapInfoIter::default().any(|map| self.seen.maps.contains(&map.id))
        });
        assert!(!LinkInfoIter::default().any(|link| self.seen.links.contains(&link.id)));
    }
}

/// What is pinned in a BPF file system's directories of maps and links.
pub(crate) fn pinned(bpffs: &Path) -> Ids {
    let mut ids = Ids::default();
    for entry in entries(&bpffs.join("portkeep/maps")) {
        let map = MapHandle::from_pinned_path(entry).expect("open a map");
        ids.maps
            .insert(map.info().expect("ask for the map").info.id);
    }
    for entry in entries(&bpffs.join("portkeep/links")) {
        let info = link_info(&entry);
        ids.links.insert(info.id);
        ids.programs.insert(info.prog_id);
    }
    ids
}

pub(crate) fn link_info(path: &Path) -> libbpf_rs::query::LinkInfo {
    let link = Link::open(path).expect("open a link");
    link.info().expect("ask for the link")
}

pub(crate) fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("list the pins");
    entries.flatten().map(|entry| entry.path()).collect()
}
