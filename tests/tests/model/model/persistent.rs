//! Persistent reservations, found by their ports.

use portkeep_tests::libc::{EACCES, EINVAL, ENOENT};

use super::{Ask, BOBS_GROUP, Lifetime, Model, Netns, ProcessId, Reservation, SocketId};
use crate::operation::{Consumer, Person};

/// A consumer as the ABI has it, and as the kernel keeps it: `None` where the caller's user
/// namespace does not know it.
pub(crate) fn consumer(consumer: Consumer, caller: Person) -> ((u32, u64), Option<(u32, u64)>) {
    let in_container = caller == Person::Container;
    let (kind, id) = match consumer {
        Consumer::Alice => (1, Person::Alice.uid()),
        Consumer::BobsGroup => (2, BOBS_GROUP),
        Consumer::Everybody => (3, 1),
        Consumer::Root => (1, 0),
    };
    let kept = match consumer {
        Consumer::Everybody => Some(id),
        Consumer::Root if in_container => Some(Person::Container.uid()),
        _ if in_container => None,
        _ => Some(id),
    };
    let wide = |id: u32| (kind, u64::from(id));
    (wide(id), kept.map(wide))
}

impl Model {
    pub(crate) fn persistent(&self, socket: SocketId) -> impl Iterator<Item = &Reservation> {
        let of = self.socket(socket);
        self.reservations.iter().filter(|it| {
            (it.netns, it.udp) == (of.netns, of.udp)
                && matches!(it.lifetime, Lifetime::Persistent { .. })
        })
    }

    pub(crate) fn ask_look_up(&self, socket: SocketId, start: u16, count: u16) -> Ask {
        let mut ask = Ask::default();
        if is_no_range(start, count) {
            ask.refuse(EINVAL, None);
        } else if !self
            .persistent(socket)
            .any(|it| (it.start, it.count) == (start, count))
        {
            ask.refuse(ENOENT, None);
        }
        ask
    }

    pub(crate) fn ask_delete(
        &self,
        who: ProcessId,
        socket: SocketId,
        (start, count): (u16, u16),
        part: bool,
    ) -> Ask {
        let mut ask = Ask::default();
        if is_no_range(start, count) {
            ask.refuse(EINVAL, None);
        }
        if !self.administers(who, self.socket(socket).netns) {
            ask.refuse(EACCES, None);
        }
        if ask.is_granted() {
            let end = start + (count - 1);
            let found = self.persistent(socket).any(|it| match part {
                true => it.ports().contains(&start) && it.ports().contains(&end),
                false => it.ports() == (start..=end),
            });
            if !found {
                ask.refuse(ENOENT, None);
            }
        }
        ask
    }

    /// Ends a persistent reservation, or what is within the ports of it.
    pub(crate) fn delete(&mut self, netns: Netns, udp: bool, start: u16, count: u16) {
        let end = start + (count - 1);
        let index = self
            .reservations
            .iter()
            .position(|it| (it.netns, it.udp) == (netns, udp) && it.ports().contains(&start));
        let whole = self.reservations.remove(index.expect("it was granted"));
        let (first, last) = whole.ports().into_inner();
        if first < start {
            self.reservations.push(Reservation {
                count: start - first,
                ..whole.clone()
            });
        }
        if end < last {
            self.reservations.push(Reservation {
                start: end + 1,
                count: last - end,
                token: None,
                ..whole
            });
        }
    }
}

fn is_no_range(start: u16, count: u16) -> bool {
    start == 0 || count == 0 || u32::from(start) + u32::from(count) > 65536
}
