use serde::{Deserialize, Serialize};

use super::input::Refusal;
use crate::data::{Boot, Kind, Mode, Name, Obstacle, Ports, Report};
use crate::engine::Revision;

/// What the store keeps of a reservation of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Note {
    /// Whether it survives a reboot: a policy's does, a grant's does not.
    pub lasting: bool,
    /// Which ports.
    pub ports: Ports,
    /// Who may bind.
    pub consumers: Vec<String>,
    /// Which version of the wish it is.
    pub generation: u64,
    /// What it does to strangers.
    #[serde(default, skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
    /// The reservation whose place it takes: ports of that one are not in its way, and when that one is deleted,
    /// they stay closed for this one's consumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Name>,
}

/// How a reservation stands on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Something is still to be done.
    Pending,
    /// The kernel enforces it, and the engine knows.
    Held,
    /// The node cannot hold it, or does not any more.
    Not(Report),
    /// The node holds it, and the engine knows nothing of it. It stays until the operator says `forget`.
    Orphan,
    /// The node has released it.
    Released,
}

/// What the engine asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub kind: Kind,
    pub revision: Revision,
    pub ends: bool,
    pub committed: bool,
    pub ports: Ports,
    pub consumers: Vec<String>,
    pub generation: u64,
    pub mode: Mode,
    pub replaces: Option<Name>,
    pub successor: Option<Name>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Inbox {
    #[default]
    Unread,
    Absent,
    Is(Wanted),
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next {
    Note(Note),
    Create,
    Delete,
    Erase,
    Report(Report),
    /// Take back a report about what neither the engine nor the node has.
    Clean,
}

/// What the node knows of one reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub inbox: Inbox,
    /// What was asked last, also when the engine has lost it since.
    asked: Option<Note>,
    /// What has taken its place, by the word of its end, also when the engine has lost that since.
    pub successor: Option<Name>,
    /// What the engine has as this node's report.
    pub reported: Option<(Revision, Report, Boot)>,
    /// The version of the inbox entry that the report answers, and that the one under way does. A coordinator
    /// that dies while it deletes what is left makes the next one ask again, and the report may be gone.
    pub answered: Option<Revision>,
    answering: Option<Revision>,
    pub note: Option<Note>,
    pub enforced: bool,
    pub silent: bool,
    pub doing: Option<Next>,
    pub blocked: Option<Vec<Obstacle>>,
    /// Noted in this run, and no vote `held` of it has landed or may yet land: nobody can have counted it.
    pub fresh: bool,
    /// The operator's word on this node.
    pub forgotten: bool,
}

impl Entry {
    pub(super) fn found(note: Note, enforced: bool) -> Entry {
        Entry {
            note: Some(note),
            enforced,
            ..Entry::default()
        }
    }

    pub(super) fn wanted(&mut self, wanted: Wanted) {
        // The watch may repeat what a transaction's answer has said since.
        match &self.inbox {
            Inbox::Is(known) if known.revision > wanted.revision => {}
            _ => {
                self.asked = Some(wanted.note());
                self.successor.clone_from(&wanted.successor);
                self.inbox = Inbox::Is(wanted);
            }
        }
    }

    /// All of the inbox was read: what was not in it was absent.
    pub(super) fn listed(&mut self) {
        if self.inbox == Inbox::Unread {
            self.inbox = Inbox::Absent;
        }
    }

    pub(super) fn noted(&mut self, written: bool) {
        match self.doing.take() {
            Some(Next::Note(note)) if written => {
                self.note = Some(note);
                self.fresh = true;
            }
            _ => {
                self.blocked = Some(vec![Obstacle {
                    port: String::new(),
                    what: "the node's store cannot be written".into(),
                }]);
            }
        }
    }

    pub(super) fn created(&mut self, result: Result<(), Refusal>) {
        self.doing = None;
        match result {
            Ok(()) => self.enforced = true,
            Err(refusal) => self.blocked = Some(refusal.obstacles),
        }
    }

    pub(super) fn deleted(&mut self) {
        self.doing = None;
        self.enforced = false;
    }

    pub(super) fn erased(&mut self) {
        self.doing = None;
        self.note = None;
        self.fresh = false;
    }

    pub(super) fn replaces(&self) -> Option<&Name> {
        self.asked.as_ref()?.replaces.as_ref()
    }

    /// Whether the engine does not have it.
    pub(super) fn is_lost(&self) -> bool {
        self.inbox == Inbox::Absent
    }

    /// What the node holds of it, if it does.
    pub(super) fn held(&self) -> Option<&Note> {
        let note = self.asked.as_ref().or(self.note.as_ref());
        note.filter(|_| self.enforced)
    }

    /// Whether it is to be held, and is not yet.
    pub(super) fn is_to_be_held(&self) -> bool {
        let ends = match &self.inbox {
            Inbox::Is(wanted) => wanted.ends,
            Inbox::Absent => true,
            Inbox::Unread => false,
        };
        !self.enforced && !ends
    }

    pub(super) fn retry(&mut self) {
        let committed = matches!(&self.inbox, Inbox::Is(wanted) if wanted.committed);
        if let Some((_, report, _)) = &mut self.reported
            && matches!(report, Report::Conflict | Report::Lost | Report::Refused)
            && committed
            && self.doing.is_none()
        {
            self.blocked = None;
            *report = Report::Offering;
        }
    }

    pub(super) fn forget(&mut self) {
        self.forgotten = self.inbox == Inbox::Absent;
    }

    pub(super) fn is_nothing(&self) -> bool {
        let known = self.note.is_some() || self.enforced || self.doing.is_some();
        self.inbox == Inbox::Absent && !known
    }

    pub(super) fn vote_landed(&mut self, revision: Option<Revision>, boot: &Boot) {
        match (self.doing.take(), revision) {
            (Some(Next::Report(report)), Some(revision)) => {
                self.fresh &= report != Report::Held;
                self.answered = self.answering;
                self.reported = Some((revision, report, boot.clone()));
            }
            _ => self.reported = None,
        }
    }

    pub(super) fn vote_failed(&mut self) {
        self.doing = None;
    }

    pub(super) fn vote_lost(&mut self) {
        if self.doing.take() == Some(Next::Report(Report::Held)) {
            self.fresh = false;
        }
    }

    /// Remembers which version of the inbox entry is being answered.
    pub(super) fn answers(&mut self) {
        self.answering = match &self.inbox {
            Inbox::Is(wanted) => Some(wanted.revision),
            Inbox::Absent | Inbox::Unread => None,
        };
    }

    pub(super) fn obstacles(&self) -> &[Obstacle] {
        self.blocked.as_deref().unwrap_or_default()
    }

    pub(super) fn standing(&self, boot: &Boot) -> Standing {
        let held = self.note.is_some() || self.enforced;
        match (&self.inbox, &self.reported) {
            (Inbox::Absent, _) if held && !self.fresh => Standing::Orphan,
            (_, Some((_, Report::Released, _))) if !held => Standing::Released,
            (_, Some((_, Report::Held, voter))) if self.enforced && voter == boot => Standing::Held,
            (_, Some((_, report @ (Report::Refused | Report::Conflict | Report::Lost), _))) => {
                Standing::Not(*report)
            }
            _ => Standing::Pending,
        }
    }
}

impl Wanted {
    pub(super) fn note(&self) -> Note {
        Note {
            lasting: self.kind == Kind::Policy,
            ports: self.ports.clone(),
            consumers: self.consumers.clone(),
            generation: self.generation,
            mode: self.mode,
            replaces: self.replaces.clone(),
        }
    }
}
