use super::{Agent, Effect};
use crate::data::{Alive, Boot, FORMAT, Key, Unknown, Value};
use crate::engine::{Outcome, Revision, Transaction, Versioned};

/// Whether this agent acts for its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Acting {
    NotYet,
    Asking,
    Yes(Revision),
    /// Another machine has the name. This one does nothing until the other is gone.
    Other(Boot),
}

impl Agent {
    /// The other machine that acts for this node's name, if there is one.
    pub fn other_machine(&self) -> Option<&Boot> {
        match &self.acting {
            Acting::Other(boot) => Some(boot),
            _ => None,
        }
    }

    pub(super) fn announce(&mut self, revision: Option<Revision>) -> Vec<Effect> {
        self.acting = Acting::Asking;
        let key = Key::Alive(self.identity.node.clone());
        let alive = Value::Alive(Alive {
            format: FORMAT,
            boot: self.identity.boot.clone(),
            unknown: Unknown::new(),
        });
        let transaction = Transaction::default().expect(key.clone(), revision);
        vec![Effect::Announce(transaction.put(key, alive))]
    }

    pub(super) fn announced(&mut self, outcome: Outcome) -> Vec<Effect> {
        match outcome {
            Outcome::Done(written) => {
                if let Some((_, revision)) = written.first() {
                    self.acting = Acting::Yes(*revision);
                }
                self.settle_all()
            }
            Outcome::Differs(reads) => {
                self.acting = Acting::NotYet;
                self.read(reads)
            }
            Outcome::Unknown => self.announce(None),
        }
    }

    pub(super) fn alive_read(&mut self, found: Option<Versioned>) -> Vec<Effect> {
        let (revision, boot) = match found {
            None if self.acting == Acting::Asking => return Vec::new(),
            None => return self.announce(None),
            Some(Versioned {
                revision,
                value: Value::Alive(alive),
            }) => (revision, alive.boot),
            Some(_) => return Vec::new(),
        };
        if self.acting == Acting::Yes(revision) || self.acting == Acting::Asking {
            return Vec::new();
        }
        if boot.machine == self.identity.boot.machine {
            // An earlier run, whose votes under way must not count from now on.
            return self.announce(Some(revision));
        }
        self.acting = Acting::Other(boot);
        Vec::new()
    }
}
