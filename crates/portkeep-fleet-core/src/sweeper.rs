//! What a coordinator that died left behind, and no other coordinator finds: names of members without a record.

use std::collections::BTreeSet;

use crate::data::{Key, Name};
use crate::engine::{Read, Transaction};

/// The transactions that delete names of members that no policy has, given all policies and all names, as they
/// were at one instant.
///
/// A coordinator that has written its names and not its record yet is not harmed: it makes its record only if
/// the names are there, and begins again under another ID.
pub fn sweep(reads: &[Read]) -> Vec<Transaction> {
    let found = reads.iter().filter(|read| read.found.is_some());
    let policies: BTreeSet<&Name> = found
        .clone()
        .filter_map(|read| match &read.key {
            Key::Policy(id) => Some(id),
            _ => None,
        })
        .collect();
    let orphans = found.filter_map(|read| match &read.key {
        Key::Members(id, _) if !policies.contains(id) => Some((read, id)),
        _ => None,
    });
    orphans
        .map(|(read, id)| {
            let revision = read.found.as_ref().map(|found| found.revision);
            Transaction::default()
                .expect(Key::Policy(id.clone()), None)
                .expect(read.key.clone(), revision)
                .delete(read.key.clone())
        })
        .collect()
}
