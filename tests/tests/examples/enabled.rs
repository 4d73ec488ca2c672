//! With the kernel part: the examples do what they say.

use std::ops::RangeInclusive;
use std::process::Output;

use portkeep_tests::enable::{POOL_END, POOL_START, enable};
use portkeep_tests::{Sandbox, reservations};

use crate::command;
use crate::story::Story;

pub(crate) fn c(sandbox: &Sandbox) {
    tells_the_story(sandbox, command::c);
}

pub(crate) fn python(sandbox: &Sandbox) {
    tells_the_story(sandbox, command::python);
}

pub(crate) fn go(sandbox: &Sandbox) {
    tells_the_story(sandbox, command::go);
}

/// Two UDP ports, the first even, as RTP wants them.
pub(crate) fn the_crate(sandbox: &Sandbox) {
    enable(sandbox);
    let output = succeeded(&command::the_crate());
    let lines: Vec<_> = output.lines().collect();
    let [reserved, refused, opened] = lines.as_slice() else {
        panic!("not three lines: {output}")
    };
    let (start, end) = reserved
        .strip_prefix("reserved ")
        .and_then(|range| range.strip_suffix("/udp")?.split_once('-'))
        .expect("a range of UDP ports");
    let ports = start.parse().expect("a port")..=end.parse().expect("a port");
    assert_in_pool(&ports, 2);
    assert_eq!(ports.start() % 2, 0);
    let refusal = format!("a stranger's bind to port {start}: Address already in use");
    assert!(refused.starts_with(&refusal), "{refused}");
    assert_eq!(
        *opened,
        format!("RTP at 127.0.0.1:{start}, RTCP at 127.0.0.1:{end}")
    );
    assert_eq!(reservations::list(sandbox), []);
}

#[track_caller]
fn tells_the_story(sandbox: &Sandbox, run: fn(&Sandbox) -> Output) {
    enable(sandbox);
    let story = Story::read(&succeeded(&run(sandbox)));
    assert_in_pool(&story.ports, 8);
    assert_ne!(story.token, 0);
    let start = *story.ports.start();
    assert_eq!(story.refused, start);
    // The ids are those of the initial namespaces, in which trials run.
    assert_eq!(story.conflict, [start, story.pid, 0], "port, process, user");
    assert!(story.ports.contains(&story.chosen), "{story:?}");
    assert_eq!(story.after_release, start);
    assert_eq!(reservations::list(sandbox), []);
}

#[track_caller]
fn assert_in_pool(ports: &RangeInclusive<u64>, count: u64) {
    assert_eq!(ports.end() - ports.start() + 1, count, "{ports:?}");
    let pool = u64::from(POOL_START)..=u64::from(POOL_END);
    assert!(
        pool.contains(ports.start()) && pool.contains(ports.end()),
        "{ports:?}"
    );
}

/// What the example printed, all of it on stdout.
#[track_caller]
fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout.clone()).expect("text")
}
