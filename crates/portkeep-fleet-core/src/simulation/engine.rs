use std::collections::BTreeMap;

use crate::data::{Key, Value};
use crate::engine::{Outcome, Read, Revision, Transaction, Versioned, Write};

/// A strictly serializable store of versioned keys, as etcd is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Engine {
    keys: BTreeMap<Key, Versioned>,
    versions: BTreeMap<Key, u64>,
}

impl Engine {
    /// Applies a transaction.
    pub fn apply(&mut self, transaction: &Transaction) -> Outcome {
        let compares = &transaction.compares;
        let differs = |key: &Key, revision: &Option<Revision>| self.revision(key) != *revision;
        if compares
            .iter()
            .any(|compare| differs(&compare.key, &compare.revision))
        {
            let reads = compares.iter().map(|compare| self.read(&compare.key));
            return Outcome::Differs(reads.collect());
        }
        let writes = transaction.writes.iter().map(|write| match write {
            Write::Put(key, value) => (key.clone(), self.set(key, Some(value.clone()))),
            Write::Delete(key) => (key.clone(), self.set(key, None)),
        });
        Outcome::Done(writes.collect())
    }

    /// What a key holds now.
    pub fn read(&self, key: &Key) -> Read {
        Read {
            key: key.clone(),
            found: self.keys.get(key).cloned(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.keys.get(key).map(|found| &found.value)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.keys()
    }

    /// The keys from one on, in order.
    pub fn from<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Key> + use<'a> {
        self.keys.range(key..).map(|(key, _)| key)
    }

    /// Writes or deletes a key, whatever it held.
    pub fn set(&mut self, key: &Key, value: Option<Value>) -> Revision {
        let version = self.versions.entry(key.clone()).or_default();
        match value {
            Some(value) => {
                *version += 1;
                let revision = Revision(*version);
                self.keys.insert(key.clone(), Versioned { revision, value });
            }
            // Deleting what is not there is no write.
            None if self.keys.remove(key).is_some() => *version += 1,
            None => {}
        }
        Revision(*version)
    }

    fn revision(&self, key: &Key) -> Option<Revision> {
        self.keys.get(key).map(|found| found.revision)
    }
}
