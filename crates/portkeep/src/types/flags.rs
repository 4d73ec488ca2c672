use super::abi;

/// Makes a type of flags from constants of the kernel ABI.
macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $value:path,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(u32);

        impl $name {
            $($(#[$flag_doc])* pub const $flag: $name = $name($value);)+

            /// The flags of the kernel ABI.
            pub const fn bits(self) -> u32 {
                self.0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = $name;

            fn bitor(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: $name) {
                *self = *self | other;
            }
        }
    };
}

flags! {
    /// How [`create`](crate::sockopt::create) reserves. None of them is the default.
    CreateFlags {
        /// Sockets that are bound in the block are not in the way; they stay bound
        /// (`PORTKEEP_ADOPT`).
        ADOPT = abi::PORTKEEP_ADOPT,
        /// In every network namespace, those to come included, but where an older reservation holds
        /// a port (`PORTKEEP_EVERY_NETNS`). It takes `CAP_NET_ADMIN` over the initial namespace.
        EVERY_NETNS = abi::PORTKEEP_EVERY_NETNS,
    }
}

flags! {
    /// What [`delete`](crate::sockopt::delete) deletes. None of them is the default.
    DeleteFlags {
        /// The range may be a part of a block; the rest of it stays reserved, with the same
        /// consumers and at every instant (`PORTKEEP_PART`).
        PART = abi::PORTKEEP_PART,
        /// A reservation that holds in every network namespace (`PORTKEEP_EVERY_NETNS`).
        EVERY_NETNS = abi::PORTKEEP_EVERY_NETNS,
    }
}
