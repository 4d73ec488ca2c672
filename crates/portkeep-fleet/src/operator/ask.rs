//! Questions to nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portkeep_fleet_core::data::{Ask, Key, Name, Question, Reply, Value};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use tokio::time::{Instant, timeout_at};

use crate::engine::{Engine, Event, MAX_OPERATIONS, Range};
use crate::error::{Error, Result};

/// What goes with whoever asks.
const LEASE: u32 = 15;

/// Asks nodes, and waits until all have answered, or for so long. Those that have not are not in the answer.
///
/// # Errors
///
/// If etcd does not answer.
pub async fn ask(
    engine: &Engine,
    nodes: &BTreeSet<Name>,
    question: &Ask,
    wait: Duration,
) -> Result<BTreeMap<Name, Reply>> {
    let id = random_name("q", 16)?;
    let mut watch = engine.watch(vec![Range::Prefix("n/".to_owned())]);
    let lease = engine.lease(LEASE).await?;
    let value = Value::Question(Question::new(question.clone()));
    let keys: Vec<Key> = nodes
        .iter()
        .map(|node| Key::Question(node.clone(), id.clone()))
        .collect();
    for keys in keys.chunks(MAX_OPERATIONS) {
        let puts = keys.iter().fold(Transaction::default(), |all, key| {
            all.put(key.clone(), value.clone())
        });
        if engine.transact_with(&puts, &lease).await? == Outcome::Unknown {
            lease.revoke().await;
            return Err(Error::undecided("etcd's answer was lost").with_hint("ask again"));
        }
    }
    let mut replies = BTreeMap::new();
    let end = Instant::now() + wait;
    while replies.len() < nodes.len() {
        let Ok(event) = timeout_at(end, watch.next()).await else {
            break;
        };
        let reads = match event {
            Event::Listed { listing, .. } => listing.reads,
            Event::Read(read) => vec![read],
            _ => Vec::new(),
        };
        for read in reads {
            if let (Key::Reply(node, of), Some(found)) = (&read.key, read.found)
                && *of == id
                && let Value::Reply(reply) = found.value
            {
                replies.insert(node.clone(), *reply);
            }
        }
    }
    // The questions go with it, and the agents delete their answers then.
    lease.revoke().await;
    Ok(replies)
}

/// A name that nobody has used before.
///
/// # Errors
///
/// If the prefix does not leave room for it.
pub fn random_name(prefix: &str, digits: usize) -> Result<Name> {
    const LETTERS: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut text = prefix.to_owned();
    let mut bits = 0;
    for digit in 0..digits {
        if digit % 12 == 0 {
            bits = crate::engine::random();
        }
        text.push(char::from(LETTERS[usize::try_from(bits % 32).unwrap_or(0)]));
        bits /= 32;
    }
    text.parse()
        .map_err(|error| Error::usage(format!("{text}: {error}")))
}
