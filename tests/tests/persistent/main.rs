//! Persistent reservations by the bare ABI: what each call does and returns, who may bind, and what
//! is left afterwards.

#[path = "../common/ledger.rs"]
mod ledger;
#[path = "../privilege/user_namespace.rs"]
mod user_namespace;

mod calls;
mod changes;
mod consumers;
mod every_netns;
mod namespaces;
mod parts;
mod shapes;

use portkeep_tests::trials;

trials! {
    root:
        calls::a_life,
        calls::refusals,
        calls::tokens,
        calls::sockets_in_the_way,
        calls::a_wildcard,
        consumers::of_each_kind,
        consumers::none,
        consumers::everybody,
        changes::of_who_may_bind,
        changes::refusals,
        changes::charges,
        changes::beside_binds,
        changes::beside_others,
        parts::cut_off,
        parts::cut_beside_strangers,
        shapes::split_and_joined,
        shapes::refusals,
        shapes::split_and_joined_beside_strangers,
        every_netns::everywhere,
        every_netns::overlaps,
        namespaces::administrators_of_their_own,
        namespaces::gone;
}
