//! What makes the protocol safe. With the feature `simulation`, a test switches one rule off and shows
//! that a model, the simulator or the checker notices.

/// A rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The kernel holds before the node votes `held`, and has released before it reports `released`.
    KernelFirst,
    /// A node releases only what it has read an `end` for. Absence is no evidence.
    Evidence,
    /// No node releases because time has passed.
    NoTimeouts,
    /// The decision is a compare-and-set of the record.
    OneDecision,
    /// Each write of a coordinator expects the record as the coordinator has read it.
    GuardedWrites,
    /// Each vote expects the inbox entry that it answers.
    VoteForInbox,
    /// Each vote expects that its machine still acts for the node.
    VoteAsNode,
    /// What a node is about to offer is written into its store first, and counts as voted for from then on.
    WrittenFirst,
    /// A coordinator counts a vote only if the boot that cast it still acts for the node.
    SameBoot,
    /// A node that is not a listed member of a policy says on the engine that it is about to hold it, before
    /// it does; and a policy's end waits for all that said so.
    JoinersAnnounce,
    /// A change of a policy is committed, and what it takes the place of ends, in one transaction.
    OneChange,
    /// A node that is told to end what a policy has changed from holds what it has changed to first.
    SuccessorFirst,
    /// A change is committed only when nothing is left of what the last change took the place of: a node that sleeps
    /// through two of them knows nothing of what is in between.
    ChangesInTurn,
    /// A policy's record is made only if the names of its members are there.
    NamesFirst,
    /// An end waits for a member that is down until an operator removes that node.
    RemovedByWord,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 15] = [
        Rule::KernelFirst,
        Rule::Evidence,
        Rule::NoTimeouts,
        Rule::OneDecision,
        Rule::GuardedWrites,
        Rule::VoteForInbox,
        Rule::VoteAsNode,
        Rule::WrittenFirst,
        Rule::SameBoot,
        Rule::JoinersAnnounce,
        Rule::OneChange,
        Rule::SuccessorFirst,
        Rule::ChangesInTurn,
        Rule::NamesFirst,
        Rule::RemovedByWord,
    ];
}

/// Which rules hold: all, except in tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    #[cfg(feature = "simulation")]
    off: Option<Rule>,
}

impl Rules {
    /// All but one.
    #[cfg(feature = "simulation")]
    pub const fn without(rule: Rule) -> Rules {
        Rules { off: Some(rule) }
    }

    #[cfg(feature = "simulation")]
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    #[cfg(not(feature = "simulation"))]
    pub(crate) const fn hold(self, _rule: Rule) -> bool {
        true
    }
}
