//! The engine on a real etcd: transactions, listings, watches and leases, under faults.

mod common;
mod leases;
mod transactions;
mod watches;

use portkeep_tests::trials;

trials! {
    root:
        transactions::happen_or_differ,
        transactions::of_too_many_operations_are_refused,
        transactions::without_an_answer_are_unknown,
        transactions::that_were_not_sent_are_errors,
        transactions::listings_are_of_one_instant,
        watches::tell_each_change,
        watches::from_now_on,
        watches::go_on_after_compaction,
        watches::go_on_when_members_are_killed,
        watches::leave_a_paused_member,
        watches::go_on_when_all_members_restart,
        watches::list_again_after_a_new_cluster,
        watches::list_again_after_an_old_snapshot,
        leases::take_their_keys_along,
        leases::outlive_their_member;
}
