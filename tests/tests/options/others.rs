//! Calls with valid arguments.

use std::path::Path;

use portkeep_tests::foreign::{GETSOCKOPT, PROCEED, SETSOCKOPT, attach};
use portkeep_tests::{Sandbox, enable, libc};

use crate::call::Direction;
use crate::compare::{Comparison, compare};
use crate::plan::{self, Group};
use crate::run::User;

fn assert_same(sandbox: &Sandbox, user: User) {
    let plan = plan::make();
    enable::enable(sandbox);
    let comparison = compare_with(sandbox, &plan, user, &sandbox.inside_cgroup());
    println!(
        "{} calls, {} carried out, {} unsteady",
        comparison.calls, comparison.succeeded, comparison.unsteady
    );
    // Or too little would be compared.
    assert!(comparison.calls > 50_000, "{}", comparison.calls);
    assert!(comparison.succeeded > 5_000, "{}", comparison.succeeded);
    assert!(comparison.unsteady < comparison.calls / 1000);
    let differences = &comparison.differences;
    for difference in differences.iter().take(100) {
        println!("{difference}");
    }
    assert!(differences.is_empty(), "{} differences", differences.len());
}

fn compare_with<'a>(
    sandbox: &Sandbox,
    plan: &'a [Group],
    user: User,
    inside: &Path,
) -> Comparison<'a> {
    let outside = sandbox.outside_cgroup();
    compare(plan, user, &outside, inside, sandbox.state_dir())
}

pub(crate) fn are_untouched(sandbox: &Sandbox) {
    assert_same(sandbox, User::Root);
}

pub(crate) fn of_a_user_are_untouched(sandbox: &Sandbox) {
    assert_same(sandbox, User::Nobody);
}

/// The comparison sees what a program breaks that merely lets everything pass.
pub(crate) fn would_not_be_by_an_idle_program(sandbox: &Sandbox) {
    let plan = plan::make();
    let _links = [GETSOCKOPT, SETSOCKOPT].map(|hook| attach(hook, &PROCEED, sandbox.cgroup()));
    let comparison = compare_with(sandbox, &plan, User::Root, &sandbox.inside_cgroup());
    for (level, option) in [
        (libc::SOL_NETLINK, libc::NETLINK_LIST_MEMBERSHIPS),
        (libc::SOL_SOCKET, libc::SO_GET_FILTER),
    ] {
        let found = comparison.differences.iter().any(|difference| {
            let call = difference.call;
            (call.direction, call.level, call.option) == (Direction::Get, level, option)
                && difference.outside[0] == 0
                && difference.inside[0] == -libc::EFAULT
        });
        assert!(found, "level {level}, option {option}");
    }
}
