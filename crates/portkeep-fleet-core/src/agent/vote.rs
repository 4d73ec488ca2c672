use super::entry::{Entry, Inbox, Next};
use super::{Effect, Identity};
use crate::data::{Have, Key, Kind, Name, Report, Value};
use crate::engine::{Revision, Transaction};
use crate::rules::{Rule, Rules};

impl Entry {
    /// Starts a step.
    pub(super) fn start(
        &mut self,
        next: Next,
        id: &Name,
        identity: &Identity,
        alive: Revision,
        rules: Rules,
    ) -> Option<Effect> {
        let effect = match (&next, &self.inbox) {
            (Next::Clean, _) => Effect::Vote(id.clone(), self.clean(id, identity, alive)?),
            (Next::Delete, _) => Effect::Delete(id.clone()),
            (Next::Erase, _) => Effect::Erase(id.clone()),
            (Next::Note(note), _) => Effect::Note(id.clone(), note.clone()),
            (Next::Create, Inbox::Is(wanted)) => {
                // The note says what it was offered with, also to an agent that started since.
                let note = self.note.clone().unwrap_or_else(|| wanted.note());
                Effect::Create(id.clone(), note)
            }
            (Next::Report(report), Inbox::Is(_)) => {
                Effect::Vote(id.clone(), self.vote(*report, id, identity, alive, rules)?)
            }
            // Only an end or an absence leads here, and neither asks for these.
            (Next::Create | Next::Report(_), Inbox::Absent | Inbox::Unread) => {
                return None;
            }
        };
        self.answers();
        self.doing = Some(next);
        Some(effect)
    }

    fn vote(
        &self,
        report: Report,
        id: &Name,
        identity: &Identity,
        alive: Revision,
        rules: Rules,
    ) -> Option<Transaction> {
        let Inbox::Is(wanted) = &self.inbox else {
            return None;
        };
        let node = &identity.node;
        let inbox = match wanted.kind {
            Kind::Grant => Key::Want(node.clone(), id.clone()),
            Kind::Policy => Key::Policy(id.clone()),
        };
        let have = Key::Have(node.clone(), id.clone());
        let value = Have::new(
            report,
            identity.boot.clone(),
            wanted.generation,
            self.obstacles(),
        );
        let earlier = self.reported.as_ref().map(|(revision, ..)| *revision);
        // Expecting the last report keeps a vote of an earlier run, still under way, from replacing a later one.
        let mut transaction = Transaction::default().expect(have.clone(), earlier);
        if rules.hold(Rule::VoteForInbox) {
            transaction = transaction.expect(inbox, Some(wanted.revision));
        }
        if rules.hold(Rule::VoteAsNode) {
            transaction = transaction.expect(Key::Alive(node.clone()), Some(alive));
        }
        Some(transaction.put(have, Value::Have(value)))
    }

    fn clean(&self, id: &Name, identity: &Identity, alive: Revision) -> Option<Transaction> {
        let node = &identity.node;
        let have = Key::Have(node.clone(), id.clone());
        let (revision, ..) = self.reported.as_ref()?;
        let transaction = Transaction::default()
            .expect(have.clone(), Some(*revision))
            .expect(Key::Want(node.clone(), id.clone()), None)
            .expect(Key::Policy(id.clone()), None)
            .expect(Key::Alive(node.clone()), Some(alive));
        Some(transaction.delete(have))
    }
}
