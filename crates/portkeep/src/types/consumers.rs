use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use super::abi;

/// Who may bind in a block, besides the sockets that the owner has associated with it.
///
/// It is written as the list of reservations writes it: `-`, `process`, `tree` or `process,tree`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consumers(u32);

impl Consumers {
    /// Nobody: only associated sockets may. This is the default, and the rule of Windows.
    pub const ASSOCIATED: Consumers = Consumers(0);
    /// The owning process (`PORTKEEP_PROCESS`).
    pub const PROCESS: Consumers = Consumers(abi::PORTKEEP_PROCESS);
    /// The owning process and its descendants (`PORTKEEP_TREE`).
    pub const TREE: Consumers = Consumers(abi::PORTKEEP_TREE);

    /// From the flags of the kernel ABI; `None` if one of them is unknown.
    pub const fn from_bits(bits: u32) -> Option<Consumers> {
        if bits & !(abi::PORTKEEP_PROCESS | abi::PORTKEEP_TREE) == 0 {
            Some(Consumers(bits))
        } else {
            None
        }
    }

    /// The flags of the kernel ABI.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Consumers) -> bool {
        self.0 & other.0 == other.0
    }

    /// From the column FLAGS. A word that a later kernel part may add is passed over.
    pub(super) fn from_column(text: &str) -> Consumers {
        text.split(',')
            .fold(Consumers::ASSOCIATED, |consumers, word| match word {
                "process" => consumers | Consumers::PROCESS,
                "tree" => consumers | Consumers::TREE,
                _ => consumers,
            })
    }
}

impl BitOr for Consumers {
    type Output = Consumers;

    fn bitor(self, other: Consumers) -> Consumers {
        Consumers(self.0 | other.0)
    }
}

impl BitOrAssign for Consumers {
    fn bitor_assign(&mut self, other: Consumers) {
        *self = *self | other;
    }
}

impl fmt::Display for Consumers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            match (
                self.contains(Consumers::PROCESS),
                self.contains(Consumers::TREE),
            ) {
                (false, false) => "-",
                (true, false) => "process",
                (false, true) => "tree",
                (true, true) => "process,tree",
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bits() {
        for bits in 0..4 {
            let consumers = Consumers::from_bits(bits).expect("known flags");
            assert_eq!(consumers.bits(), bits);
            assert_eq!(Consumers::from_column(&consumers.to_string()), consumers);
        }
        assert_eq!(Consumers::from_bits(4), None);
        assert_eq!(
            (Consumers::PROCESS | Consumers::TREE).to_string(),
            "process,tree"
        );
        assert_eq!(Consumers::from_column("later,tree"), Consumers::TREE);
        assert_eq!(Consumers::default(), Consumers::ASSOCIATED);
    }

    #[test]
    fn contains() {
        assert!((Consumers::PROCESS | Consumers::TREE).contains(Consumers::TREE));
        assert!(!Consumers::PROCESS.contains(Consumers::TREE));
    }
}
