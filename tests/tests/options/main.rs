//! The socket options of everybody else, in a control cgroup and outside: the hooks see each call.

mod broken;
mod call;
mod compare;
mod kinds;
mod netfilter;
mod others;
mod plan;
mod run;
mod socket;
mod structured;

use std::time::Duration;

use portkeep_tests::trials;

/// For trials that make some million calls.
const LONG: Duration = Duration::from_secs(600);

trials! {
    root:
        others::are_untouched => LONG,
        others::of_a_user_are_untouched => LONG,
        others::would_not_be_by_an_idle_program => LONG,
        broken::arguments_change_with_any_program;
}
