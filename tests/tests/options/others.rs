//! Calls with valid arguments.

use portkeep_tests::foreign::{GETSOCKOPT, PROCEED, SETSOCKOPT, attach};
use portkeep_tests::{Sandbox, enable, libc};

use crate::call::Direction;
use crate::compare::{Comparison, compare};
use crate::plan::{self, Group};
use crate::run::User;

fn assert_same(sandbox: &Sandbox, user: User) {
    let plan = plan::make();
    enable::enable(sandbox);
    let comparison = compare_with(sandbox, &plan, user, 8);
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

/// Outside and inside of the sandbox's cgroup.
fn compare_with<'a>(
    sandbox: &Sandbox,
    plan: &'a [Group],
    user: User,
    rounds: usize,
) -> Comparison<'a> {
    let cgroups = [sandbox.outside_cgroup(), sandbox.inside_cgroup()];
    let cgroups = [cgroups[0].as_path(), cgroups[1].as_path()];
    compare(plan, user, cgroups, sandbox.state_dir(), rounds)
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
    let comparison = compare_with(sandbox, &plan, User::Root, 2);
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
