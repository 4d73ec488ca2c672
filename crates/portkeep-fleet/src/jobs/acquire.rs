//! Acquiring: other nodes and numbers are tried where a node refuses.

use std::time::Duration;

use portkeep::Protocol;
use portkeep_fleet_core::coordinator::{Answer as Decided, Coordinator};
use portkeep_fleet_core::data::{Config, Key, Kind, Members, Record, Value};
use portkeep_fleet_core::rules::Rules;

use super::candidates::Candidates;
use super::local::{Answer, Granted};
use super::numbers::Numbers;
use super::quota::over;
use super::wish::Wish;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::operator::ask::random_name;
use crate::operator::drive::{CLEANUP, Patience, drive, hold};
use crate::operator::fleet::Fleet;
use crate::operator::report::{InTheWay, all};

/// How often numbers are chosen.
pub const TRIES: u32 = 8;

/// Marks a grant that ends with its holder.
pub const HELD: &str = "held";

/// Acquires for a user, by name.
///
/// # Errors
///
/// If etcd cannot be asked.
pub async fn acquire(engine: &Engine, wish: &Wish, owner: &str) -> Result<Answer> {
    let fleet = Fleet::read(engine).await?;
    let config = config(&fleet)?;
    let mut candidates = match Candidates::of(&fleet, wish) {
        Ok(candidates) => candidates,
        Err(answer) => return Ok(answer),
    };
    if owner != "root"
        && let Some(answer) = over(&config.quota, &fleet, wish, candidates.wanted, owner)
    {
        return Ok(answer);
    }
    let counts = [(Protocol::Tcp, wish.tcp), (Protocol::Udp, wish.udp)];
    let mut numbers = Numbers::new(&config, &fleet, counts)?;
    let mut in_the_way: Vec<InTheWay> = Vec::new();
    for tries in 1..=TRIES {
        let Some(nodes) = candidates.next() else {
            return Ok(none_left(in_the_way, candidates.wanted));
        };
        let ports = match numbers.choose(&fleet, &nodes) {
            Ok(ports) => ports,
            Err(message) => {
                return Ok(Answer::Refused {
                    message,
                    hint: None,
                    in_the_way,
                });
            }
        };
        let id = random_name("g", 10)?;
        let mut record = Record::preparing(ports.clone(), Members::Listed(nodes.clone()));
        record.owner = owner.to_owned();
        record.consumers = vec![format!("owner {owner}")];
        if wish.held {
            record.unknown.insert(HELD.to_owned(), true.into());
        }
        let lease = hold(engine, &id).await?;
        let rules = Rules::default();
        let coordinator = Coordinator::reserve(Kind::Grant, id.clone(), record, &nodes, rules);
        let patience = Patience {
            wait: Duration::from_secs(wish.wait.into()),
            cleanup: CLEANUP,
        };
        let driven = drive(engine, coordinator, patience).await;
        // The holder has made its own by now, or will within the time that a steward waits.
        lease.revoke().await;
        match driven?.answer {
            Decided::Committed => {
                return Ok(Answer::Granted(Granted {
                    id,
                    ports: ports.into(),
                    nodes,
                    tries,
                }));
            }
            Decided::Refused { by, silent } => {
                // Where one has refused, the others may not have had the time.
                let silent = if by.is_empty() { silent } else { Vec::new() };
                in_the_way = all(&by, &silent);
                for (node, have) in &by {
                    numbers.refused(&ports, have);
                    candidates.refused(node);
                }
                if !silent.is_empty() && !candidates.leave_out(&silent) {
                    break;
                }
            }
            Decided::Unknown => {
                return Ok(Answer::Undecided {
                    message: "whether it was granted is not known, as etcd's answer was lost; if it was, it ends"
                        .to_owned(),
                });
            }
            // Another steward has ended it, as one that was paused finds out.
            _ => {}
        }
    }
    Ok(Answer::Refused {
        message: format!("no block is free on all of the {} nodes", candidates.wanted),
        hint: Some("free the ports, or ask again: other numbers are tried".to_owned()),
        in_the_way,
    })
}

fn none_left(in_the_way: Vec<InTheWay>, wanted: usize) -> Answer {
    Answer::Refused {
        message: format!("fewer than {wanted} nodes can"),
        hint: None,
        in_the_way,
    }
}

/// What holds for the whole fleet.
///
/// # Errors
///
/// If there is none.
pub fn config(fleet: &Fleet) -> Result<Config> {
    let found = fleet.reads.iter().find(|read| read.key == Key::Config);
    match found
        .and_then(|read| read.found.as_ref())
        .map(|it| &it.value)
    {
        Some(Value::Config(config)) => Ok(config.clone()),
        _ => Err(Error::no_fleet()),
    }
}
