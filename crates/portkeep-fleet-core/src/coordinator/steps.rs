use super::member::Member;
use super::{Answer, Coordinator, Effect, Goal, MAX_PIECES, MEMBERS_AT_ONCE, Slot};
use crate::data::{Key, Kind, Members, Phase, Record, Value, WantState};
use crate::engine::{Revision, Transaction};
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
        let mut transaction = Transaction::default().expect(key.clone(), None);
        // Names that nobody has a record for are swept.
        let names_first = self.rules.hold(Rule::NamesFirst);
        for (piece, revision) in self.listed.iter().filter(|_| names_first) {
            transaction =
                transaction.expect(Key::Members(self.id.clone(), *piece), Some(*revision));
        }
        let transaction = transaction.put(key, Value::Record(Box::new(draft.clone())));
        let transaction = self.ask(transaction, &draft, Member::is_asked, WantState::Want);
        Some(Effect::Apply(Point::Prepare, transaction))
    }

    fn prepare(&mut self, revision: Revision, record: &Record) -> Option<Effect> {
        self.refused |= self.members.values().any(Member::is_removed);
        if let (Some(old), Slot::Unread) = (&record.replaces, &self.replaced) {
            return Some(Effect::Look(vec![self.kind.record(old)]));
        }
        let in_turn = self.rules.hold(Rule::ChangesInTurn);
        if let (Some(earlier), None, true) = (self.earlier(), self.earlier, in_turn) {
            return Some(Effect::Look(vec![self.kind.record(earlier)]));
        }
        let unfinished = in_turn && self.earlier().is_some() && self.earlier != Some(false);
        self.outdated = record.replaces.is_some() && (!self.replaced_stands() || unfinished);
        if self.refused || self.outdated {
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
        if self.rules.hold(Rule::OneChange)
            && let (Some(old), Slot::At(at, replaced)) = (&record.replaces, &self.replaced)
        {
            let old = self.kind.record(old);
            let ending = Value::Record(Box::new(Record {
                successor: Some(self.id.clone()),
                ..replaced.with_phase(Phase::Ending)
            }));
            transaction = transaction.expect(old.clone(), Some(*at)).put(old, ending);
        }
        let committed = Value::Record(Box::new(record.with_phase(Phase::Committed)));
        Some(Effect::Apply(
            Point::Commit,
            transaction.put(key, committed),
        ))
    }

    fn finish(&mut self, revision: Revision, record: &Record) -> Option<Effect> {
        if !matches!(
            self.answer,
            Some(Answer::Refused { .. } | Answer::Ended | Answer::Outdated)
        ) {
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
            if !self.all_released() {
                return None;
            }
            self.forgetting = true;
        }
        Some(Effect::Apply(Point::Forget, self.forget(revision, record)))
    }

    fn all_released(&self) -> bool {
        let by_word = self.rules.hold(Rule::RemovedByWord);
        let mut members = self.members.values();
        members.all(|member| member.is_released(by_word))
    }

    /// Whether what this one takes the place of is committed.
    fn replaced_stands(&self) -> bool {
        matches!(&self.replaced, Slot::At(_, old) if old.phase == Phase::Committed)
    }

    fn why_it_ends(&self) -> Answer {
        if self.outdated {
            return Answer::Outdated;
        }
        if self.goal != Goal::Reserve || !(self.refused || self.over) {
            return Answer::Ended;
        }
        let members = self.members.iter();
        let refusals = members.clone().filter(|(_, member)| member.refuses());
        let by = refusals.filter_map(|(node, member)| Some((node.clone(), member.have()?.clone())));
        let same_boot = self.rules.hold(Rule::SameBoot);
        let silent = members.filter(|(_, member)| !member.refuses() && !member.holds(same_boot));
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
        let ending = Value::Record(Box::new(record.with_phase(Phase::Ending)));
        let transaction = self
            .guarded(revision)
            .put(self.kind.record(&self.id), ending);
        // Members of a grant hear of it by the same transaction, as many as fit.
        let transaction = self.ask(transaction, record, Member::is_told, WantState::End);
        Effect::Apply(Point::End, transaction)
    }
}
