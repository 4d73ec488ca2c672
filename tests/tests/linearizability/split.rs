//! From what processes did to what happened to each port.

use std::collections::BTreeMap;

use portkeep_tests::Protocol;
use portkeep_tests::raw::{CONFLICT_IN_USE, CONFLICT_RESERVED};

use crate::checker::{Event, History};
use crate::port::{Action, Need, Pid};
use crate::record::{Call, Kind};
use crate::work::{LAST, LEFT};

/// What one process did, and the instants between which it ended.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) pid: Pid,
    pub(crate) calls: Vec<Call>,
    pub(crate) ends: (u64, u64),
}

/// The history of each port that a call was about.
pub(crate) fn by_port(lives: &[Life]) -> BTreeMap<(Protocol, u16), History> {
    let mut ports: Vec<(Protocol, u16)> = lives
        .iter()
        .flat_map(|life| &life.calls)
        .flat_map(|call| ports(call).map(|port| (call.protocol, port)))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let history = |at| (at, of_port(lives, at));
    ports.into_iter().map(history).collect()
}

fn ports(call: &Call) -> std::ops::Range<u16> {
    match call.start {
        0 => 0..0,
        // A block may go beyond the ports that others bind to.
        start => start..(start + call.count).min(LAST + 1),
    }
}

fn is_about(call: &Call, (protocol, port): (Protocol, u16)) -> bool {
    call.protocol == protocol && ports(call).contains(&port)
}

fn of_port(lives: &[Life], at: (Protocol, u16)) -> History {
    let mut history = History::new();
    for life in lives {
        let mut events = Vec::new();
        let (mut reserved, mut bound) = (None, None);
        let mut ends = life.ends.0;
        for call in life.calls.iter().filter(|call| is_about(call, at)) {
            let Some(action) = action(lives, life, call, at) else {
                // One that gives something back may have done so before the process was killed.
                if call.answer.is_none() {
                    ends = call.invoked;
                }
                continue;
            };
            match action {
                Action::Acquire(id) => reserved = Some(id),
                Action::Release(_) => reserved = None,
                Action::Bind(id) | Action::BindAssociated(id) => bound = Some(id),
                Action::Close(_) => bound = None,
                Action::Refused(_) => {}
            }
            events.push(Event {
                invoked: call.invoked,
                responded: call.answer.map_or(life.ends.1, |answer| answer.responded),
                action,
            });
        }
        history.push(events);
        // The kernel closes what a killed process had in whatever order.
        let left = [reserved.map(Action::Release), bound.map(Action::Close)];
        history.extend(left.into_iter().flatten().map(|action| {
            vec![Event {
                invoked: ends,
                responded: life.ends.1,
                action,
            }]
        }));
    }
    history
}

/// What a call means for a port; `None` if nothing that can be told.
fn action(lives: &[Life], life: &Life, call: &Call, at: (Protocol, u16)) -> Option<Action> {
    let id = (life.pid, call.id);
    let answer = call.answer?;
    if answer.errno != 0 {
        let (kind, port, pid) = answer.conflict;
        // A block is refused for one port, and nothing is said of the others.
        return match kind {
            CONFLICT_RESERVED if port == at.1 => {
                let others = |kind| kind == Kind::Acquire;
                Some(Action::Refused(match pid {
                    0 => Need::Reserved {
                        or_others_try: others_try(lives, life, call, at, others),
                    },
                    _ if was_interrupted(lives, pid, at) => return None,
                    pid => Need::ReservedBy(pid),
                }))
            }
            CONFLICT_IN_USE if port == at.1 => Some(Action::Refused(Need::Bound {
                or_others_try: others_try(lives, life, call, at, is_bind),
            })),
            // A TIME_WAIT is in the way of a bind, and of nothing else.
            0 if at == (Protocol::Tcp, LEFT) => None,
            // The kernel's own refusal, which says nothing.
            0 => Some(Action::Refused(Need::Bound {
                or_others_try: others_try(lives, life, call, at, is_bind),
            })),
            _ => None,
        };
    }
    Some(match call.kind {
        Kind::Acquire => Action::Acquire(id),
        Kind::Release => Action::Release(id),
        Kind::Bind => Action::Bind(id),
        Kind::BindAssociated | Kind::Connect => Action::BindAssociated(id),
        Kind::Close => Action::Close(id),
    })
}

fn is_bind(kind: Kind) -> bool {
    matches!(kind, Kind::Bind | Kind::BindAssociated | Kind::Connect)
}

/// Whether another process made such a call about the port at the same time.
fn others_try(
    lives: &[Life],
    life: &Life,
    call: &Call,
    at: (Protocol, u16),
    kind: impl Fn(Kind) -> bool,
) -> bool {
    let responded = |call: &Call, life: &Life| {
        let responded = call.answer.map(|answer| answer.responded);
        responded.unwrap_or(life.ends.1)
    };
    let (from, to) = (call.invoked, responded(call, life));
    lives
        .iter()
        .filter(|other| other.pid != life.pid)
        .any(|other| {
            // They are in the order of their time.
            let first = other
                .calls
                .partition_point(|it| responded(it, other) < from);
            other.calls[first..]
                .iter()
                .take_while(|it| it.invoked <= to)
                .any(|it| kind(it.kind) && may_try(it, at))
        })
}

/// A wildcard tries other ports before those that it gets, and so does an implicit bind.
fn may_try(call: &Call, at: (Protocol, u16)) -> bool {
    is_about(call, at) || call.wildcard && call.protocol == at.0
}

/// Whether the process was killed in the midst of an acquire: others may have seen what it had.
fn was_interrupted(lives: &[Life], pid: Pid, at: (Protocol, u16)) -> bool {
    lives
        .iter()
        .filter(|life| life.pid == pid)
        .flat_map(|life| life.calls.last())
        .any(|call| call.answer.is_none() && call.kind == Kind::Acquire && may_try(call, at))
}

pub(crate) mod tests {
    use portkeep_tests::Protocol::Tcp;
    use portkeep_tests::libc;

    use super::{Life, by_port};
    use crate::checker::check;
    use crate::record::{Answer, Call, Kind};
    use crate::work::LEFT;

    fn call(kind: Kind, start: u16, count: u16, id: u32, times: (u64, u64)) -> Call {
        Call {
            kind,
            protocol: Tcp,
            start,
            wildcard: start == 0,
            count,
            id,
            invoked: times.0,
            answer: (times.1 != 0).then_some(Answer {
                responded: times.1,
                ..Answer::default()
            }),
        }
    }

    fn life(pid: u32, calls: &[Call], ends: (u64, u64)) -> Life {
        Life {
            pid,
            calls: calls.to_vec(),
            ends,
        }
    }

    fn verdicts(lives: &[Life]) -> Vec<(u16, bool)> {
        by_port(lives)
            .iter()
            .map(|((_, port), history)| (*port, check(history).is_ok()))
            .collect()
    }

    pub(crate) fn a_block_is_each_of_its_ports() {
        let owner = life(1, &[call(Kind::Acquire, 10, 2, 1, (1, 2))], (9, 9));
        let granted = call(Kind::Bind, 11, 1, 1, (3, 4));
        let stranger = life(2, &[granted], (9, 9));
        assert_eq!(verdicts(&[owner, stranger]), [(10, true), (11, false)]);

        // A refusal is about the port that it names.
        let owner = life(1, &[call(Kind::Bind, 11, 1, 1, (1, 2))], (9, 9));
        for (named, verdict) in [(10, false), (11, true)] {
            let mut refused = call(Kind::Acquire, 10, 2, 1, (3, 4));
            refused.answer = Some(Answer {
                responded: 4,
                errno: libc::EADDRINUSE as u16,
                conflict: (2, named, 0),
            });
            let owner = life(1, &owner.calls, owner.ends);
            let other = life(2, &[refused], (9, 9));
            assert_eq!(verdicts(&[owner, other]), [(10, verdict), (11, true)]);
        }
    }

    pub(crate) fn the_end_of_a_process_ends_what_it_has() {
        let owner = || life(1, &[call(Kind::Acquire, 10, 1, 1, (1, 2))], (5, 6));
        let stranger = |times| life(2, &[call(Kind::Bind, 10, 1, 1, times)], (9, 9));
        assert_eq!(verdicts(&[owner(), stranger((5, 6))]), [(10, true)]);
        assert_eq!(verdicts(&[owner(), stranger((3, 4))]), [(10, false)]);
        // Killed in the midst of a release.
        let calls = [
            call(Kind::Acquire, 10, 1, 1, (1, 2)),
            call(Kind::Release, 10, 1, 1, (3, 0)),
        ];
        let owner = || life(1, &calls, (5, 6));
        assert_eq!(verdicts(&[owner(), stranger((3, 4))]), [(10, true)]);
    }

    pub(crate) fn an_implicit_bind_takes_one_port_of_a_block() {
        // Which one, connect() told afterwards.
        let connect = |port| Call {
            wildcard: true,
            ..call(Kind::Connect, port, 1, 2, (3, 4))
        };
        let acquire = call(Kind::Acquire, 10, 2, 1, (1, 2));
        let owner =
            |port, rest: &[Call]| life(1, &[&[acquire, connect(port)], rest].concat(), (9, 9));
        assert_eq!(verdicts(&[owner(11, &[])]), [(10, true), (11, true)]);
        let outside = owner(12, &[]);
        assert_eq!(verdicts(&[outside]), [(10, true), (11, true), (12, false)]);
        // It stays bound when the block has ended, whatever it moves to.
        let release = call(Kind::Release, 10, 2, 1, (5, 6));
        let other = life(2, &[call(Kind::Acquire, 11, 1, 1, (7, 8))], (9, 9));
        assert_eq!(
            verdicts(&[owner(11, &[release]), other]),
            [(10, true), (11, false)]
        );
    }

    pub(crate) fn a_time_wait_refuses_a_bind_only() {
        let refused = |kind, conflict| {
            let mut refused = call(kind, LEFT, 1, 1, (1, 2));
            refused.answer = Some(Answer {
                responded: 2,
                errno: libc::EADDRINUSE as u16,
                conflict,
            });
            verdicts(&[life(1, &[refused], (9, 9))])
        };
        assert_eq!(refused(Kind::Bind, (0, 0, 0)), [(LEFT, true)]);
        assert_eq!(refused(Kind::Acquire, (2, LEFT, 0)), [(LEFT, false)]);
    }
}
