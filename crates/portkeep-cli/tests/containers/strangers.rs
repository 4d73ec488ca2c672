//! Strangers that try all the while, beside an owner that binds a thousand times.

use portkeep_tests::Sandbox;

use crate::cage::{EVERYBODY, portkeep};
use crate::common::Running;
use crate::profile::{CONTAINERD_BEFORE_1_7, DOCKER, Profile};
use crate::scene::{PORT, Strangers, build};

pub fn beside_a_traced_owner(sandbox: &Sandbox) {
    beside(sandbox, DOCKER);
}

pub fn beside_a_replaced_owner(sandbox: &Sandbox) {
    beside(sandbox, CONTAINERD_BEFORE_1_7);
}

fn beside(sandbox: &Sandbox, profile: Profile) {
    portkeep_tests::without_portkeep();
    let script = build(sandbox, "rebind.py");
    let script = script.to_str().expect("a path in UTF-8");
    let ports = format!("{PORT}-{PORT}");
    for who in EVERYBODY {
        for protocol in ["tcp", "udp"] {
            let words = [
                "run",
                "--both",
                &ports,
                "--",
                "/usr/bin/python3",
                script,
                protocol,
            ];
            let mut run = Running::start(portkeep(profile, who, &words));
            // Once they try, it binds.
            let strangers = Strangers::start(sandbox, protocol);
            run.go_on();
            assert_eq!(run.line(), "done", "{who:?} {protocol}");
            strangers.end();
            run.go_on();
            assert_eq!(run.code(), 0);
        }
    }
}
