use etcd_client::{GetOptions, GetResponse, Txn, TxnOp, TxnOpResponse};
use portkeep_fleet_core::data::Key;
use portkeep_fleet_core::engine::{Read, Revision, Versioned};

use super::error::Failure;
use super::{Engine, EngineError, MAX_MESSAGE, MAX_OPERATIONS, TRIES};

/// So many keys are asked for at once.
const PAGE: i64 = 1000;

/// Some of the fleet's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// One key.
    Key(Key),
    /// All keys that begin with this, below the fleet's prefix: `policy/`, `n/media-17/`.
    Prefix(String),
}

/// A key whose value nobody is to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The key.
    pub key: Key,
    /// Why.
    pub why: String,
}

/// What some ranges had at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The keys that were there. All others were absent.
    pub reads: Vec<Read>,
    /// Keys that were there, with values that this version does not understand.
    pub unreadable: Vec<Unreadable>,
    /// The revision of that instant.
    pub revision: i64,
}

impl Engine {
    /// Reads keys, up to 128 of them at one instant.
    ///
    /// # Errors
    ///
    /// If etcd does not answer, or has a value that this version does not understand.
    pub async fn read(&self, keys: &[Key]) -> Result<Vec<Read>, EngineError> {
        let mut reads = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MAX_OPERATIONS) {
            let gets: Vec<TxnOp> = keys
                .iter()
                .map(|key| TxnOp::get(self.path(key), None))
                .collect();
            let answer = self.ask(|client| {
                let txn = Txn::new().and_then(gets.clone());
                async move {
                    let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
                    kv.txn(txn).await
                }
            });
            let answer = answer.await.map_err(Failure::error)?;
            self.heard(answer.header());
            reads.extend(self.reads(keys, &answer.op_responses())?);
        }
        Ok(reads)
    }

    pub(super) fn reads(
        &self,
        keys: &[Key],
        answers: &[TxnOpResponse],
    ) -> Result<Vec<Read>, EngineError> {
        let answers = answers.iter().map(|answer| match answer {
            TxnOpResponse::Get(found) => found.kvs().first(),
            _ => None,
        });
        let reads = keys.iter().zip(answers).map(|(key, found)| {
            let found = found.map(|found| {
                Ok(Versioned {
                    revision: revision(found.mod_revision()),
                    value: self.decode(key, found.value())?,
                })
            });
            Ok(Read {
                key: key.clone(),
                found: found.transpose()?,
            })
        });
        reads.collect()
    }

    /// Lists what begins with a prefix below the fleet's, and the revision of that instant.
    ///
    /// # Errors
    ///
    /// If etcd does not answer.
    pub async fn list(&self, prefix: &str) -> Result<Listing, EngineError> {
        self.list_all(&[Range::Prefix(prefix.to_owned())]).await
    }

    /// Lists several ranges, as they were at one instant.
    ///
    /// # Errors
    ///
    /// If etcd does not answer.
    pub async fn list_all(&self, ranges: &[Range]) -> Result<Listing, EngineError> {
        let (mut page, mut tries) = (PAGE, 0);
        loop {
            tries += 1;
            match self.list_paged(ranges, page).await {
                Ok(listing) => return Ok(listing),
                // Compacted meanwhile, or more than fits into one answer.
                Err(Failure::OutOfRange(_)) if tries < TRIES => page = (page / 4).max(1),
                Err(failure) => return Err(failure.error()),
            }
        }
    }

    async fn list_paged(&self, ranges: &[Range], page: i64) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        for range in ranges {
            let (mut from, end) = self.bounds(range);
            loop {
                let mut options = GetOptions::new()
                    .with_limit(page)
                    .with_revision(listing.revision);
                if let Some(end) = &end {
                    options = options.with_range(end.clone());
                }
                let answer = self.get(from.clone(), options).await?;
                if listing.revision == 0 {
                    listing.revision = answer.header().map_or(0, |header| header.revision());
                }
                self.collect(&answer, &mut listing);
                match answer.kvs().last() {
                    Some(last) if answer.more() => {
                        from = last.key().to_vec();
                        from.push(0);
                    }
                    _ => break,
                }
            }
        }
        Ok(listing)
    }

    async fn get(&self, from: Vec<u8>, options: GetOptions) -> Result<GetResponse, Failure> {
        let answer = self.ask(|client| {
            let (from, options) = (from.clone(), options.clone());
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
                kv.get(from, Some(options)).await
            }
        });
        let answer = answer.await?;
        self.heard(answer.header());
        Ok(answer)
    }

    fn collect(&self, answer: &GetResponse, listing: &mut Listing) {
        for found in answer.kvs() {
            let Some(key) = self.key(found.key()) else {
                continue;
            };
            match self.decode(&key, found.value()) {
                Ok(value) => {
                    let revision = revision(found.mod_revision());
                    let found = Some(Versioned { revision, value });
                    listing.reads.push(Read { key, found });
                }
                Err(why) => listing.unreadable.push(Unreadable {
                    key,
                    why: why.to_string(),
                }),
            }
        }
    }

    /// The first key, and the first one after the range.
    pub(super) fn bounds(&self, range: &Range) -> (Vec<u8>, Option<Vec<u8>>) {
        match range {
            Range::Key(key) => (self.path(key).into_bytes(), None),
            Range::Prefix(prefix) => {
                let start = format!("{}{prefix}", self.prefix()).into_bytes();
                let mut end = start.clone();
                // A prefix ends in `/` or a letter, so the byte after it exists.
                if let Some(last) = end.last_mut() {
                    *last = last.saturating_add(1);
                }
                (start, Some(end))
            }
        }
    }
}

pub(super) fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or_default())
}
