//! Random histories of real calls beside a model of what they have to do.
//!
//! Processes of several users make the calls, with and without privileges, some in a network namespace
//! of their own. After every call its errno and results, what `PORTKEEP_CONFLICT` says, and the
//! list of reservations must be what the model says. Where the contract leaves a choice (which block
//! a wildcard gets, which port a `bind(0)`, which of several reasons for a refusal), the model asks
//! whether the answer is one of those that may be, and goes on from there.
//!
//! A failure is shrunk to a short history, and kept by proptest in a file beside this one, to be
//! committed; it is tried first from then on. As such a file says nothing once the strategies change,
//! a history worth keeping goes into `regressions.rs`, too.

#[path = "../common/settings.rs"]
mod settings;

mod call;
mod held;
mod listing;
mod model;
mod operation;
mod processes;
mod regressions;
mod steps;
mod wire;
mod worker;
mod world;

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::Duration;

use portkeep_admin::InstallOptions;
use portkeep_tests::{Sandbox, enable, errno_name, trials};
use proptest::strategy::Strategy;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

use crate::world::Tally;

trials! {
    root:
        of_the_kernel_part => limit(),
        of_held_ports => limit();
}

/// How many histories are tried; set for more of them.
const CASES: &str = "PORTKEEP_MODEL_CASES";
/// The number that they follow from, as a failure tells it.
const SEED: &str = "PORTKEEP_MODEL_SEED";

const USUAL_CASES: u32 = 150;

fn cases() -> u32 {
    settings::number(CASES).unwrap_or(USUAL_CASES)
}

fn limit() -> Duration {
    Duration::from_secs(120) + Duration::from_secs(1) * cases()
}

fn options(sandbox: &Sandbox) -> InstallOptions {
    InstallOptions {
        pool: operation::POOL,
        ..enable::options(sandbox)
    }
}

/// By the bare ABI, with the kernel part.
fn of_the_kernel_part(sandbox: &Sandbox) {
    enable::enable_with(&options(sandbox));
    world::prepare();
    for history in regressions::histories() {
        if let Err(error) = world::run(sandbox, &mut Tally::new(), &history) {
            panic!("{error}");
        }
    }
    try_histories(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/model/kernel-regressions.txt"
        ),
        &operation::history(),
        |tally, history| world::run(sandbox, tally, history),
    );
}

/// By the library, without it.
fn of_held_ports(_: &Sandbox) {
    held::prepare();
    for history in held::histories() {
        if let Err(error) = held::run(&mut Tally::new(), &history) {
            panic!("{error}");
        }
    }
    try_histories(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/model/held-regressions.txt"
        ),
        &held::history(),
        held::run,
    );
}

/// Tries histories that once failed, which proptest keeps in a file, and others. Prints how often
/// each call came to what.
fn try_histories<O: Clone + Debug>(
    regressions: &'static str,
    histories: &impl Strategy<Value = Vec<O>>,
    run: impl Fn(&mut Tally, &[O]) -> Result<(), String>,
) {
    let seed = settings::seed(SEED);
    println!("{SEED}={seed} {CASES}={}", cases());
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 4000,
        max_shrink_time: 60_000,
        ..Config::default()
    });
    let tally = RefCell::new(Tally::new());
    let result = runner.run(histories, |history| {
        run(&mut tally.borrow_mut(), &history).map_err(TestCaseError::fail)
    });
    for ((call, errno), times) in tally.borrow().iter() {
        let came_to = match errno {
            0 => "done".into(),
            errno => errno_name(*errno),
        };
        println!("{times:6} {call} {came_to}");
    }
    match result {
        Ok(()) => assert_both_ways(&tally.borrow()),
        Err(TestError::Fail(reason, history)) => {
            panic!("{SEED}={seed}\n{history:?}\n{reason}")
        }
        Err(error) => panic!("{SEED}={seed}: {error}"),
    }
}

/// Every call that can be refused has been, and every call has been granted: or nothing was shown.
fn assert_both_ways(tally: &Tally) {
    // Never refused in a history, or seldom.
    const GRANTED: [&str; 6] = [
        "BindAddress",
        "Disconnect",
        "Listen",
        "Fork",
        "Drop",
        "Close",
    ];
    if cases() < USUAL_CASES {
        return;
    }
    for (call, _) in tally.keys() {
        let came_to = |granted: bool| {
            let mut outcomes = tally.keys().filter(|(other, _)| other == call);
            outcomes.any(|(_, errno)| (*errno == 0) == granted)
        };
        assert!(came_to(true), "{call} was never granted");
        let refused = came_to(false) || GRANTED.contains(&&**call);
        assert!(refused, "{call} was never refused");
    }
}
