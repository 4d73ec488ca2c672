//! How many nodes hold a policy after each wave of its rollout.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use portkeep_fleet_core::data::Name;

use crate::error::{Error, Result};

/// So many nodes, or so much of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// Nodes.
    Nodes(usize),
    /// Of a hundred.
    Percent(usize),
}

impl FromStr for Wave {
    type Err = String;

    fn from_str(text: &str) -> Result<Wave, String> {
        let percent = text.strip_suffix('%');
        let number = percent.unwrap_or(text);
        let wave = match (number.parse::<usize>(), percent) {
            (Ok(number @ 1..=100), Some(_)) => Wave::Percent(number),
            (Ok(number @ 1..), None) => Wave::Nodes(number),
            _ => {
                return Err(
                    "expected a number of nodes, as 4, or a part of them, as 10%".to_owned(),
                );
            }
        };
        Ok(wave)
    }
}

impl Wave {
    fn size(self, all: usize) -> usize {
        match self {
            Wave::Nodes(count) => count.min(all),
            Wave::Percent(percent) => all.saturating_mul(percent).div_ceil(100),
        }
    }
}

/// Seconds, or with a unit.
///
/// # Errors
///
/// If it is no time.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|it: char| !it.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number = digits.parse::<u32>().ok();
    let seconds = number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit));
    seconds
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(|| "expected seconds, or a time as 90s, 15m or 2h".to_owned())
}

/// In which steps.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Waves")]
pub struct WaveArguments {
    /// Ask so many nodes first, then so many in all, and so on, as 1,10%,100%. Each wave is all or nothing; the first
    /// that is refused is the last, and the same command goes on from there
    #[arg(long, value_name = "NODES|PERCENT%,…", value_delimiter = ',')]
    waves: Vec<Wave>,
    /// Wait so long between two waves, as 90, 15m or 2h
    #[arg(long, value_name = "TIME", value_parser = time, requires = "waves")]
    pause: Option<Duration>,
    /// If a wave is refused, take back those before it
    #[arg(long, requires = "waves")]
    undo: bool,
}

impl WaveArguments {
    /// The waves.
    ///
    /// # Errors
    ///
    /// If one asks fewer nodes than the one before, as far as that can be seen without the fleet.
    pub fn waves(&self) -> Result<Waves> {
        for pair in self.waves.windows(2) {
            let fewer = match (pair[0], pair[1]) {
                (Wave::Nodes(before), Wave::Nodes(after))
                | (Wave::Percent(before), Wave::Percent(after)) => after <= before,
                _ => false,
            };
            if fewer {
                return Err(
                    Error::usage("each wave has to be larger than the one before it")
                        .with_hint("they count the nodes in all, as 1,10%,100%"),
                );
            }
        }
        Ok(Waves {
            sizes: match self.waves.is_empty() {
                true => vec![Wave::Percent(100)],
                false => self.waves.clone(),
            },
            pause: self.pause.unwrap_or_default(),
            undo: self.undo,
        })
    }
}

/// A rollout.
#[derive(Clone, Debug)]
pub struct Waves {
    sizes: Vec<Wave>,
    /// Between two of them.
    pub pause: Duration,
    /// What was done is taken back if a wave is refused.
    pub undo: bool,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which one, from 1.
    pub number: usize,
    /// The only nodes that hold it afterwards. None for all that there are and will be.
    pub only: Option<BTreeSet<Name>>,
}

impl Waves {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// The first wave that asks more nodes than hold it. `all` are the nodes that the policy is for in the end,
    /// `ready` those of them that can be asked now.
    pub fn next(
        &self,
        all: usize,
        ready: &BTreeSet<Name>,
        holders: &BTreeSet<Name>,
    ) -> Option<Step> {
        for (index, wave) in self.sizes.iter().enumerate() {
            let number = index + 1;
            let size = wave.size(all);
            if size == all {
                return Some(Step { number, only: None });
            }
            let more = ready.difference(holders);
            let more = more.take(size.saturating_sub(holders.len()));
            let only: BTreeSet<Name> = holders.iter().chain(more).cloned().collect();
            if only.len() > holders.len() {
                return Some(Step {
                    number,
                    only: Some(only),
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> BTreeSet<Name> {
        let names = (0..count).map(|number| format!("n{number:03}").parse().expect("a name"));
        names.collect()
    }

    fn sizes(waves: &str, all: usize) -> Vec<usize> {
        let waves = Waves {
            sizes: waves
                .split(',')
                .map(|it| it.parse().expect("a wave"))
                .collect(),
            pause: Duration::ZERO,
            undo: false,
        };
        let (all, mut holders, mut sizes) = (names(all), BTreeSet::new(), Vec::new());
        while holders != all {
            let Some(step) = waves.next(all.len(), &all, &holders) else {
                break;
            };
            let after = step.only.unwrap_or_else(|| all.clone());
            assert!(holders.is_subset(&after) && holders != after);
            holders = after;
            sizes.push(holders.len());
        }
        sizes
    }

    #[test]
    fn each_wave_is_larger() {
        assert_eq!(sizes("1,10%,100%", 40), [1, 4, 40]);
        assert_eq!(sizes("1,10%,100%", 3), [1, 3]);
        assert_eq!(sizes("2,50%", 40), [2, 20]);
        assert_eq!(sizes("10%,100%", 1), [1]);
        assert_eq!(sizes("100", 40), [40]);
    }

    #[test]
    fn what_is_no_wave() {
        for text in ["", "0", "0%", "101%", "-1", "x", "1.5", "%"] {
            text.parse::<Wave>().expect_err(text);
        }
        for text in ["", "m", "-1", "1d", "5000000000", "2000000h", "1 m"] {
            time(text).expect_err(text);
        }
        assert_eq!(time("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(time("90"), time("90s"));
    }
}
