//! What `portkeep exclude` and `include` do in the trial's own network namespace, and so to automatic
//! ports.

use std::ops::RangeInclusive;

use super::{Lifetime, Model, Netns, Reservation};
use crate::operation::{AUTOMATIC, KEPT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exclusion {
    pub(crate) udp: bool,
    pub(crate) start: u16,
    pub(crate) count: u16,
}

impl Exclusion {
    fn ports(&self) -> RangeInclusive<u16> {
        self.start..=self.start + (self.count - 1)
    }

    fn overlaps(&self, other: &Exclusion) -> bool {
        self.udp == other.udp && self.ports().any(|port| other.ports().contains(&port))
    }

    fn covers(&self, other: &Exclusion) -> bool {
        self.udp == other.udp && other.ports().all(|port| self.ports().contains(&port))
    }
}

impl Model {
    /// Whether a port is an automatic one that connect(2) may take.
    pub(crate) fn is_automatic(&self, netns: Netns, port: u16) -> bool {
        (AUTOMATIC.0..=AUTOMATIC.1).contains(&port)
            && !(KEPT.0..=KEPT.1).contains(&port)
            && !(netns == 0 && self.kept.contains(&port))
    }

    /// What `ip_local_reserved_ports` has to be.
    pub(crate) fn kept(&self) -> impl Iterator<Item = u16> {
        (KEPT.0..=KEPT.1).chain(self.kept.iter().copied())
    }

    /// Those that are not there yet; the error is that they cannot be excluded.
    pub(crate) fn ask_exclude(&self, wanted: &[Exclusion]) -> Result<Vec<Exclusion>, ()> {
        let mut new = wanted.to_vec();
        new.retain(|it| !self.exclusions.contains(it));
        let in_the_way = |it: &Exclusion| {
            it.ports()
                .any(|port| self.reservation_at(0, it.udp, port).is_some())
        };
        if new.iter().any(in_the_way) {
            return Err(());
        }
        Ok(new)
    }

    pub(crate) fn exclude(&mut self, new: &[Exclusion]) {
        for it in new {
            self.exclusions.push(*it);
            self.reservations.push(Reservation {
                netns: 0,
                udp: it.udp,
                start: it.start,
                count: it.count,
                token: None,
                lifetime: Lifetime::Persistent {
                    uid: 0,
                    consumers: vec![(3, 1)],
                },
                charged: None,
                since: None,
            });
        }
        self.keep();
    }

    /// The parts of exclusions that end; the error is that nothing can be included.
    pub(crate) fn ask_include(&self, wanted: &[Exclusion]) -> Result<Vec<Exclusion>, ()> {
        let mut cuts = Vec::new();
        for it in wanted {
            match self.exclusions.iter().find(|other| other.overlaps(it)) {
                Some(other) if other.covers(it) => cuts.push(*it),
                Some(_) => return Err(()),
                None => {
                    let reserved = |port| self.reservation_at(0, it.udp, port).is_some();
                    if it.ports().any(reserved) {
                        return Err(());
                    }
                }
            }
        }
        Ok(cuts)
    }

    pub(crate) fn include(&mut self, cuts: &[Exclusion]) {
        for cut in cuts {
            let whole = self.exclusions.iter().position(|it| it.covers(cut));
            let whole = self.exclusions.remove(whole.expect("an exclusion"));
            let ends = *cut.ports().end();
            let before = whole.start..cut.start;
            let behind = ends + 1..whole.ports().end() + 1;
            for rest in [before, behind].into_iter().filter(|rest| !rest.is_empty()) {
                self.exclusions.push(Exclusion {
                    start: rest.start,
                    count: rest.end - rest.start,
                    ..whole
                });
            }
            self.delete(0, cut.udp, cut.start, cut.count);
        }
        self.keep();
    }

    /// What is excluded is kept, and of what was kept all that somebody still reserves.
    fn keep(&mut self) {
        let reserved = |port| [false, true].map(|udp| self.reservation_at(0, udp, port).is_some());
        let mut kept = self.kept.clone();
        kept.retain(|port| reserved(*port).contains(&true));
        kept.extend(self.exclusions.iter().flat_map(Exclusion::ports));
        self.kept = kept;
    }
}
