//! The list of reservations, compared with the model's.

use portkeep_tests::{Protocol, reservations};

use crate::model::Lifetime;
use crate::world::World;

impl World<'_> {
    /// Every reservation is listed as the model has it, and nothing else is; what has gone with its
    /// namespace may be.
    pub(crate) fn compare_with_listing(&mut self) -> Result<(), String> {
        let mut listed = reservations::list(self.sandbox);
        listed.retain(|line| self.netns.contains(&line.netns));
        let mut kept = Vec::new();
        for mut it in std::mem::take(&mut self.model.reservations) {
            let index = listed.iter().position(|line| {
                (line.netns, line.protocol == Protocol::Udp) == (self.netns[it.netns], it.udp)
                    && line.ports == it.ports()
            });
            let Some(index) = index else {
                if self.model.exists(it.netns) {
                    return Err(format!("{it:?} is not listed: {listed:?}"));
                }
                continue;
            };
            let line = listed.swap_remove(index);
            if it.token.is_none() {
                self.model.note_token(line.token)?;
            }
            it.token.get_or_insert(line.token);
            it.since.get_or_insert(line.since);
            let (pid, uid) = it.owner_ids();
            let (flags, lifetime, consumers) = in_words(&it.lifetime);
            let same = (it.token, it.since) == (Some(line.token), Some(line.since))
                && (pid, uid) == (line.pid, line.uid)
                && (flags, lifetime, consumers.as_str())
                    == (&*line.flags, &*line.lifetime, &*line.consumers);
            if !same {
                return Err(format!("{it:?} is listed as {line:?}"));
            }
            kept.push(it);
        }
        self.model.reservations = kept;
        match listed.as_slice() {
            [] => Ok(()),
            listed => Err(format!("there should not be {listed:?}")),
        }
    }
}

fn in_words(lifetime: &Lifetime) -> (&'static str, &'static str, String) {
    match lifetime {
        Lifetime::Runtime { flags, .. } => {
            let flags = match *flags {
                0 => "-",
                1 => "process",
                2 => "tree",
                3 => "process,tree",
                16 => "user",
                17 => "process,user",
                18 => "tree,user",
                19 => "process,tree,user",
                other => unreachable!("no such flags: {other}"),
            };
            (flags, "runtime", "-".into())
        }
        Lifetime::Persistent { consumers, .. } => {
            let words = consumers.iter().map(|(kind, id)| {
                let kind = ["?", "uid", "gid", "cgroup"][*kind as usize];
                format!("{kind}:{id}")
            });
            let words: Vec<_> = words.collect();
            let words = if words.is_empty() {
                "-".into()
            } else {
                words.join(",")
            };
            ("-", "persistent", words)
        }
    }
}
