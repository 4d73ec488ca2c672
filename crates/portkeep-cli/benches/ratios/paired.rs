//! Ratios of what is measured in turn, round by round, and how sure they are.

use std::fmt;
use std::time::Duration;

/// The times of each lane in each round.
#[derive(Debug)]
pub struct Times<const LANES: usize>([Vec<Duration>; LANES]);

/// Measures each lane once a round, each time in another order.
pub fn rounds<const LANES: usize>(
    count: usize,
    mut measure: impl FnMut(usize) -> Duration,
) -> Times<LANES> {
    for lane in 0..LANES {
        measure(lane);
    }
    let mut times = [const { Vec::new() }; LANES];
    for round in 0..count {
        for turn in 0..LANES {
            // Forwards and backwards, so that each lane comes as often after each other one.
            let turn = if (round / LANES).is_multiple_of(2) {
                turn
            } else {
                LANES - 1 - turn
            };
            let lane = (turn + round) % LANES;
            times[lane].push(measure(lane));
        }
    }
    Times(times)
}

impl<const LANES: usize> Times<LANES> {
    /// What was measured beside the times of [`rounds`].
    pub fn of(times: [Vec<Duration>; LANES]) -> Self {
        Self(times)
    }

    pub fn median(&self, lane: usize) -> Duration {
        crate::stopwatch::median(self.0[lane].clone())
    }

    /// How many times the time of one lane is that of the other, round by round.
    pub fn ratio(&self, one: usize, other: usize) -> Ratio {
        let pairs = self.0[one].iter().zip(&self.0[other]);
        let ratios = pairs.map(|(one, other)| crate::stopwatch::ratio(*one, *other));
        Ratio::of(ratios.collect())
    }
}

/// The median time of a lane, of the times of several starts.
pub fn median_of_starts<const LANES: usize>(starts: &[Times<LANES>], lane: usize) -> Duration {
    crate::stopwatch::median(starts.iter().map(|times| times.median(lane)).collect())
}

/// The ratio of two lanes in several starts, each of which counts once: where the memory of processes,
/// programs and maps happens to be makes a difference that no number of rounds evens out.
pub fn ratio_of_starts<const LANES: usize>(
    starts: &[Times<LANES>],
    one: usize,
    other: usize,
) -> Ratio {
    let ratios = starts.iter().map(|times| times.ratio(one, other).median);
    Ratio::of(ratios.collect())
}

/// The median of ratios, and between which it lies with 95 % confidence: as the ratios of so many
/// rounds are more often than not on either side of it (sign test), whatever their distribution.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    median: f64,
    low: f64,
    high: f64,
}

impl Ratio {
    fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let count = ratios.len();
        // The binomial distribution of what lies below the median, as a normal one.
        let reach = (0.98 * (count as f64).sqrt()).ceil() as usize;
        let middle = count / 2;
        Self {
            median: ratios[middle],
            low: ratios[middle.saturating_sub(reach)],
            high: ratios[(middle + reach).min(count - 1)],
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = self;
        write!(f, "{median:.3} ({low:.3}–{high:.3})")
    }
}
