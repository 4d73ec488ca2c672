//! `portkeep run`: a command and its family own ports, and nobody notices that somebody stands in
//! between.

#[path = "../common/mod.rs"]
mod common;

mod announced;
mod ends;
mod family;
mod held;
mod line;
mod nested;
mod refused;
mod same_user;
mod stand_in;

use std::process::Command;

use portkeep_tests::trials;

use common::portkeep;
use common::python::python;

trials! {
    root:
        announced::exact_ranges,
        announced::counts_are_blocks_of_the_pool,
        announced::both_is_the_same_numbers,
        announced::what_is_reserved_is_what_is_announced,
        announced::an_ordinary_user_gets_ports_too,
        family::the_command_binds_and_a_stranger_does_not,
        family::a_chain_of_execs,
        family::a_chain_of_forks,
        family::a_daemon,
        family::a_thread_and_a_child_that_changes_its_user,
        family::another_user_and_another_run_are_strangers,
        family::the_commands_sockets_are_its_own,
        held::free_when_it_returns,
        held::until_the_last_straggler_has_gone,
        held::not_by_a_straggler_once_the_holder_is_terminated,
        held::after_a_kill_of_the_foreground_process,
        held::not_after_a_kill_of_the_holder,
        held::nothing_when_the_command_cannot_be_executed,
        ends::the_exit_status_is_the_commands,
        ends::a_terminated_command_frees_its_ports,
        ends::a_command_that_handles_the_signal_keeps_them_meanwhile,
        refused::a_reserved_port,
        refused::a_bound_port,
        refused::all_or_nothing,
        refused::overlapping_options,
        refused::automatic_ports_are_held_by_sockets,
        refused::privileged_ports_to_an_ordinary_user,
        refused::a_block_longer_than_the_pool,
        line::options_end_at_the_command,
        line::names_are_variables_and_placeholders,
        line::big_counts_are_meant,
        line::its_failures_are_not_the_commands,
        line::a_name_has_the_same_ports_each_time,
        line::it_waits_until_the_ports_are_free,
        line::it_waits_no_longer_than_it_is_to,
        line::waiting_is_told_and_ended_at_the_terminal,
        line::lists_show_what_runs,
        line::a_failed_command_is_told_who_has_its_port,
        same_user::other_processes_of_the_user_may_bind,
        same_user::sockets_cannot_do_it,
        nested::several_at_once_have_distinct_ports,
        nested::an_inner_run_has_ports_of_its_own,
        nested::an_inner_run_may_bind_the_outer_ports;
    plain:
        stand_in::the_exit_status_is_the_commands,
        stand_in::what_cannot_be_executed_gives_the_shells_codes,
        stand_in::an_outer_runs_ports_are_not_announced,
        stand_in::locations_reach_the_command,
        stand_in::signals_start_out_as_they_came,
        stand_in::signals_to_the_process_are_passed_on,
        stand_in::signals_to_the_group_reach_the_command_once,
        stand_in::it_stops_and_continues_with_the_command,
        stand_in::a_descendant_left_behind_keeps_the_holder_but_no_stream,
        stand_in::a_kill_of_the_foreground_leaves_the_command,
        refused::wrong_usage;
}

/// `portkeep run` with port options, or any port, and a command.
fn run<W: AsRef<str>>(ports: &[&str], command: &[W]) -> Command {
    let ports = if ports.is_empty() {
        &["--udp", "1"]
    } else {
        ports
    };
    let mut run = portkeep(["run"]);
    run.args(ports)
        .arg("--")
        .args(command.iter().map(AsRef::as_ref));
    run
}

/// `portkeep run` of a shell script.
fn run_shell(ports: &[&str], script: &str) -> Command {
    run(ports, &["sh", "-c", script])
}

/// `portkeep run` of a Python program.
fn run_python(ports: &[&str], program: &str) -> Command {
    run(ports, &python(program))
}
