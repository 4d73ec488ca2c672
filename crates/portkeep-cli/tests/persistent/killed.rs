//! Commands that are killed at any moment.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use portkeep_tests::{Protocol, Sandbox};

use crate::common::kernel_part::{assert_free, assert_kept};
use crate::common::persistent::{assert_agreed, enable, listed, protect, protected, stored_ports};
use crate::common::{done, outcome, portkeep};

/// What is changed again and again; TCP and UDP, in the automatic range.
const CHANGES: [&[&str]; 6] = [
    &["reserve", "40000-40009/both", "--user", "root"],
    &["unreserve", "40004-40005/both"],
    &["unreserve", "40000-40003/both"],
    &["unreserve", "40006-40009/both"],
    &["unreserve", "40000-40009/both"],
    &["exclude", "40100-40101/udp"],
];

/// A random number below a limit (xorshift64).
fn random(state: &mut u64, limit: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % limit
}

fn spawn(words: &[&str]) -> Child {
    let mut command = portkeep(words);
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    command.spawn().expect("start the command")
}

fn time_of_a_change() -> Duration {
    let start = Instant::now();
    done(&mut portkeep(["reserve", "20000/tcp"]));
    let whole = start.elapsed();
    done(&mut portkeep(["unreserve", "20000/tcp"]));
    whole
}

/// Makes changes until so many were killed; one in eight is let live, and others are too fast. Gives
/// how many changes that took.
fn kill_often(state: &mut u64, times: u32) -> u32 {
    let whole = time_of_a_change();
    let (mut changes, mut killed) = (0, 0);
    while killed < times {
        let change = CHANGES[random(state, CHANGES.len() as u64) as usize];
        let mut child = spawn(change);
        if random(state, 8) > 0 {
            thread::sleep(whole.mul_f64(random(state, 1000) as f64 / 1000.0));
            child.kill().expect("kill the command");
        }
        killed += u32::from(child.wait().expect("wait").code().is_none());
        changes += 1;
        assert!(changes < 20 * times, "{killed} of {changes} were killed");
    }
    changes
}

/// What both protocols have, which each change changes at once, is equal.
fn assert_settled(sandbox: &Sandbox) {
    let said = done(&mut portkeep(["enable"]));
    assert_agreed();
    let listed = listed();
    let of = |protocol: &str| -> Vec<_> {
        let rows = listed.iter().filter(|row| row.contains("persistent"));
        rows.filter_map(|row| row.split_once(protocol).map(|(ports, _)| ports.to_owned()))
            .collect()
    };
    assert_eq!(of("/tcp"), of("/udp"), "{said}");
    assert_eq!(stored_ports(sandbox).len(), listed.len());
}

/// From whatever there is to a known end.
fn finish(sandbox: &Sandbox) {
    for ports in ["40000-40003/both", "40004-40005/both", "40006-40009/both"] {
        done(&mut portkeep(["unreserve", ports]));
    }
    done(&mut portkeep(["include", "40100-40101/udp"]));
    assert_eq!(listed(), [] as [&str; 0]);
    assert_eq!(stored_ports(sandbox), [] as [&str; 0]);
    assert_eq!(protected(), "50000");
    assert_free(Protocol::Tcp, 40000..=40009);
    assert_free(Protocol::Udp, 40000..=40009);
}

pub fn at_random_moments(sandbox: &Sandbox) {
    enable();
    protect("50000");
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let mut changes = 0;
    for _ in 0..10 {
        changes += kill_often(&mut state, 40);
        assert_settled(sandbox);
    }
    println!("400 of {changes} commands were killed");
    finish(sandbox);
}

/// Several at a time, each of which may be killed with the lock.
pub fn while_others_do_the_same(sandbox: &Sandbox) {
    enable();
    protect("50000");
    thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || kill_often(&mut (seed * 0x9E37_79B9), 50));
        }
    });
    assert_settled(sandbox);
    let outcome = outcome(&mut portkeep(["reserve", "41000-41003/tcp"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_kept(Protocol::Tcp, 41000..=41003);
    done(&mut portkeep(["unreserve", "41000-41003/tcp"]));
    finish(sandbox);
}
