//! `portkeep run` by an ordinary user where there is no kernel part: programs that know nothing of
//! Portkeep bind to their ports, and strangers that try all the while never do.

#[path = "../common/mod.rs"]
mod common;

mod odd;
mod rebinding;
mod scene;
mod servers;
mod storm;
mod supervision;

use portkeep_tests::trials;

trials! {
    root:
        servers::python,
        servers::node,
        servers::static_go,
        servers::nginx,
        servers::udp_echo,
        servers::forked_workers,
        rebinding::of_tcp,
        rebinding::of_udp,
        rebinding::of_udp_beside_devices,
        rebinding::of_udp_over_ipv6_beside_devices,
        rebinding::of_udp_sockets_that_share,
        rebinding::of_tcp_beside_a_twin_by_root,
        rebinding::beside_a_twin,
        odd::addresses_that_do_not_come,
        odd::addresses_of_no_family,
        odd::descriptors_of_a_thread,
        storm::nothing_is_delivered_to_the_holder,
        supervision::other_binds_are_left_alone,
        supervision::automatic_ports_stay_out,
        supervision::signals_do_not_break_a_bind_off,
        supervision::binds_fail_clearly_without_the_holder,
        supervision::descendants_are_let_in_after_the_command_has_ended,
        supervision::privileges_are_not_gained,
        supervision::verbose_tells_the_backend;
}
