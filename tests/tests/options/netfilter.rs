//! The tables of iptables and its kin, whose values are longer than a page.

use std::rc::Rc;

use portkeep_tests::libc;

use crate::call::{LONGEST, get};
use crate::plan::Group;
use crate::socket::{Kind, State};

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, those of arptables, and those of revisions.
const NUMBERS: [i32; 8] = [64, 65, 66, 67, 96, 97, 98, 99];

/// Names of tables, in the 32 bytes that begin each question.
const TABLES: [&str; 4] = ["filter", "nat", "raw", "none"];

/// What comes behind the name: for entries their size, which has to be right.
const SIZES: [u32; 4] = [0, 632, 640, 5000];

pub(crate) fn on(kind: Kind) -> Vec<Group> {
    let level = match kind.family {
        libc::AF_INET => libc::IPPROTO_IP,
        libc::AF_INET6 => libc::IPPROTO_IPV6,
        _ => return Vec::new(),
    };
    if (kind.kind, kind.state) != (libc::SOCK_RAW, State::Fresh) {
        return Vec::new();
    }
    let mut calls = Vec::new();
    for table in TABLES {
        for size in SIZES {
            let mut value = table.as_bytes().to_vec();
            value.resize(32, 0);
            value.extend(size.to_ne_bytes());
            value.resize(40, 0);
            let value: Rc<[u8]> = Rc::from(value);
            for number in NUMBERS {
                for length in [0, 29, 30, 40, 84, 40 + size as usize, 8192, LONGEST] {
                    calls.push(get(level, number, length).asking(&value));
                }
            }
        }
    }
    vec![Group { kind, calls }]
}
