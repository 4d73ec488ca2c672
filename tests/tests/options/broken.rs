//! Calls with arguments that are wrong. With any program at these hooks the kernel itself copies the
//! whole value before it looks at the call, and refuses a negative length; `docs/costs.md` says so.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use portkeep_tests::foreign::{GETSOCKOPT, PROCEED, SETSOCKOPT, attach};
use portkeep_tests::{Sandbox, enable, libc};

use crate::call::{Answer, Call, get, set};
use crate::plan::Group;
use crate::run::{self, User};
use crate::socket::{Kind, State};

/// No protocol has options at this level.
const NO_LEVEL: i32 = 999;

/// On an IPv6 TCP socket: the call, its result without a program at the hooks, and with one.
fn calls() -> Vec<(Call, i32, i32)> {
    let one: Rc<[u8]> = Rc::from(1_i32.to_ne_bytes());
    let too_long = |level, option, length| Call {
        room: Some(4),
        ..set(level, option, &one, length)
    };
    let negative = |level, option| Call {
        length: -1,
        ..get(level, option, 4)
    };
    let fault = -libc::EFAULT;
    vec![
        // Only the first four bytes are there, and the kernel reads no more of these options.
        (too_long(libc::SOL_SOCKET, libc::SO_REUSEADDR, 8), 0, fault),
        (
            too_long(libc::IPPROTO_TCP, libc::TCP_NODELAY, 4096),
            0,
            fault,
        ),
        (
            too_long(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 65536),
            0,
            fault,
        ),
        // A null pointer stands for 0.
        (
            set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &one, 4).without_buffer(),
            0,
            fault,
        ),
        // The value of an option that there is not.
        (
            set(NO_LEVEL, 1, &one, 4).without_buffer(),
            -libc::ENOPROTOOPT,
            fault,
        ),
        (negative(NO_LEVEL, 1), -libc::ENOPROTOOPT, -libc::EINVAL),
        // As ever.
        (
            negative(libc::SOL_SOCKET, libc::SO_REUSEADDR),
            -libc::EINVAL,
            -libc::EINVAL,
        ),
        (
            set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &one, 4).without_buffer(),
            fault,
            fault,
        ),
        (
            get(libc::SOL_SOCKET, libc::SO_REUSEADDR, 4).without_buffer(),
            fault,
            fault,
        ),
    ]
}

pub(crate) fn arguments_change_with_any_program(sandbox: &Sandbox) {
    let (calls, outside, inside) = unzip(calls());
    let kind = Kind {
        family: libc::AF_INET6,
        kind: libc::SOCK_STREAM,
        protocol: libc::IPPROTO_TCP,
        state: State::Fresh,
    };
    // Each on a socket of its own.
    let plan: Vec<_> = calls
        .into_iter()
        .map(|call| Group {
            kind,
            calls: vec![call],
        })
        .collect();
    let results = |cgroup: &Path| {
        results(run::in_cgroup(
            cgroup,
            User::Root,
            &plan,
            sandbox.state_dir(),
        ))
    };

    run::need_no_program(&sandbox.outside_cgroup());
    enable::enable(sandbox);
    assert_eq!(results(&sandbox.outside_cgroup()), outside);
    assert_eq!(results(&sandbox.inside_cgroup()), inside);

    // What the kernel does with a program that lets everything pass.
    let idle = sandbox.outside_cgroup().join("idle");
    fs::create_dir(&idle).expect("make a cgroup");
    let _links = [GETSOCKOPT, SETSOCKOPT].map(|hook| attach(hook, &PROCEED, &idle));
    assert_eq!(results(&idle), inside);
}

fn unzip(calls: Vec<(Call, i32, i32)>) -> (Vec<Call>, Vec<i32>, Vec<i32>) {
    let outside = calls.iter().map(|(_, outside, _)| *outside).collect();
    let inside = calls.iter().map(|(_, _, inside)| *inside).collect();
    (
        calls.into_iter().map(|(call, ..)| call).collect(),
        outside,
        inside,
    )
}

/// Of each call; between them stands that its socket was opened.
fn results(answers: Vec<Answer>) -> Vec<i32> {
    answers
        .chunks(2)
        .map(|pair| {
            assert_eq!(pair[0], [0]);
            pair[1][0]
        })
        .collect()
}
