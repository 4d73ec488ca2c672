//! No port is granted while a live socket is bound to it, whatever that socket does meanwhile: at
//! least 200,000 acquires of a port whose socket moves between the kernel's lists. One file for each
//! class of mover.

#[path = "../common/shared.rs"]
mod shared;

mod connect;
mod hunt;
mod left_bound;
mod mptcp;
mod stage;
mod succession;
mod udp;
mod unspec;

use portkeep_tests::trials;

trials! {
    root:
        unspec::over_one_time_wait,
        unspec::on_every_processor,
        unspec::of_a_socket_with_an_address,
        unspec::by_several_processes,
        connect::to_a_busy_listener,
        connect::to_a_closed_port,
        connect::over_both_families,
        connect::to_address_after_address,
        connect::by_several_movers,
        connect::of_a_late_binding_socket,
        connect::of_a_group,
        mptcp::disconnects,
        mptcp::connects,
        udp::connects_and_disconnects,
        udp::in_a_crowded_bucket,
        succession::of_listener_and_connection,
        succession::of_listen_and_shutdown,
        left_bound::by_adoption,
        left_bound::by_an_exclusion,
        left_bound::by_a_consumer,
        left_bound::by_a_reservation_that_ended;
}
