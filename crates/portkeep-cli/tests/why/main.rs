//! `portkeep why`: who reserves a port, who is bound to it, and what the settings say.

#[path = "../common/mod.rs"]
mod common;

mod asked;
mod documents;
mod neighbours;
mod of_the_kernel;
mod reserved;
mod settings;
mod sockets;
mod strangers;

use portkeep_tests::trials;
use serde_json::Value;

use common::portkeep;

trials! {
    root:
        reserved::by_a_holder,
        reserved::a_single_port,
        reserved::by_a_run_that_has_bound_it,
        reserved::by_another_user,
        reserved::by_a_process_that_is_gone,
        reserved::by_a_fleet,
        reserved::in_another_namespace_is_free_here,
        reserved::no_control_code_reaches_the_terminal,
        asked::by_number_service_and_protocol,
        settings::free,
        settings::automatic,
        settings::protected,
        settings::privileged,
        settings::several_at_once,
        strangers::an_ordinary_user_learns_who_reserves,
        strangers::processes_of_others_are_hidden,
        strangers::the_own_processes_are_shown,
        strangers::what_is_held_by_sockets_is_told,
        strangers::without_the_kernel_part_it_says_so,
        strangers::without_the_list_it_does_not_say_free,
        documents::of_a_free_port,
        documents::of_a_reserved_and_bound_port,
        neighbours::an_nft_rule_redirects_it,
        neighbours::nft_rules_of_every_kind,
        neighbours::an_iptables_rule_redirects_it,
        neighbours::an_iptables_legacy_rule_redirects_it,
        neighbours::rules_are_not_shown_to_users,
        neighbours::a_name_in_a_rule_cannot_reach_the_terminal,
        neighbours::dockers_proxy_is_explained,
        neighbours::doctor_checks_the_reserved_ports,
        of_the_kernel::a_vxlan_interface,
        of_the_kernel::a_geneve_interface,
        of_the_kernel::a_wireguard_interface,
        of_the_kernel::the_nfs_server,
        of_the_kernel::the_nfs_lock_manager,
        of_the_kernel::an_ipvs_service;
    plain:
        sockets::listener_and_connection,
        sockets::ipv6_listener,
        sockets::bound_tcp_socket_that_does_not_listen,
        sockets::udp_sockets,
        sockets::what_the_process_left_in_time_wait,
        sockets::wrong_usage,
        asked::of_both_protocols,
        asked::connections_that_wait_for_accept;
}

/// The document about a port, to root.
#[track_caller]
fn why(port: &str) -> Value {
    common::json::document(&mut portkeep(["why", port, "--json"]))
}

/// The words about a port, to root.
#[track_caller]
fn words(port: &str) -> String {
    common::done(&mut portkeep(["why", port]))
}
