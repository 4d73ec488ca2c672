//! How the command learns its ports.

use std::ops::RangeInclusive;

use portkeep_tests::{Protocol, Sandbox, enable};

use crate::common::kernel_part::{acquire, assert_nothing_reserved, reserved};
use crate::common::{Running, USER, done, portkeep_as_user};
use crate::{run_python, run_shell};

const SAY: &str = "echo ${PORT-none} ${PORTKEEP_TCP-none} ${PORTKEEP_UDP-none}";

/// What the command finds in PORT, PORTKEEP_TCP and PORTKEEP_UDP.
#[track_caller]
fn announced(ports: &[&str]) -> [String; 3] {
    let text = done(&mut run_shell(ports, SAY));
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    words
        .try_into()
        .unwrap_or_else(|words| panic!("not three words: {words:?}"))
}

pub fn exact_ranges(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (ports, expected) in [
        (
            &["--tcp", "20000-20002"][..],
            ["20000", "20000,20001,20002", "none"],
        ),
        (
            &["--udp", "20000-20002"],
            ["20000", "none", "20000,20001,20002"],
        ),
        (
            &["--both", "20000-20001"],
            ["20000", "20000,20001", "20000,20001"],
        ),
        (&["--tcp", "20000-20000"], ["20000", "20000", "none"]),
        (
            &["--udp", "30000-30000", "--tcp", "20000-20000"],
            ["20000", "20000", "30000"],
        ),
        (
            &[
                "--both",
                "25000-25000",
                "--tcp",
                "20000-20001",
                "--udp",
                "30000-30000",
            ],
            ["20000", "20000,20001,25000", "30000,25000"],
        ),
        (
            &["--both", "25000-25000", "--udp", "30000-30000"],
            ["25000", "25000", "30000,25000"],
        ),
        (
            &[
                "--tcp",
                "20010-20010",
                "--tcp",
                "20000-20001",
                "--tcp",
                "65535-65535",
            ],
            ["20010", "20010,20000,20001,65535", "none"],
        ),
    ] {
        assert_eq!(announced(ports), expected, "{ports:?}");
        assert_nothing_reserved(sandbox);
    }
}

fn list(text: &str) -> Vec<u16> {
    text.split(',')
        .map(|port| port.parse().expect("a port number"))
        .collect()
}

/// Asserts that the ports are consecutive ones of the pool.
#[track_caller]
fn assert_block(ports: &[u16], count: u16) {
    let start = ports[0];
    assert!(start >= enable::POOL_START, "{ports:?}");
    assert_eq!(ports, (start..start + count).collect::<Vec<_>>());
}

pub fn counts_are_blocks_of_the_pool(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for count in [1, 3, 100, 4535] {
        let number = format!("count={count}");
        let [port, tcp, udp] = announced(&["--tcp", &number]);
        assert_block(&list(&tcp), count);
        assert_eq!((port, udp.as_str()), (list(&tcp)[0].to_string(), "none"));
        let [port, tcp, udp] = announced(&["--udp", &number]);
        assert_block(&list(&udp), count);
        assert_eq!((port, tcp.as_str()), (list(&udp)[0].to_string(), "none"));
    }
    let [port, tcp, udp] = announced(&["--tcp", "2", "--tcp", "20000-20000", "--udp", "4"]);
    let tcp = list(&tcp);
    assert_block(&tcp[..2], 2);
    assert_eq!((tcp[2], port), (20000, tcp[0].to_string()));
    assert_block(&list(&udp), 4);
}

/// Also where the two protocols have different ports taken.
pub fn both_is_the_same_numbers(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _tcp = acquire(Protocol::Tcp, 61000..=61001);
    let _udp = acquire(Protocol::Udp, 61004..=61005);
    let before = reserved(sandbox);
    let [port, tcp, udp] = announced(&["--both", "3"]);
    assert_eq!(tcp, udp);
    assert_block(&list(&tcp), 3);
    assert_eq!(port, list(&tcp)[0].to_string());
    let taken = [61000, 61001, 61004, 61005];
    assert!(list(&tcp).iter().all(|port| !taken.contains(port)), "{tcp}");
    assert_eq!(reserved(sandbox), before);
}

pub fn what_is_reserved_is_what_is_announced(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let options = ["--tcp", "3", "--udp", "30000-30001", "--both", "2"];
    let mut running = Running::start(run_python(
        &options,
        "say(*own('tcp'))
say(*own('udp'))
wait()",
    ));
    let mut next = || -> Vec<u16> {
        let line = running.line();
        line.split(' ')
            .map(|port| port.parse().expect("a port number"))
            .collect()
    };
    let (tcp, udp) = (next(), next());
    let block = |ports: &[u16]| -> RangeInclusive<u16> { ports[0]..=ports[ports.len() - 1] };
    let mut expected = vec![
        (Protocol::Tcp, block(&tcp[..3])),
        (Protocol::Tcp, block(&tcp[3..])),
        (Protocol::Udp, block(&udp[..2])),
        (Protocol::Udp, block(&udp[2..])),
    ];
    expected.sort_by_key(|(protocol, ports)| (*protocol, *ports.start()));
    assert_eq!(reserved(sandbox), expected);
    running.go_on();
    assert_eq!(running.code(), 0);
    assert_nothing_reserved(sandbox);
}

pub fn an_ordinary_user_gets_ports_too(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let script = format!("id -u; {SAY}");
    let words = ["run", "--both", "20000-20001", "--", "sh", "-c", &script];
    let text = done(&mut portkeep_as_user(words));
    assert_eq!(text, format!("{USER}\n20000 20000,20001 20000,20001\n"));
    assert_nothing_reserved(sandbox);
}
