use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::connect::replace;

/// Which engine this node has obeyed, and how far it was. One that is another, or further back, is not to be
/// obeyed without the administrator's word: what it says is not the past of what was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    cluster: u64,
    revision: i64,
}

/// The file that remembers it over restarts.
#[derive(Debug)]
pub struct Memory {
    file: PathBuf,
    known: Option<Known>,
}

impl Memory {
    pub fn open(file: PathBuf) -> Memory {
        let text = fs::read(&file).unwrap_or_default();
        Memory {
            known: serde_json::from_slice(&text).ok(),
            file,
        }
    }

    /// Why the engine is not the one that was obeyed.
    pub fn differs(&self, cluster: u64, revision: i64) -> Option<String> {
        let known = self.known?;
        if known.cluster != cluster {
            return Some(format!(
                "another etcd cluster answers: {cluster:x}, it was {:x}",
                known.cluster
            ));
        }
        (revision < known.revision).then(|| {
            format!(
                "etcd is back at revision {revision}, it was at {}: restored from an old snapshot",
                known.revision
            )
        })
    }

    /// Remembers what was heard. On the disk only now and then: nodes at rest write nothing.
    pub fn heard(&mut self, cluster: u64, revision: i64) {
        let earlier = self.known.filter(|known| known.cluster == cluster);
        let revision = earlier.map_or(revision, |known| known.revision.max(revision));
        self.known = Some(Known { cluster, revision });
        if earlier.is_none() {
            self.save();
        }
    }

    /// Takes whatever answers next.
    pub fn forget(&mut self) {
        self.known = None;
        let _ = fs::remove_file(&self.file);
    }

    /// Puts it on the disk.
    pub fn save(&self) {
        if let Some(bytes) = self.known.and_then(|known| serde_json::to_vec(&known).ok()) {
            // Without it, an engine made anew while the agent is down is taken for the known one.
            if let Err(error) = replace(&self.file, &bytes) {
                crate::output::say(&format!("cannot write {}: {error}", self.file.display()));
            }
        }
    }
}
