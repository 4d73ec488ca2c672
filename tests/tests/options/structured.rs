//! Options whose values are structures, lists or names, set to what the kernel takes.

mod generic;
mod ipv4;
mod ipv6;
mod other;
mod tcp;
mod value;

use std::rc::Rc;

use portkeep_tests::libc;

use crate::call::{Call, LONGEST, get, set};
use crate::plan::Group;
use crate::socket::Kind;

/// Lengths at which lists and structures are read: too short, just so, too long, over a page.
const READ: [usize; 18] = [
    0, 1, 2, 3, 4, 5, 8, 12, 16, 20, 32, 64, 136, 256, 1024, 4096, 4097, LONGEST,
];

/// No number of a family, type or option.
const ANY: i32 = -1;

struct Setting {
    family: i32,
    kind: i32,
    level: i32,
    number: i32,
    value: Vec<u8>,
    /// The one that reads it, where it is another.
    read: i32,
}

/// Takes family, type, level, number, the number that reads it, and the value; [`ANY`] for a family
/// or type means each, for what reads it the same number.
type Add<'a> = &'a mut dyn FnMut(i32, i32, i32, i32, i32, Vec<u8>);

fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut add = |family, kind, level, number, read, value: Vec<u8>| {
        settings.push(Setting {
            family,
            kind,
            level,
            number,
            value,
            read: if read == ANY { number } else { read },
        });
    };
    for family in [
        generic::settings,
        ipv4::settings,
        ipv6::settings,
        tcp::settings,
        other::settings,
    ] {
        family(&mut add);
    }
    settings
}

impl Setting {
    fn concerns(&self, kind: Kind) -> bool {
        let is = |wanted, there| wanted == ANY || wanted == there;
        is(self.family, kind.family)
            && is(self.kind, kind.kind)
            // Most options of other families are only answered.
            && (self.family != ANY || self.level != libc::SOL_SOCKET || kind.protocol < 4)
    }

    fn calls(&self) -> Vec<Call> {
        let value: Rc<[u8]> = Rc::from(self.value.as_slice());
        let mut calls = Vec::new();
        if !value.is_empty() {
            calls.push(set(self.level, self.number, &value, value.len()));
        }
        for length in READ {
            let mut call = get(self.level, self.read, length);
            if (self.level, self.read) == (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) {
                // SO_GET_FILTER counts instructions.
                call.room = Some((8 * length).min(LONGEST));
            }
            calls.push(call.clone().asking(&value));
            calls.push(call);
        }
        calls.push(get(self.level, self.read, 0).without_buffer());
        // Shorter and longer than it is, and again.
        for length in [value.len() / 2, value.len() + 1, 4096, 5000] {
            calls.push(set(self.level, self.number, &value, length));
            calls.push(get(self.level, self.read, length).asking(&value));
        }
        calls
    }
}

pub(crate) fn on(kind: Kind) -> Vec<Group> {
    let settings = settings();
    let concerned = settings.iter().filter(|setting| setting.concerns(kind));
    concerned
        .map(|setting| Group {
            kind,
            calls: setting.calls(),
        })
        .collect()
}
