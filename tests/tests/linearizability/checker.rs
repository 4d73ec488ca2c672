//! Is there an order of the calls in which each could have come to what it did, and in which none
//! comes before one that had returned before it was made?
//!
//! The search of Wing and Gong (1993), with Lowe's memory of where it has been (2017). As a process
//! makes its calls one after the other, a place in the search is how many calls of each process are
//! behind it, and the port.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::port::{Action, Port};

/// A call and the instants before and after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) invoked: u64,
    pub(crate) responded: u64,
    pub(crate) action: Action,
}

/// The calls about one port: of each process in their order.
pub(crate) type History = Vec<Vec<Event>>;

/// Calls shown about the place that no order gets past.
const SHOWN: usize = 6;

/// The error shows the calls about which no order can be found.
pub(crate) fn check(history: &History) -> Result<(), String> {
    let start = (vec![0_usize; history.len()], Port::default());
    let mut furthest = start.clone();
    let mut visited = HashSet::from([start.clone()]);
    let mut places = vec![start];
    while let Some((behind, port)) = places.pop() {
        let next = |lane: usize| history[lane].get(behind[lane]);
        let deadline = (0..history.len())
            .filter_map(|lane| next(lane).map(|event| event.responded))
            .min();
        // None of the calls ahead.
        let Some(deadline) = deadline else {
            return Ok(());
        };
        if behind.iter().sum::<usize>() > furthest.0.iter().sum() {
            furthest = (behind.clone(), port);
        }
        for lane in 0..history.len() {
            let Some(event) = next(lane).filter(|event| event.invoked <= deadline) else {
                continue;
            };
            if let Some(port) = port.after(event.action) {
                let mut behind = behind.clone();
                behind[lane] += 1;
                if visited.insert((behind.clone(), port)) {
                    places.push((behind, port));
                }
            }
        }
    }
    Err(describe(history, &furthest.0, furthest.1))
}

fn describe(history: &History, behind: &[usize], port: Port) -> String {
    let mut text = format!("Nothing can come next when there is {port:?}.\n");
    for (lane, events) in history.iter().enumerate() {
        let first = behind[lane].saturating_sub(SHOWN);
        for (index, event) in events.iter().enumerate().skip(first).take(2 * SHOWN) {
            let mark = if index < behind[lane] { ' ' } else { '>' };
            let _ = writeln!(
                text,
                "{lane} {mark} {}..{} {:?}",
                event.invoked, event.responded, event.action
            );
        }
    }
    text
}

pub(crate) mod tests {
    use super::{Event, check};
    use crate::port::Action::{self, Acquire, Bind, BindAssociated, Close, Refused, Release};
    use crate::port::Need;

    fn history(lanes: &[&[(u64, u64, Action)]]) -> Vec<Vec<Event>> {
        let events = |lane: &[(u64, u64, Action)]| {
            let event = |&(invoked, responded, action): &_| Event {
                invoked,
                responded,
                action,
            };
            lane.iter().map(event).collect()
        };
        lanes.iter().map(|lane| events(lane)).collect()
    }

    fn holds(lanes: &[&[(u64, u64, Action)]]) -> bool {
        check(&history(lanes)).is_ok()
    }

    const A: (u32, u32) = (1, 1);
    const B: (u32, u32) = (2, 1);

    pub(crate) fn one_after_the_other() {
        assert!(holds(&[]));
        assert!(holds(&[
            &[(0, 1, Acquire(A)), (2, 3, Release(A))],
            &[(4, 5, Bind(B)), (6, 7, Close(B))],
        ]));
    }

    pub(crate) fn at_once_in_either_order() {
        // The bind is refused by what was granted at the same time.
        let refused = Refused(Need::Reserved {
            or_others_try: false,
        });
        assert!(holds(&[&[(0, 9, Acquire(A))], &[(1, 8, refused)]]));
        // Both are granted: the release came between them.
        assert!(holds(&[
            &[(0, 1, Acquire(A)), (2, 9, Release(A))],
            &[(3, 8, Acquire(B))],
        ]));
    }

    pub(crate) fn two_owners() {
        assert!(!holds(&[&[(0, 9, Acquire(A))], &[(1, 8, Acquire(B))]]));
        assert!(!holds(&[
            &[(0, 1, Acquire(A)), (4, 5, Release(A))],
            &[(2, 3, Acquire(B))],
        ]));
    }

    pub(crate) fn bound_while_reserved() {
        assert!(!holds(&[
            &[(0, 1, Acquire(A)), (4, 5, Release(A))],
            &[(2, 3, Bind(B))],
        ]));
        assert!(holds(&[
            &[(0, 1, Acquire(A)), (4, 5, Release(A))],
            &[(2, 4, Bind(B))],
        ]));
    }

    pub(crate) fn reserved_while_bound() {
        assert!(!holds(&[
            &[(0, 1, Bind(A)), (4, 5, Close(A))],
            &[(2, 3, Acquire(B))],
        ]));
    }

    pub(crate) fn refused_without_a_reason() {
        let reserved = Refused(Need::Reserved {
            or_others_try: false,
        });
        let bound = Refused(Need::Bound {
            or_others_try: false,
        });
        assert!(!holds(&[&[(0, 1, reserved)]]));
        assert!(!holds(&[&[(0, 1, bound)]]));
        assert!(!holds(&[&[(0, 1, Acquire(A))], &[(2, 3, bound)]]));
        assert!(!holds(&[&[(0, 1, Bind(A))], &[(2, 3, reserved)]]));
        assert!(!holds(&[
            &[(0, 1, Acquire(A)), (2, 3, Release(A))],
            &[(4, 5, reserved)],
        ]));
    }

    pub(crate) fn refused_for_somebody_who_is_gone() {
        let told = Refused(Need::ReservedBy(A.0));
        assert!(holds(&[
            &[(0, 1, Acquire(A)), (3, 5, Release(A))],
            &[(2, 4, told)],
        ]));
        assert!(!holds(&[
            &[(0, 1, Acquire(A)), (2, 3, Release(A))],
            &[(4, 5, told)],
        ]));
        assert!(!holds(&[&[(0, 1, Acquire(B))], &[(2, 3, told)]]));
    }

    pub(crate) fn refused_for_what_others_try() {
        let refused = Refused(Need::Bound {
            or_others_try: true,
        });
        assert!(holds(&[&[(0, 1, refused)]]));
    }

    pub(crate) fn an_owner_binds_what_is_its_own() {
        let own = BindAssociated((A.0, 2));
        assert!(holds(&[&[
            (0, 1, Acquire(A)),
            (2, 3, own),
            (4, 5, Release(A)),
            (6, 7, Close((A.0, 2))),
        ]]));
        assert!(!holds(&[&[(0, 1, own)]]));
        assert!(!holds(&[&[(0, 1, Acquire(B))], &[(2, 3, own)]]));
        // It stays bound when the reservation is over.
        assert!(!holds(&[
            &[(0, 1, Acquire(A)), (2, 3, own), (4, 5, Release(A))],
            &[(6, 7, Acquire(B))],
        ]));
    }

    pub(crate) fn a_long_history() {
        let lane = |pid: u32, offset: u64| -> Vec<_> {
            (0..20_000_u32)
                .flat_map(|n| {
                    let (id, at) = ((pid, n), u64::from(n) * 8 + offset);
                    // Each release goes on into the other's acquire.
                    [(at, at + 2, Acquire(id)), (at + 3, at + 6, Release(id))]
                })
                .collect()
        };
        let (one, other) = (lane(1, 0), lane(2, 4));
        assert!(holds(&[&one, &other]));
        // A third owner somewhere in the middle.
        let middle = [(80_002, 80_003, Acquire((3, 1)))];
        assert!(!holds(&[&one, &other, &middle]));
    }
}
