//! A watch that goes on: over members that die, over pauses, over compaction, over changed certificates.
//!
//! Events are hints. What is read twice, or in a batch, does no harm to who acts on what is there now.

use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use portkeep_fleet_core::engine::{Read, Versioned};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use super::error::Failure;
use super::read::revision;
use super::{Engine, EngineError, Listing, MAX_MESSAGE, Range, Unreadable, jitter};

/// So many events wait for a slow reader; etcd keeps the rest.
const QUEUE: usize = 256;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often a quiet stream's certificate is compared with its file.
const LOOK: Duration = Duration::from_secs(60);

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What all ranges had at one instant: at the beginning, after compaction, and after the engine was
    /// restored or made anew.
    Listed {
        /// What was there. What is not among it was absent.
        listing: Listing,
        /// The ID of etcd's cluster.
        cluster: u64,
    },
    /// A key has changed.
    Read(Read),
    /// A key has changed, to what nobody is to act on.
    Unreadable(Unreadable),
    /// The connection is lost. The watch goes on by itself.
    Lost(EngineError),
    /// The connection is there again, and nothing was missed. A watch from now on begins with it.
    Resumed,
}

/// A watch of some ranges. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<Event>,
}

impl Watch {
    /// The next event. May be cancelled without losing one.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends only with this receiver.
            None => std::future::pending().await,
        }
    }
}

/// Why a stream ended.
enum End {
    /// List again.
    Stale,
    /// Go on where it was.
    Broken(Failure),
    /// The certificate's file has changed, or another request has found the member gone.
    Moved,
    /// Nobody reads the events.
    Unread,
}

impl From<etcd_client::Error> for End {
    fn from(error: etcd_client::Error) -> End {
        End::Broken(error.into())
    }
}

struct Task {
    engine: Engine,
    ranges: Vec<Range>,
    /// For each range, the first revision that was not seen. 0: the one after now.
    next: Vec<i64>,
    /// What is there already is not listed.
    from_now: bool,
    /// That it has begun is to be told.
    awaited: bool,
    cluster: u64,
    events: mpsc::Sender<Event>,
    lost: bool,
    pause: Duration,
}

impl Engine {
    /// Lists the ranges, then tells each change. To be called within a runtime.
    pub fn watch(&self, ranges: Vec<Range>) -> Watch {
        self.watch_from(ranges, false)
    }

    /// Tells each change after [`Event::Resumed`]. A watch whose past has to be looked up waits at etcd for up to 100 ms
    /// until somebody does that; this one has none.
    pub fn watch_from_now(&self, ranges: Vec<Range>) -> Watch {
        self.watch_from(ranges, true)
    }

    fn watch_from(&self, ranges: Vec<Range>, from_now: bool) -> Watch {
        let (sender, events) = mpsc::channel(QUEUE);
        let task = Task {
            engine: self.clone(),
            next: vec![0; ranges.len()],
            ranges,
            from_now,
            awaited: from_now,
            cluster: 0,
            events: sender,
            lost: false,
            pause: FIRST_PAUSE,
        };
        tokio::spawn(task.run());
        Watch { events }
    }
}

impl Task {
    async fn run(mut self) {
        let events = self.events.clone();
        tokio::select! {
            () = events.closed() => {}
            () = self.go_on() => {}
        }
    }

    async fn go_on(&mut self) {
        loop {
            if !std::mem::take(&mut self.from_now) && !self.list().await {
                return;
            }
            loop {
                match self.follow().await {
                    End::Stale => break,
                    End::Moved => sleep(jitter(FIRST_PAUSE)).await,
                    End::Unread => return,
                    End::Broken(failure) => {
                        let denied = matches!(failure, Failure::Certain(_));
                        if !self.failed(failure.error()).await {
                            return;
                        }
                        // What the role may read has changed: nothing is known of what was missed.
                        if denied {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Tells what is there. False, if nobody reads it.
    async fn list(&mut self) -> bool {
        loop {
            let error = match self.engine.list_all(&self.ranges).await {
                Ok(listing) => {
                    self.cluster = self.engine.cluster().unwrap_or_default();
                    self.next.fill(listing.revision + 1);
                    (self.lost, self.awaited) = (false, false);
                    let cluster = self.cluster;
                    return self.tell(Event::Listed { listing, cluster }).await;
                }
                Err(error) => error,
            };
            if !self.failed(error).await {
                return false;
            }
        }
    }

    async fn tell(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    async fn failed(&mut self, error: EngineError) -> bool {
        let first = !std::mem::replace(&mut self.lost, true);
        if first && !self.tell(Event::Lost(error)).await {
            return false;
        }
        sleep(jitter(self.pause)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// Watches from where it was to the end of the stream.
    async fn follow(&mut self) -> End {
        let connection = &self.engine.inner.connection;
        let connected = match connection.get().await {
            Ok(connected) => connected,
            Err(error) => return End::Broken(Failure::Unknown(error)),
        };
        let generation = connected.generation;
        let wait = self.engine.config().timing.answer();
        let opened = timeout(wait, self.open(connected.client)).await;
        let mut stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.engine.inner.connection.leave(generation);
                return error.into();
            }
            Err(_) => {
                self.engine.inner.connection.leave(generation);
                let text = "no answer to a watch".to_owned();
                return End::Broken(Failure::Unknown(EngineError::Unreachable(text)));
            }
        };
        let end = self.read(&mut stream, generation).await;
        if matches!(end, End::Broken(_)) {
            self.engine.inner.connection.leave(generation);
        }
        end
    }

    async fn open(&self, client: etcd_client::Client) -> Result<WatchStream, etcd_client::Error> {
        let mut client = client.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let mut stream: Option<WatchStream> = None;
        for (number, range) in (1..).zip(&self.ranges) {
            let (from, end) = self.engine.bounds(range);
            let mut options = WatchOptions::new()
                .with_watch_id(number)
                .with_start_revision(self.next[index(number)])
                .with_progress_notify();
            if let Some(end) = end {
                options = options.with_range(end);
            }
            match &mut stream {
                Some(stream) => stream.watch(from, Some(options)).await?,
                None => stream = Some(client.watch(from, Some(options)).await?),
            }
        }
        stream.ok_or_else(|| etcd_client::Error::WatchError("nothing to watch".to_owned()))
    }

    async fn read(&mut self, stream: &mut WatchStream, generation: u64) -> End {
        let mut look = interval(LOOK);
        look.tick().await;
        let mut created = 0;
        loop {
            let connection = &self.engine.inner.connection;
            let answer = tokio::select! {
                answer = stream.message() => answer,
                () = connection.left(generation) => return End::Moved,
                _ = look.tick() => match connection.is_current(generation) {
                    true => continue,
                    false => return End::Moved,
                }
            };
            let answer = match answer {
                Ok(Some(answer)) => answer,
                Ok(None) => {
                    let text = "the watch has ended".to_owned();
                    return End::Broken(Failure::Unknown(EngineError::Unreachable(text)));
                }
                Err(error) => return error.into(),
            };
            let header = answer.header();
            if let Some(header) = header {
                if self.cluster == 0 {
                    self.cluster = header.cluster_id();
                }
                if header.cluster_id() != self.cluster {
                    return End::Stale;
                }
            }
            self.engine.heard(header);
            if answer.canceled() {
                return canceled(&answer);
            }
            if answer.created() {
                created += 1;
                if let Some(end) = self.is_behind(&answer).await {
                    return end;
                }
                if let (Some(next @ 0), Some(header)) =
                    (self.next.get_mut(index(answer.watch_id())), header)
                {
                    *next = header.revision() + 1;
                }
                if created == self.ranges.len() {
                    self.pause = FIRST_PAUSE;
                    let tell = std::mem::take(&mut self.lost) | std::mem::take(&mut self.awaited);
                    if tell && !self.tell(Event::Resumed).await {
                        return End::Unread;
                    }
                }
                continue;
            }
            if !self.pass_on(&answer).await {
                return End::Unread;
            }
        }
    }

    /// A member may lag, and etcd waits for a revision of the future without a word. But if the whole
    /// engine is behind, it was restored from a snapshot, and what was seen is not its past.
    async fn is_behind(&self, answer: &WatchResponse) -> Option<End> {
        let seen = self.next[index(answer.watch_id())] - 1;
        let header = answer.header()?;
        if header.revision() >= seen {
            return None;
        }
        let nothing = Range::Prefix("nothing/".to_owned());
        let range = self.ranges.first().unwrap_or(&nothing);
        match self.engine.list_all(std::slice::from_ref(range)).await {
            Ok(listing) if listing.revision < seen => Some(End::Stale),
            Ok(_) => None,
            Err(error) => Some(End::Broken(Failure::Unknown(error))),
        }
    }

    async fn pass_on(&mut self, answer: &WatchResponse) -> bool {
        let index = index(answer.watch_id());
        // Without events it tells how far the watch is.
        let mut seen = match answer.events() {
            [] => answer.header().map_or(0, |header| header.revision()),
            _ => 0,
        };
        for event in answer.events() {
            let Some(found) = event.kv() else { continue };
            seen = seen.max(found.mod_revision());
            let Some(key) = self.engine.key(found.key()) else {
                continue;
            };
            let read = |found| {
                Event::Read(Read {
                    key: key.clone(),
                    found,
                })
            };
            let event = match event.event_type() {
                EventType::Delete => read(None),
                EventType::Put => match self.engine.decode(&key, found.value()) {
                    Ok(value) => read(Some(Versioned {
                        revision: revision(found.mod_revision()),
                        value,
                    })),
                    Err(why) => Event::Unreadable(Unreadable {
                        key,
                        why: why.to_string(),
                    }),
                },
            };
            if !self.tell(event).await {
                return false;
            }
        }
        if let Some(next) = self.next.get_mut(index) {
            *next = (*next).max(seen + 1);
        }
        true
    }
}

/// Watches have the numbers from 1 on; 0 is etcd's choice.
fn index(watch: i64) -> usize {
    usize::try_from(watch - 1).unwrap_or_default()
}

fn canceled(answer: &WatchResponse) -> End {
    let reason = answer.cancel_reason();
    if answer.compact_revision() > 0 {
        return End::Stale;
    }
    if reason.contains("PermissionDenied") || reason.contains("permission denied") {
        return End::Broken(Failure::Certain(EngineError::Denied(reason.to_owned())));
    }
    End::Broken(Failure::Unknown(EngineError::Unreachable(
        reason.to_owned(),
    )))
}
