//! The connections.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::serve::named_process::Peer;
use crate::serve::request::Request;

/// How long a client may be silent; then what it has sent is all.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections a user may have; the oldest goes for a new one. A client that has asked is answered at
/// once, so these have not asked yet.
const PER_USER: usize = 512;

/// A connection.
#[derive(Debug)]
pub struct Client {
    pub socket: OwnedFd,
    pub peer: Peer,
    pub request: Request,
    since: Instant,
}

/// All connections that have not asked yet, by number; later ones have higher numbers.
#[derive(Debug)]
pub struct Clients {
    all: BTreeMap<u64, Client>,
    /// Some of these numbers may have gone.
    of_users: HashMap<u32, VecDeque<u64>>,
    last: u64,
    max: usize,
}

impl Clients {
    /// At most `max` at a time.
    pub fn new(max: usize) -> Self {
        Self {
            all: BTreeMap::new(),
            of_users: HashMap::new(),
            last: 0,
            max: max.max(1),
        }
    }

    pub fn add(&mut self, socket: OwnedFd, peer: Peer) -> u64 {
        let of_user = self.of_users.entry(peer.uid).or_default();
        of_user.retain(|number| self.all.contains_key(number));
        if of_user.len() >= PER_USER {
            let oldest = of_user.pop_front();
            oldest.and_then(|number| self.all.remove(&number));
        }
        if self.all.len() >= self.max {
            self.drop_of_the_biggest();
        }
        self.last += 1;
        self.of_users
            .entry(peer.uid)
            .or_default()
            .push_back(self.last);
        self.all.insert(
            self.last,
            Client {
                socket,
                peer,
                request: Request::default(),
                since: Instant::now(),
            },
        );
        self.last
    }

    /// Drops the oldest connection of the user who has the most; gives whether there was one.
    pub fn drop_of_the_biggest(&mut self) -> bool {
        let all = &mut self.all;
        for numbers in self.of_users.values_mut() {
            numbers.retain(|number| all.contains_key(number));
        }
        let biggest = self.of_users.values_mut().max_by_key(|them| them.len());
        let oldest = biggest.and_then(VecDeque::pop_front);
        oldest.and_then(|number| all.remove(&number)).is_some()
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Client> {
        self.all.get_mut(&number)
    }

    pub fn remove(&mut self, number: u64) -> Option<Client> {
        let client = self.all.remove(&number)?;
        if self.all.is_empty() {
            self.of_users.clear();
        }
        Some(client)
    }

    /// Those that have been silent for too long.
    pub fn late(&self) -> Vec<u64> {
        let late = self.all.iter();
        let late = late.take_while(|(_, client)| client.since.elapsed() >= PATIENCE);
        late.map(|(number, _)| *number).collect()
    }

    /// When the next one will be late.
    pub fn next_late(&self) -> Option<Duration> {
        let (_, oldest) = self.all.first_key_value()?;
        Some(PATIENCE.saturating_sub(oldest.since.elapsed()))
    }
}
