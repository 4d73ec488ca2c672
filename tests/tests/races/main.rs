//! Everybody at once: processes that acquire overlapping blocks while others bind inside them.
//!
//! The rounds are bounded, not timed. What is checked holds at every instant: see `ledger.rs`.

mod ledger;
mod storm;

use std::time::Duration;

use portkeep_tests::trials;

trials! {
    root:
        storm::a_million_acquires => Duration::from_secs(600);
}
