use super::entry::{Entry, Inbox, Next, Wanted};
use crate::data::{Boot, Kind, Report};
use crate::rules::{Rule, Rules};

impl Entry {
    /// What is to be done next to agree with the engine.
    pub(super) fn next(&self, rules: Rules, boot: &Boot) -> Option<Next> {
        if self.doing.is_some() {
            return None;
        }
        let timed_out = self.silent && !rules.hold(Rule::NoTimeouts);
        match &self.inbox {
            Inbox::Is(wanted) if wanted.ends => self.end(wanted, rules),
            _ if timed_out => self.release(),
            Inbox::Is(wanted) => self.hold(wanted, rules, boot),
            Inbox::Absent if self.fresh || self.forgotten || !rules.hold(Rule::Evidence) => self
                .release()
                .or_else(|| self.reported.as_ref().map(|_| Next::Clean)),
            Inbox::Absent if self.note.is_none() && !self.enforced => {
                self.reported.as_ref().map(|_| Next::Clean)
            }
            Inbox::Absent | Inbox::Unread => None,
        }
    }

    fn hold(&self, wanted: &Wanted, rules: Rules, boot: &Boot) -> Option<Next> {
        let reported = self.reported.as_ref();
        let (report, same) = match reported {
            Some((_, report, voter)) => (Some(*report), voter == boot),
            None => (None, false),
        };
        let vote_first = !rules.hold(Rule::KernelFirst) && report.is_none();
        match report {
            Some(Report::Held) if self.enforced && same => return None,
            Some(Report::Held) if !self.enforced && rules.hold(Rule::KernelFirst) => {
                return Some(Next::Report(Report::Lost));
            }
            Some(Report::Refused | Report::Conflict | Report::Lost | Report::Released) => {
                return None;
            }
            Some(Report::Held | Report::Offering) | None => {}
        }
        if self.blocked.is_some() {
            let refused = match wanted.committed {
                true => Report::Conflict,
                false => Report::Refused,
            };
            return Some(match self.note {
                Some(_) => Next::Erase,
                None => Next::Report(refused),
            });
        }
        if vote_first {
            return Some(Next::Report(Report::Held));
        }
        let announces = wanted.kind == Kind::Policy && rules.hold(Rule::JoinersAnnounce);
        if announces && report.is_none() && !self.enforced {
            return Some(Next::Report(Report::Offering));
        }
        let note_first = rules.hold(Rule::WrittenFirst);
        if self.note.is_none() && (note_first || self.enforced) {
            return Some(Next::Note(wanted.note()));
        }
        Some(match self.enforced {
            false => Next::Create,
            true => Next::Report(Report::Held),
        })
    }

    fn end(&self, wanted: &Wanted, rules: Rules) -> Option<Next> {
        let report = self.reported.as_ref().map(|(_, report, _)| *report);
        let told = report == Some(Report::Released) && self.answered == Some(wanted.revision);
        let tell = (!told).then_some(Next::Report(Report::Released));
        match rules.hold(Rule::KernelFirst) {
            true => self.release().or(tell),
            false => tell.or_else(|| self.release()),
        }
    }

    fn release(&self) -> Option<Next> {
        if self.enforced {
            Some(Next::Delete)
        } else {
            self.note.as_ref().map(|_| Next::Erase)
        }
    }
}
