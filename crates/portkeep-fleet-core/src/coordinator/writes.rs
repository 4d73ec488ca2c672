use super::member::Member;
use super::{Coordinator, MAX_PIECES};
use crate::data::{Key, Kind, Members, Name, Record, Value, Want, WantState};
use crate::engine::{Read, Revision, Transaction, Versioned, Write};
use crate::rules::Rule;

impl Coordinator {
    pub(super) fn expect_votes(&self, mut transaction: Transaction) -> Transaction {
        for (node, member) in &self.members {
            if let Some((have, alive)) = member.counted() {
                let key = Key::Have(node.clone(), self.id.clone());
                transaction = transaction.expect(key, Some(have));
                transaction = transaction.expect(Key::Alive(node.clone()), Some(alive));
            }
        }
        transaction
    }

    pub(super) fn guarded(&self, revision: Revision) -> Transaction {
        let transaction = Transaction::default();
        match self.rules.hold(Rule::GuardedWrites) {
            true => transaction.expect(self.kind.record(&self.id), Some(revision)),
            false => transaction,
        }
    }

    /// Adds inbox entries for the next members that have none yet.
    pub(super) fn ask(
        &self,
        mut transaction: Transaction,
        record: &Record,
        done: impl Fn(&Member) -> bool,
        state: WantState,
    ) -> Transaction {
        if self.kind == Kind::Policy {
            return transaction;
        }
        let open = self.members.iter().filter(|(_, member)| !done(member));
        for (node, _) in open.take(self.at_once) {
            let key = Key::Want(node.clone(), self.id.clone());
            transaction = transaction.put(key, Value::Want(Want::of(record, state)));
        }
        transaction
    }

    /// Deletes what is left: of a grant the inbox entries with their votes, and the record with the last of
    /// them. The nodes delete their reports of a policy, as it would be their inbox for as long as it is there.
    pub(super) fn forget(&self, revision: Revision, record: &Record) -> Transaction {
        let mut transaction = self.guarded(revision);
        if let Members::Pieces(pieces) = record.members {
            for piece in 0..pieces.min(MAX_PIECES) {
                transaction = transaction.delete(Key::Members(self.id.clone(), piece));
            }
            return transaction.delete(self.kind.record(&self.id));
        }
        let open = self
            .members
            .iter()
            .filter(|(_, member)| !member.is_forgotten());
        let open: Vec<&Name> = open.map(|(node, _)| node).collect();
        for node in open.iter().take(self.at_once) {
            let (node, id) = (*node, &self.id);
            transaction = transaction.delete(Key::Want(node.clone(), id.clone()));
            transaction = transaction.delete(Key::Have(node.clone(), id.clone()));
        }
        match open.len() <= self.at_once {
            true => transaction.delete(self.kind.record(&self.id)),
            false => transaction,
        }
    }

    /// A transaction happened: what it wrote is what the engine has.
    pub(super) fn landed(&mut self, writes: Vec<Write>, written: &[(Key, Revision)]) {
        for write in writes {
            let at = written.iter().find(|(key, _)| key == write.key());
            let Some((_, revision)) = at else {
                continue;
            };
            let (key, found) = match write {
                Write::Delete(key) => (key, None),
                Write::Put(key, value) => {
                    let revision = *revision;
                    (key, Some(Versioned { revision, value }))
                }
            };
            self.take(Read { key, found });
        }
    }
}
