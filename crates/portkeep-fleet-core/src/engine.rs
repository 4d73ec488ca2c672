//! How the engine is read and changed: what etcd's transactions can do, and nothing more.

use crate::data::{Key, Value};

/// The version of one key. It grows with every write of the key, also over its deletion (etcd's
/// `mod_revision`). Only revisions of one key are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versioned {
    /// The version.
    pub revision: Revision,
    /// The value.
    pub value: Value,
}

/// What a key held when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// The key.
    pub key: Key,
    /// Nothing, if the key was absent.
    pub found: Option<Versioned>,
}

/// What a transaction expects of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// The key.
    pub key: Key,
    /// The version that it has, or nothing if it is absent.
    pub revision: Option<Revision>,
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Writes a value.
    Put(Key, Value),
    /// Deletes a key, or does nothing if it is absent.
    Delete(Key),
}

impl Write {
    /// The key that changes.
    pub fn key(&self) -> &Key {
        match self {
            Write::Put(key, _) | Write::Delete(key) => key,
        }
    }
}

/// Changes that happen at one instant, if all keys are as expected. Otherwise the compared keys are read at
/// that instant. It has at most 128 compares and 128 changes, etcd's limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// What is expected.
    pub compares: Vec<Compare>,
    /// What changes then.
    pub writes: Vec<Write>,
}

impl Transaction {
    /// Expects a version of a key, too.
    #[must_use]
    pub fn expect(mut self, key: Key, revision: Option<Revision>) -> Transaction {
        self.compares.push(Compare { key, revision });
        self
    }

    /// Writes a value, too.
    #[must_use]
    pub fn put(mut self, key: Key, value: Value) -> Transaction {
        self.writes.push(Write::Put(key, value));
        self
    }

    /// Deletes a key, too.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Transaction {
        self.writes.push(Write::Delete(key));
        self
    }
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It happened. Each written key has this version.
    Done(Vec<(Key, Revision)>),
    /// It did not happen, for a key was not as expected. The compared keys, read at that instant.
    Differs(Vec<Read>),
    /// The answer was lost. It happened, will happen later, or never.
    Unknown,
}
