//! Calls of several processes at once, each with the instants before and after it, must be such as
//! one process could have made one after the other: linearizability (Herlihy and Wing, 1990), port
//! by port, against the rules of `port.rs`.
//!
//! What is weaker than that, on purpose, is a refusal: see `port::Need`.

#[path = "../common/settings.rs"]
mod settings;

mod checker;
mod port;
mod record;
mod split;
mod work;

use std::time::Duration;

use portkeep_admin::InstallOptions;
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Sandbox, enable, libc, ports, trials};

use crate::record::Recorder;

trials! {
    root:
        processes_at_once => limit();
    plain:
        checker::tests::one_after_the_other,
        checker::tests::at_once_in_either_order,
        checker::tests::two_owners,
        checker::tests::bound_while_reserved,
        checker::tests::reserved_while_bound,
        checker::tests::refused_without_a_reason,
        checker::tests::refused_for_somebody_who_is_gone,
        checker::tests::refused_for_what_others_try,
        checker::tests::an_owner_binds_what_is_its_own,
        checker::tests::a_long_history,
        split::tests::a_block_is_each_of_its_ports,
        split::tests::the_end_of_a_process_ends_what_it_has,
        split::tests::an_implicit_bind_takes_one_port_of_a_block,
        split::tests::a_time_wait_refuses_a_bind_only;
}

/// How many times everybody starts again; set for more of them.
const ROUNDS: &str = "PORTKEEP_LINEARIZABILITY_ROUNDS";
/// The number that the calls follow from, as a failure tells it.
const SEED: &str = "PORTKEEP_LINEARIZABILITY_SEED";

const USUAL_ROUNDS: u32 = 40;

/// On two CPUs at least two are interrupted in the midst of a call.
const PROCESSES: usize = 4;

fn rounds() -> u32 {
    settings::number(ROUNDS).unwrap_or(USUAL_ROUNDS)
}

fn limit() -> Duration {
    Duration::from_secs(120) + Duration::from_secs(5) * rounds()
}

fn processes_at_once(sandbox: &Sandbox) {
    enable::enable_with(&InstallOptions {
        pool: (work::FIRST, work::LAST),
        ..enable::options(sandbox)
    });
    let seed = settings::seed(SEED);
    for round in 0..rounds() {
        // One round after this can be had by itself.
        let seed = seed.wrapping_add(u64::from(round));
        println!("{SEED}={seed} {ROUNDS}=1");
        let histories = split::by_port(&run(seed));
        assert!(!histories.is_empty());
        for ((protocol, port), history) in histories {
            if let Err(error) = checker::check(&history) {
                panic!("port {port}, {protocol:?}: no order explains the calls\n{error}");
            }
        }
        let nothing = ports::PortMap::default();
        assert_eq!(
            ports::map(sandbox),
            nothing,
            "what nobody holds is reserved"
        );
    }
}

/// What everybody did, and what became of it. The first process is killed in the midst of it; the
/// last one moves a bound socket about.
fn run(seed: u64) -> Vec<split::Life> {
    work::leave();
    let recorders: Vec<Recorder> = (0..=PROCESSES).map(|_| Recorder::new()).collect();
    let processes: Vec<_> = (0..)
        .zip(&recorders)
        .map(|(who, recorder)| {
            fork_child(|| match who < PROCESSES {
                true => work::work(seed, who as u64, recorder),
                false => work::move_about(seed, recorder),
            })
        })
        .collect();
    let mut lives = Vec::new();
    for (process, recorder) in processes.into_iter().zip(&recorders) {
        let pid = process.pid();
        let victim = lives.is_empty();
        if victim {
            while recorder.len() < work::CALLS / 2 {
                std::thread::yield_now();
            }
        }
        let asked = recorder.now();
        if victim {
            process.kill(nix::sys::signal::Signal::SIGKILL);
            // It may have been done before that.
            let exit = process.wait();
            assert!(
                [Exit::Signal(libc::SIGKILL), Exit::Code(0)].contains(&exit),
                "{exit:?}"
            );
        } else {
            assert_eq!(process.code(), 0);
        }
        lives.push(split::Life {
            pid,
            calls: recorder.calls(),
            ends: (asked, recorder.now()),
        });
    }
    lives
}
