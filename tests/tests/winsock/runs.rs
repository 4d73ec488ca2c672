//! The test programs, with the kernel part.

use portkeep_tests::enable::enable;
use portkeep_tests::{Sandbox, reservations};

use crate::program::passes;

/// Defines trials that run the program of their name.
macro_rules! runs {
    ($($name:ident)*) => {
        $(
            pub(crate) fn $name(sandbox: &Sandbox) {
                enable(sandbox);
                passes(sandbox, stringify!($name));
                assert_eq!(reservations::list(sandbox), []);
            }
        )*
    };
}

runs! { acquire token handles transfer port transfer_storm closing bind addresses options select
implicit mechanics overlapped pending storm random persistent }
