use std::ops::{BitOr, BitOrAssign};

use super::abi;

/// How [`create`](crate::sockopt::create) reserves. No flag is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CreateFlags(u32);

impl CreateFlags {
    /// Sockets that are bound in the block are not in the way; they stay bound
    /// (`PORTKEEP_ADOPT`).
    pub const ADOPT: CreateFlags = CreateFlags(abi::PORTKEEP_ADOPT);
    /// The range is a whole persistent block that is there already: it gets these consumers at one
    /// instant, and nothing else of it changes (`PORTKEEP_CHANGE`).
    pub const CHANGE: CreateFlags = CreateFlags(abi::PORTKEEP_CHANGE);
    /// In every network namespace, those to come included, but where an older reservation holds
    /// a port (`PORTKEEP_EVERY_NETNS`). It takes `CAP_NET_ADMIN` over the initial namespace.
    pub const EVERY_NETNS: CreateFlags = CreateFlags(abi::PORTKEEP_EVERY_NETNS);

    /// The flags of the kernel ABI.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for CreateFlags {
    type Output = CreateFlags;

    fn bitor(self, other: CreateFlags) -> CreateFlags {
        CreateFlags(self.0 | other.0)
    }
}

impl BitOrAssign for CreateFlags {
    fn bitor_assign(&mut self, other: CreateFlags) {
        *self = *self | other;
    }
}

/// What [`delete`](crate::sockopt::delete) deletes. No flag is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteFlags(u32);

impl DeleteFlags {
    /// The range may be a part of a block; the rest of it stays reserved, with the same
    /// consumers and at every instant (`PORTKEEP_PART`).
    pub const PART: DeleteFlags = DeleteFlags(abi::PORTKEEP_PART);
    /// Ends nothing: the range is the last part of a block and becomes a block of its own, with the
    /// same consumers and another token (`PORTKEEP_SPLIT`). No port is free in between.
    pub const SPLIT: DeleteFlags = DeleteFlags(abi::PORTKEEP_SPLIT);
    /// Ends nothing: the range is a whole block and becomes part of the one that ends right before
    /// it, whose consumers and token count from then on (`PORTKEEP_JOIN`). No port is free in
    /// between.
    pub const JOIN: DeleteFlags = DeleteFlags(abi::PORTKEEP_JOIN);
    /// A reservation that holds in every network namespace (`PORTKEEP_EVERY_NETNS`).
    pub const EVERY_NETNS: DeleteFlags = DeleteFlags(abi::PORTKEEP_EVERY_NETNS);

    /// The flags of the kernel ABI.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for DeleteFlags {
    type Output = DeleteFlags;

    fn bitor(self, other: DeleteFlags) -> DeleteFlags {
        DeleteFlags(self.0 | other.0)
    }
}

impl BitOrAssign for DeleteFlags {
    fn bitor_assign(&mut self, other: DeleteFlags) {
        *self = *self | other;
    }
}
