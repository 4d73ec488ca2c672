//! Installing, upgrading and removing the kernel part.

mod concurrent;
mod control;
mod facts;
mod features;
mod interrupted;
mod killed;
mod mounting;
mod moving;
mod objects;
mod privilege;
mod refusals;
mod removal;
mod scene;
mod upgrade;
mod version;

use std::time::Duration;

use portkeep_tests::trials;

/// For trials that install some hundred times.
const LONG: Duration = Duration::from_secs(900);

trials! {
    root:
        upgrade::replaces_the_programs,
        upgrade::keeps_what_is_reserved_and_associated,
        upgrade::never_lets_a_bind_through => LONG,
        upgrade::never_stops_answering => LONG,
        concurrent::installs_of_two_processes,
        concurrent::installs_of_two_threads,
        concurrent::installs_that_mount => LONG,
        concurrent::installs_and_removals => LONG,
        concurrent::installs_and_removals_that_mount => LONG,
        killed::installing => LONG,
        killed::upgrading => LONG,
        killed::removing => LONG,
        killed::mounting => LONG,
        killed::opening_the_file_system => LONG,
        interrupted::a_removal_without_its_links,
        interrupted::a_removal_without_its_settings,
        interrupted::an_installation_without_links,
        removal::leaves_nothing,
        removal::frees_the_ports_and_keeps_bound_sockets,
        removal::of_nothing_is_no_error,
        removal::leaves_no_debts_to_the_next_installation,
        mounting::on_a_plain_directory,
        mounting::survives_an_upgrade,
        mounting::what_others_pinned_stays,
        mounting::a_closed_file_system_is_opened_for_passing,
        mounting::every_mode_is_restored,
        features::what_this_version_has_is_there,
        moving::to_a_cgroup_that_others_are_outside_of,
        moving::after_the_cgroup_was_made_anew,
        version::another_abi_is_refused,
        version::another_layout_is_refused,
        version::settings_of_another_size_are_refused,
        version::maps_of_another_shape_are_refused,
        refusals::what_is_no_cgroup,
        refusals::what_is_no_pool,
        refusals::what_is_no_directory,
        refusals::control_cgroups_beside,
        privilege::users_may_do_nothing,
        privilege::root_without_capabilities_may_do_nothing,
        privilege::root_of_a_user_namespace_may_do_nothing,
        privilege::a_user_cannot_lock_root_out,
        control::calls_work_only_inside,
        control::several_cgroups,
        control::moves_with_the_next_installation,
        control::what_is_reserved_stays_when_it_moves,
        facts::nothing_is_installed,
        facts::what_is_installed,
        facts::modes_of_the_pins,
        facts::the_pool_serves_wildcards,
        facts::the_pool_changes_with_the_next_installation,
        facts::an_idle_installation_is_small;
}
