use super::member::Member;
use super::{Answer, Coordinator, Effect, Goal, MAX_PIECES, MEMBERS_AT_ONCE, Slot};
use crate::data::{Key, Kind, Members, Name, Phase, Record, Value, Want, WantState};
use crate::engine::{Read, Revision, Transaction, Versioned, Write};
use crate::points::Point;
use crate::rules::Rule;

impl Coordinator {
    /// The next step, if none is under way.
    pub(super) fn settle(&mut self) -> Vec<Effect> {
        let before = self.answer.clone();
        let next = if self.doing.is_some() || self.looking {
            None
        } else {
            self.next()
        };
        match &next {
            Some(Effect::Apply(point, transaction)) => {
                self.doing = Some((*point, transaction.writes.clone()));
            }
            Some(Effect::Look(_) | Effect::Scan) => self.looking = true,
            _ => {}
        }
        let answer = self.answer.clone().filter(|_| before != self.answer);
        answer.map(Effect::Answer).into_iter().chain(next).collect()
    }

    fn next(&mut self) -> Option<Effect> {
        if matches!(
            self.answer,
            Some(Answer::Taken | Answer::Unknown | Answer::Gone)
        ) {
            return None;
        }
        let (revision, record) = match &self.record {
            Slot::Unread => return Some(Effect::Look(vec![self.kind.record(&self.id)])),
            Slot::Absent => return self.make(),
            Slot::At(revision, record) => (*revision, record.clone()),
        };
        if self.draft.is_some() && self.uncertain {
            self.claim();
            return self.next();
        }
        if record.phase == Phase::Committed && self.goal != Goal::Release {
            self.answer = Some(Answer::Committed);
            return None;
        }
        if record.phase == Phase::Committed {
            return Some(self.end(revision, &record));
        }
        if record.phase == Phase::Preparing && (self.goal != Goal::Reserve || self.over) {
            return Some(self.end(revision, &record));
        }
        if !self.named {
            self.named = true;
            let Members::Pieces(pieces) = record.members else {
                return None;
            };
            let keys =
                (0..pieces.min(MAX_PIECES)).map(|piece| Key::Members(self.id.clone(), piece));
            return Some(Effect::Look(keys.collect()));
        }
        if !self.looked {
            self.looked = true;
            let nodes = self.members.keys();
            return Some(Effect::Look(
                nodes.flat_map(|node| self.member_keys(node)).collect(),
            ));
        }
        match record.phase {
            Phase::Preparing => self.prepare(revision, &record),
            Phase::Committed | Phase::Ending => self.finish(revision, &record),
        }
    }

    fn make(&mut self) -> Option<Effect> {
        let Some(draft) = self.draft.clone() else {
            self.answer = Some(Answer::Gone);
            return None;
        };
        if self.uncertain {
            // Made and ended again by another, or yet to come: never made a second time under this ID.
            self.answer = Some(Answer::Unknown);
            return None;
        }
        if let Some(names) = self.unlisted.last() {
            let piece = u32::try_from(self.unlisted.len() - 1).ok()?;
            let key = Key::Members(self.id.clone(), piece);
            let transaction = Transaction::default().expect(key.clone(), None);
            let transaction = transaction.put(key, Value::Members(names.clone()));
            return Some(Effect::Apply(Point::List, transaction));
        }
        let key = self.kind.record(&self.id);
        let transaction = Transaction::default().expect(key.clone(), None);
        let transaction = transaction.put(key, Value::Record(draft.clone()));
        let transaction = self.ask(transaction, &draft, Member::is_asked, WantState::Want);
        Some(Effect::Apply(Point::Prepare, transaction))
    }

    fn prepare(&mut self, revision: Revision, record: &Record) -> Option<Effect> {
        if self.refused {
            return Some(self.end(revision, record));
        }
        let grant = self.kind == Kind::Grant;
        if grant && !self.members.values().all(Member::is_asked) {
            let guarded = self.guarded(revision);
            let ask = self.ask(guarded, record, Member::is_asked, WantState::Want);
            return Some(Effect::Apply(Point::Ask, ask));
        }
        let same_boot = self.rules.hold(Rule::SameBoot);
        if !self.members.values().all(|member| member.holds(same_boot)) {
            return None;
        }
        let key = self.kind.record(&self.id);
        let mut transaction = Transaction::default();
        if self.rules.hold(Rule::OneDecision) {
            transaction = transaction.expect(key.clone(), Some(revision));
            if self.members.len() <= MEMBERS_AT_ONCE && same_boot {
                transaction = self.expect_votes(transaction);
            }
        }
        let committed = Value::Record(record.with_phase(Phase::Committed));
        Some(Effect::Apply(
            Point::Commit,
            transaction.put(key, committed),
        ))
    }

    fn expect_votes(&self, mut transaction: Transaction) -> Transaction {
        for (node, member) in &self.members {
            if let Some((have, alive)) = member.counted() {
                let key = Key::Have(node.clone(), self.id.clone());
                transaction = transaction.expect(key, Some(have));
                transaction = transaction.expect(Key::Alive(node.clone()), Some(alive));
            }
        }
        transaction
    }

    fn finish(&mut self, revision: Revision, record: &Record) -> Option<Effect> {
        if !matches!(self.answer, Some(Answer::Refused { .. } | Answer::Ended)) {
            let reason = self.reason.take();
            self.answer = Some(reason.unwrap_or_else(|| self.why_it_ends()));
        }
        let policy = self.kind == Kind::Policy;
        if !self.forgetting {
            if policy && !self.scanned && self.rules.hold(Rule::JoinersAnnounce) {
                return Some(Effect::Scan);
            }
            if !policy && !self.members.values().all(Member::is_told) {
                let guarded = self.guarded(revision);
                let tell = self.ask(guarded, record, Member::is_told, WantState::End);
                return Some(Effect::Apply(Point::Tell, tell));
            }
            if !self.members.values().all(Member::is_released) {
                return None;
            }
            self.forgetting = true;
        }
        Some(Effect::Apply(Point::Forget, self.forget(revision, record)))
    }

    fn why_it_ends(&self) -> Answer {
        if self.goal != Goal::Reserve || !(self.refused || self.over) {
            return Answer::Ended;
        }
        let members = self.members.iter();
        let refusals = members.clone().filter(|(_, member)| member.refuses());
        let by = refusals.filter_map(|(node, member)| Some((node.clone(), member.have()?.clone())));
        let silent = members.filter(|(_, member)| member.have().is_none());
        Answer::Refused {
            by: by.collect(),
            silent: silent.map(|(node, _)| node.clone()).collect(),
        }
    }

    fn end(&mut self, revision: Revision, record: &Record) -> Effect {
        // What is known now says why; the members' releases will replace their refusals.
        if self.goal == Goal::Reserve && self.answer.is_none() {
            self.reason = Some(self.why_it_ends());
        }
        let ending = Value::Record(record.with_phase(Phase::Ending));
        let transaction = self
            .guarded(revision)
            .put(self.kind.record(&self.id), ending);
        Effect::Apply(Point::End, transaction)
    }

    fn guarded(&self, revision: Revision) -> Transaction {
        let transaction = Transaction::default();
        match self.rules.hold(Rule::GuardedWrites) {
            true => transaction.expect(self.kind.record(&self.id), Some(revision)),
            false => transaction,
        }
    }

    /// Adds inbox entries for the next members that have none yet.
    fn ask(
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
    fn forget(&self, revision: Revision, record: &Record) -> Transaction {
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
