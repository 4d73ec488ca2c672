use crate::data::{Boot, Have, Key, Report, Value, WantState};
use crate::engine::{Revision, Versioned};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot<T> {
    Unread,
    Absent,
    At(Revision, T),
}

impl<T> Slot<T> {
    /// Takes what was read. The watch may repeat what a transaction's answer has said since.
    fn take(&mut self, found: Option<(Revision, T)>) {
        match (&*self, found) {
            (Slot::At(known, _), Some((revision, _))) if *known > revision => {}
            (_, Some((revision, value))) => *self = Slot::At(revision, value),
            (_, None) => *self = Slot::Absent,
        }
    }

    fn get(&self) -> Option<(Revision, &T)> {
        match self {
            Slot::At(revision, value) => Some((*revision, value)),
            Slot::Unread | Slot::Absent => None,
        }
    }
}

/// What a coordinator has read of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    want: Slot<WantState>,
    have: Slot<Have>,
    alive: Slot<Boot>,
    removed: bool,
}

impl Member {
    /// A member of a reservation that is not made yet. Who acts for the node is still to be read.
    pub(super) fn absent() -> Member {
        Member {
            want: Slot::Absent,
            have: Slot::Absent,
            alive: Slot::Unread,
            removed: false,
        }
    }

    pub(super) fn unread() -> Member {
        Member {
            want: Slot::Unread,
            have: Slot::Unread,
            alive: Slot::Unread,
            removed: false,
        }
    }

    pub(super) fn take(&mut self, key: &Key, found: Option<Versioned>) {
        let found = found.map(|found| (found.revision, found.value));
        match key {
            Key::Alive(_) => self.alive.take(found.and_then(|(at, value)| match value {
                Value::Alive(alive) => Some((at, alive.boot)),
                _ => None,
            })),
            Key::Want(..) => self.want.take(found.and_then(|(at, value)| match value {
                Value::Want(want) => Some((at, want.state)),
                _ => None,
            })),
            Key::Have(..) => self.have.take(found.and_then(|(at, value)| match value {
                Value::Have(have) => Some((at, have)),
                _ => None,
            })),
            Key::Removed(_) => self.removed = found.is_some(),
            _ => {}
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    pub(super) fn is_asked(&self) -> bool {
        self.want != Slot::Absent
    }

    pub(super) fn is_told(&self) -> bool {
        matches!(self.want, Slot::At(_, WantState::End))
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.want == Slot::Absent && self.have == Slot::Absent
    }

    pub(super) fn have(&self) -> Option<&Have> {
        self.have.get().map(|(_, have)| have)
    }

    fn report(&self) -> Option<Report> {
        self.have().map(|have| have.report)
    }

    /// Whether the end waits for it no longer.
    pub(super) fn is_released(&self, by_word: bool) -> bool {
        let down = !by_word && self.alive == Slot::Absent;
        self.report() == Some(Report::Released) || self.removed || down
    }

    pub(super) fn refuses(&self) -> bool {
        let report = self.report();
        report.is_some_and(|report| !matches!(report, Report::Held | Report::Offering))
    }

    /// Whether the node holds it. The vote counts only if the boot that cast it still acts for the node.
    pub(super) fn holds(&self, same_boot: bool) -> bool {
        let Some(have) = self.have() else {
            return false;
        };
        let acting = self.alive.get().map(|(_, boot)| boot);
        have.report == Report::Held && (!same_boot || acting == Some(&have.boot))
    }

    /// What the vote was counted on: the versions of the vote and of the node's presence.
    pub(super) fn counted(&self) -> Option<(Revision, Revision)> {
        let (have, _) = self.have.get()?;
        let (alive, _) = self.alive.get()?;
        Some((have, alive))
    }
}
