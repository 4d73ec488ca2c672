//! The kernel part, through the bare ABI and through the library.

mod smoke;

use portkeep_tests::trials;

trials! {
    root:
        smoke::works;
}
