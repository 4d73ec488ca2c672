//! Two ways to be served, whose answers are to be the same.

use std::fmt;
use std::path::Path;

use crate::call::{Answer, Call, UNTOUCHED};
use crate::plan::Group;
use crate::run::{self, User};
use crate::socket::Kind;

/// In the place of what is not the same each time: a time, a cookie, an address.
const VARIES: i32 = i32::MIN;

/// What all runs of one side have in common.
#[derive(Default)]
struct Side(Vec<Answer>);

impl Side {
    fn merge(&mut self, answers: Vec<Answer>) {
        if self.0.is_empty() {
            self.0 = answers;
            return;
        }
        // A group whose sockets could not be opened this time would shift all others.
        assert_eq!(
            self.0.len(),
            answers.len(),
            "some sockets do not always open"
        );
        for (known, answer) in self.0.iter_mut().zip(answers) {
            let fields = known.len().max(answer.len());
            known.resize(fields, UNTOUCHED);
            for (index, known) in known.iter_mut().enumerate() {
                if *known != field(&answer, index) {
                    *known = VARIES;
                }
            }
        }
    }
}

fn field(answer: &Answer, index: usize) -> i32 {
    answer.get(index).copied().unwrap_or(UNTOUCHED)
}

/// A call that is always answered so on one side, and otherwise on the other.
#[derive(Debug)]
pub(crate) struct Difference<'a> {
    pub(crate) kind: Kind,
    pub(crate) call: &'a Call,
    /// Result or negative errno, length, and the first bytes.
    pub(crate) outside: Answer,
    pub(crate) inside: Answer,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            call,
            outside,
            inside,
        } = self;
        write!(
            f,
            "{kind:?} {call:?}\n  outside {outside:?}\n  inside  {inside:?}"
        )
    }
}

#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) calls: usize,
    /// Of them, those that the kernel carried out.
    pub(crate) succeeded: usize,
    /// Those whose result or length is not the same each time.
    pub(crate) unsteady: usize,
    pub(crate) differences: Vec<Difference<'a>>,
}

/// How often both sides answer at least: once more shows what grows or is chosen at random.
const ROUNDS: usize = 2;

/// Asks outside, where no program may be at the hooks, and inside in turn, as long as something seems to differ `rounds` times.
pub(crate) fn compare<'a>(
    plan: &'a [Group],
    user: User,
    cgroups: [&Path; 2],
    directory: &Path,
    rounds: usize,
) -> Comparison<'a> {
    let mut sides = [Side::default(), Side::default()];
    let mut round = 0;
    loop {
        run::need_no_program(cgroups[0]);
        for (side, cgroup) in sides.iter_mut().zip(cgroups) {
            side.merge(run::in_cgroup(cgroup, user, plan, directory));
        }
        round += 1;
        if round < ROUNDS {
            continue;
        }
        run::need_no_program(cgroups[0]);
        let comparison = judge(plan, &sides[0], &sides[1]);
        if comparison.differences.is_empty() || round >= rounds {
            return comparison;
        }
    }
}

fn judge<'a>(plan: &'a [Group], one: &Side, other: &Side) -> Comparison<'a> {
    let mut comparison = Comparison {
        calls: 0,
        succeeded: 0,
        unsteady: 0,
        differences: Vec::new(),
    };
    let mut answers = one.0.iter().zip(&other.0);
    for group in plan {
        let (opened, there) = answers.next().expect("a group");
        assert_eq!(opened, there, "{:?} opens on one side only", group.kind);
        if opened[0] != 0 {
            continue;
        }
        for call in &group.calls {
            let (outside, inside) = answers.next().expect("an answer");
            comparison.calls += 1;
            comparison.succeeded += usize::from(outside[0] >= 0);
            comparison.unsteady += usize::from(outside[..2].contains(&VARIES));
            if differ(outside, inside) {
                let head = |answer: &Answer| answer.iter().take(40).copied().collect();
                comparison.differences.push(Difference {
                    kind: group.kind,
                    call,
                    outside: head(outside),
                    inside: head(inside),
                });
            }
        }
    }
    assert!(answers.next().is_none());
    comparison
}

fn differ(one: &Answer, other: &Answer) -> bool {
    (0..one.len().max(other.len())).any(|index| {
        let (one, other) = (field(one, index), field(other, index));
        one != VARIES && other != VARIES && one != other
    })
}
