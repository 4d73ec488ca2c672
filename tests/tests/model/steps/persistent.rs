//! Persistent reservations and exclusions.

use portkeep_tests::raw::{ADOPT, PART};

use crate::call::Call;
use crate::model::{Lifetime, Wanted, consumer};
use crate::operation::{Consumer, EXCLUDABLE, Range};
use crate::world::{At, World, pick};

impl World<'_> {
    pub(super) fn create(
        &mut self,
        at: At,
        start: u16,
        count: u16,
        adopt: bool,
        consumers: &[Consumer],
    ) -> Result<(), String> {
        let wanted = Wanted {
            start,
            count,
            align: 0,
            adopt,
        };
        let ask = self.model.ask_create(at.who, at.socket, wanted, consumers);
        let caller = self.model.process(at.who).person;
        let (named, kept): (Vec<_>, Vec<_>) =
            consumers.iter().map(|it| consumer(*it, caller)).unzip();
        let call = Call::Create {
            slot: at.slot,
            start,
            count,
            flags: if adopt { ADOPT } else { 0 },
            consumers: named,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            let kept: Vec<(u32, u64)> = kept.into_iter().flatten().collect();
            let user = kept.iter().find(|(kind, _)| *kind == 1);
            let lifetime = Lifetime::Persistent {
                uid: user.map_or(caller.uid(), |(_, uid)| *uid as u32),
                consumers: kept,
            };
            self.model
                .reserve(at.who, at.socket, wanted, answer.instance, lifetime)?;
        }
        self.check_socket(at, &answer)
    }

    pub(super) fn delete(&mut self, at: At, range: Range, part: bool) -> Result<(), String> {
        let (start, count) = self.range(at, range);
        // The store would not know.
        if EXCLUDABLE.contains(&start) {
            return Ok(());
        }
        let ask = self
            .model
            .ask_delete(at.who, at.socket, (start, count), part);
        let call = Call::Delete {
            slot: at.slot,
            start,
            count,
            flags: if part { PART } else { 0 },
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            let of = self.model.socket(at.socket);
            self.model.delete(of.netns, of.udp, start, count);
        }
        self.check_socket(at, &answer)
    }

    pub(super) fn look_up(&mut self, at: At, range: Range) -> Result<(), String> {
        let (start, count) = self.range(at, range);
        let ask = self.model.ask_look_up(at.socket, start, count);
        let call = Call::LookUp {
            slot: at.slot,
            start,
            count,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            let mut found = self.model.persistent(at.socket);
            let token = found.find(|it| it.start == start).and_then(|it| it.token);
            let wanted = token.map(|token| (start, count, token));
            if answer.instance != wanted {
                return Err(format!("{:?} was found, not {wanted:?}", answer.instance));
            }
        }
        self.check_socket(at, &answer)
    }

    fn range(&self, at: At, range: Range) -> (u16, u16) {
        match range {
            Range::Ports { start, count } => (start, count),
            Range::Of {
                reservation,
                skip,
                cut,
            } => {
                let all: Vec<_> = self
                    .model
                    .persistent(at.socket)
                    .map(|it| (it.start, it.count))
                    .collect();
                let (start, count) = pick(&all, reservation).unwrap_or((1, 1));
                (start.saturating_add(skip), count.saturating_sub(skip + cut))
            }
        }
    }
}
