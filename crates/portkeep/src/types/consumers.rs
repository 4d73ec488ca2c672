use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use super::abi;

/// Who may bind in a block, besides the sockets that the owner has associated with it.
///
/// It is written as the list of reservations writes it: `-`, or some of `process`, `tree` and `user`,
/// with commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consumers(u32);

impl Consumers {
    /// Nobody: only associated sockets may. This is the default, and the rule of Windows.
    pub const ASSOCIATED: Consumers = Consumers(0);
    /// The owning process (`PORTKEEP_PROCESS`).
    pub const PROCESS: Consumers = Consumers(abi::PORTKEEP_PROCESS);
    /// The owning process and its descendants (`PORTKEEP_TREE`).
    pub const TREE: Consumers = Consumers(abi::PORTKEEP_TREE);
    /// Every process with the owner's effective user id, in the owner's user namespace
    /// (`PORTKEEP_USER`): a daemon that the owner did not start, for instance. An older
    /// kernel part refuses it with [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
    pub const USER: Consumers = Consumers(abi::PORTKEEP_USER);

    /// In the order in which the kernel part writes them.
    const WORDS: [(Consumers, &str); 3] = [
        (Consumers::PROCESS, "process"),
        (Consumers::TREE, "tree"),
        (Consumers::USER, "user"),
    ];

    /// From the flags of the kernel ABI; `None` if one of them is unknown.
    pub const fn from_bits(bits: u32) -> Option<Consumers> {
        if bits & !(abi::PORTKEEP_PROCESS | abi::PORTKEEP_TREE | abi::PORTKEEP_USER) == 0 {
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
            .filter_map(|word| Consumers::WORDS.iter().find(|(_, name)| *name == word))
            .fold(Consumers::ASSOCIATED, |all, &(consumers, _)| {
                all | consumers
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
        let words: Vec<&str> = Consumers::WORDS
            .iter()
            .filter(|&&(consumers, _)| self.contains(consumers))
            .map(|&(_, word)| word)
            .collect();
        if words.is_empty() {
            return f.pad("-");
        }
        f.pad(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bits() {
        for bits in (0..4).chain(16..20) {
            let consumers = Consumers::from_bits(bits).expect("known flags");
            assert_eq!(consumers.bits(), bits);
            assert_eq!(Consumers::from_column(&consumers.to_string()), consumers);
        }
        assert_eq!(Consumers::from_bits(4), None);
        assert_eq!(Consumers::from_bits(8), None);
        assert_eq!(
            (Consumers::PROCESS | Consumers::TREE).to_string(),
            "process,tree"
        );
        assert_eq!((Consumers::USER | Consumers::TREE).to_string(), "tree,user");
        assert_eq!(Consumers::from_column("later,tree"), Consumers::TREE);
        assert_eq!(Consumers::default(), Consumers::ASSOCIATED);
    }

    #[test]
    fn contains() {
        assert!((Consumers::PROCESS | Consumers::TREE).contains(Consumers::TREE));
        assert!(!Consumers::PROCESS.contains(Consumers::TREE));
    }
}
