//! The steward: serves the users of its machine, and ends grants whose holder is gone.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Uid, User};
use portkeep_fleet_core::data::{Kind, Members, Name, Phase, Value};
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval, sleep, timeout};

use super::acquire::{HELD, acquire};
use super::local::{Answer, Granted, Listed, MAX_LINE, Request};
use super::release::{finish, goal, release};
use super::{holder, local};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::operator::drive::CLEANUP;
use crate::operator::fleet::Fleet;
use crate::operator::standing::Standing;
use crate::output::say;
use crate::socket::{self, read, write};

/// How long a process that connects may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many are served at a time. Holders are not counted once they hold.
const AT_A_TIME: usize = 64;

/// How it serves.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// A grant whose hold was missing for so long, without a break, ends.
    pub grace: Duration,
}

/// Serves for ever.
///
/// # Errors
///
/// If it cannot listen.
pub async fn serve(engine: Engine, terms: Terms) -> Result<()> {
    let path = local::path();
    let listener = listen(&path)
        .map_err(|error| Error::refused(format!("cannot listen at {}: {error}", path.display())))?;
    // The driver of a coordinator listens for these, so they do not end the process by themselves.
    let (mut end, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::spawn(look_after(engine.clone(), terms));
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = end.recv() => break,
            _ = interrupt.recv() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let engine = engine.clone();
                tokio::spawn(async move {
                    if let Ok(Some((id, user, stream))) = answer(&engine, stream).await {
                        drop(place);
                        keep(engine, id, user, stream).await;
                    }
                });
            }
            // Out of descriptors.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    let _ = std::fs::remove_file(&path);
    Ok(())
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // One that is alive keeps its place.
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    socket::listen(path)
}

/// Names are what nodes have in common; numbers may differ.
fn name(uid: u32) -> Result<String> {
    let user = User::from_uid(Uid::from_raw(uid));
    let user = user.ok().flatten().map(|user| user.name);
    user.ok_or_else(|| Error::refused(format!("user {uid} has no name on this machine")))
}

/// Answers one request; gives what is to be held from now on.
async fn answer(
    engine: &Engine,
    stream: UnixStream,
) -> io::Result<Option<(Name, String, BufReader<UnixStream>)>> {
    let uid = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let request = timeout(PATIENCE, read::<Request>(&mut stream, MAX_LINE)).await;
    let request = match request.map_err(|_| io::ErrorKind::TimedOut)? {
        Ok(request) => request,
        Err(error) => {
            let message = format!("not a request: {error}");
            write(stream.get_mut(), &Answer::Usage { message }).await?;
            return Ok(None);
        }
    };
    let (user, answer) = match name(uid) {
        Ok(user) => {
            let answer = carry_out(engine, &request, &user).await;
            (user, answer.unwrap_or_else(Answer::from))
        }
        Err(error) => (String::new(), error.into()),
    };
    let held = match (&request, &answer) {
        (Request::Acquire(wish), Answer::Granted(Granted { id, .. })) if wish.held => Some(id),
        (Request::Hold { id }, Answer::Held) => Some(id),
        _ => None,
    };
    let sent = write(stream.get_mut(), &answer).await;
    if let (Err(_), Answer::Granted(granted)) = (&sent, &answer) {
        // Nobody has heard of it.
        let _ = release(engine, &granted.id, "root", CLEANUP).await;
        return Ok(None);
    }
    sent?;
    Ok(held.map(|id| (id.clone(), user, stream)))
}

async fn carry_out(engine: &Engine, request: &Request, user: &str) -> Result<Answer> {
    match request {
        Request::Acquire(wish) => match &wish.owner {
            Some(owner) if owner != user && user != "root" => {
                Ok(Answer::refused("only root may ask for another user's job"))
            }
            owner => acquire(engine, wish, owner.as_deref().unwrap_or(user)).await,
        },
        Request::Release { id, wait } => {
            release(engine, id, user, Duration::from_secs((*wait).into())).await
        }
        Request::List => Ok(list(&Fleet::read(engine).await?, user)),
        Request::Hold { id } => {
            let reads = engine.read(&[Kind::Grant.record(id)]).await?;
            let found = reads.into_iter().next().and_then(|read| read.found);
            match found.map(|found| found.value) {
                Some(Value::Record(record))
                    if record.owner == user && record.phase == Phase::Committed =>
                {
                    Ok(Answer::Held)
                }
                _ => Ok(Answer::refused(format!("{user} has no grant {id}"))),
            }
        }
    }
}

/// A user's grants, or all of them for root.
fn list(fleet: &Fleet, user: &str) -> Answer {
    let grants = fleet.grants.iter();
    let own = grants.filter(|(_, record)| user == "root" || record.owner == user);
    let lost = |id: &Name| {
        let nodes = fleet.nodes.iter();
        let nodes = nodes.filter(move |(_, node)| Standing::of(id, node) == Standing::Lost);
        nodes.map(|(name, _)| name.clone()).collect()
    };
    let grants = own.map(|(id, record)| Listed {
        grant: id.clone(),
        owner: record.owner.clone(),
        phase: record.phase,
        ports: record.ports.clone().into(),
        nodes: match &record.members {
            Members::Listed(nodes) => nodes.clone(),
            Members::Pieces(_) => Vec::new(),
        },
        held: record.unknown.contains_key(HELD),
        lost: lost(id),
    });
    Answer::Grants {
        grants: grants.collect(),
    }
}

/// Until the holder's connection ends. The grant then ends once its hold has run out and has been missing for
/// long enough: by whichever steward sees that.
async fn keep(engine: Engine, id: Name, user: String, mut stream: BufReader<UnixStream>) {
    let gone = async {
        use tokio::io::AsyncReadExt as _;
        let mut byte = [0];
        let _ = stream.read(&mut byte).await;
    };
    tokio::select! {
        () = gone => {}
        () = holder::keep(engine, id, user) => {}
    }
}

/// Ends what nobody holds, and finishes what others began. A hold's absence is believed only after it was seen
/// for all of the grace, by this process's own clock, while the engine answered each time.
async fn look_after(engine: Engine, terms: Terms) {
    let pause = (terms.grace / 6).clamp(Duration::from_millis(200), Duration::from_secs(10));
    let mut missing: BTreeMap<Name, Instant> = BTreeMap::new();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        // This process was stopped, or the engine did not answer: what was seen before says nothing.
        let late = last.elapsed() > pause * 3;
        let fleet = Fleet::read(&engine).await;
        last = Instant::now();
        let Ok(fleet) = fleet else {
            missing.clear();
            continue;
        };
        if late {
            missing.clear();
        }
        let unheld: BTreeMap<Name, Phase> = fleet
            .grants
            .iter()
            .filter(|(id, record)| needs_hold(record) && !fleet.held.contains(*id))
            .map(|(id, record)| (id.clone(), record.phase))
            .collect();
        missing.retain(|id, _| unheld.contains_key(id));
        for (id, phase) in unheld {
            let since = *missing.entry(id.clone()).or_insert(last);
            if last.duration_since(since) < terms.grace {
                continue;
            }
            missing.remove(&id);
            match finish(&engine, &id, goal(phase), CLEANUP).await {
                Ok(_) if phase == Phase::Committed => {
                    say(&format!(
                        "the grant {id} was not held any more, and has ended"
                    ));
                }
                Ok(_) => {}
                Err(error) => say(&format!("cannot end the grant {id}: {}", error.message())),
            }
            last = Instant::now();
        }
    }
}

fn needs_hold(record: &portkeep_fleet_core::data::Record) -> bool {
    record.phase != Phase::Committed || record.unknown.contains_key(HELD)
}
