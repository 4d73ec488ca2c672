//! Random histories of real calls beside a model of what they have to do.

mod model;
mod operation;
mod processes;
mod steps;
mod wire;
mod worker;
mod world;

use std::cell::RefCell;
use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portkeep_kernel::InstallOptions;
use portkeep_tests::{Sandbox, enable, errno_name, trials};
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

use crate::world::Tally;

trials! {
    root:
        histories => limit();
}

/// How many histories are tried; set for more of them.
const CASES: &str = "PORTKEEP_MODEL_CASES";
/// The number that they follow from, as a failure tells it.
const SEED: &str = "PORTKEEP_MODEL_SEED";

const USUAL_CASES: u32 = 250;

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let value = env::var(variable).ok()?;
    let number = value.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{variable}={value} is not a number")))
}

fn cases() -> u32 {
    number(CASES).unwrap_or(USUAL_CASES)
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

fn histories(sandbox: &Sandbox) {
    enable::enable_with(&options(sandbox));
    world::prepare();
    let seed = number(SEED).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a clock").as_nanos() as u64
    });
    println!("{SEED}={seed} {CASES}={}", cases());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model/regressions.txt");
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        max_shrink_iters: 4000,
        max_shrink_time: 60_000,
        ..Config::default()
    });
    let tally = RefCell::new(Tally::new());
    let result = runner.run(&operation::history(), |history| {
        world::run(sandbox, &mut tally.borrow_mut(), &history).map_err(TestCaseError::fail)
    });
    for ((call, errno), times) in tally.borrow().iter() {
        println!(
            "{times:6} {call} {}",
            if *errno == 0 {
                "done".into()
            } else {
                errno_name(*errno)
            }
        );
    }
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => {
            panic!("{SEED}={seed}\n{history:?}\n{reason}")
        }
        Err(error) => panic!("{SEED}={seed}: {error}"),
    }
}
