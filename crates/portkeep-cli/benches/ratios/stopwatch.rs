//! Taking times in turn.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};

/// The time that `work` takes.
pub fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The processor time of the calling thread that `work` takes, whatever else runs on the machine.
pub fn processor_time(work: impl FnOnce()) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        Duration::from(time.expect("the clock of this thread"))
    };
    let start = now();
    work();
    now() - start
}

/// The processor time of the processes that `work` starts and waits for, in user mode and in the kernel.
pub fn processor_time_of_children(work: impl FnOnce()) -> Duration {
    let now = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
        duration(usage.user_time()) + duration(usage.system_time())
    };
    let start = now();
    work();
    now() - start
}

fn duration(time: TimeVal) -> Duration {
    Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
}

/// The median of some times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The medians of two kinds of work, done in turn `rounds` times after a warm-up.
pub fn in_turn(
    rounds: usize,
    mut one: impl FnMut() -> Duration,
    mut other: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    for _ in 0..rounds / 10 + 1 {
        one();
        other();
    }
    let (ones, others) = (0..rounds).map(|_| (one(), other())).unzip();
    (median(ones), median(others))
}

/// How many times the first is the second.
pub fn ratio(first: Duration, second: Duration) -> f64 {
    first.as_secs_f64() / second.as_secs_f64()
}
