//! Profile by user by program, with and without the kernel part: all ports are bound to at once by a process
//! each, and again after each close.

use portkeep_tests::{Sandbox, enable, skip};

use crate::cage::{EVERYBODY, build, portkeep};
use crate::common::done;
use crate::profile::{ALL, CONTAINERD, CONTAINERD_BEFORE_1_7, DOCKER, NONE, PODMAN, Profile};

/// 50 of TCP and 50 of UDP.
const PORTS: &str = "20000-20049";

/// Static and dynamic, with and without the kernel part.
fn of(sandbox: &Sandbox, profile: Profile) {
    portkeep_tests::without_portkeep();
    let programs = [&["-static"][..], &[]].map(|options| build(sandbox, "cycles.c", options));
    all(profile, &programs);
    enable::enable(sandbox);
    all(profile, &programs);
}

fn all(profile: Profile, programs: &[String]) {
    for who in EVERYBODY {
        for program in programs {
            let words = ["run", "--both", PORTS, "--", program];
            let said = done(&mut portkeep(profile, who, &words));
            let name = profile.name;
            assert_eq!(said, "0 of 100 failed\n", "{name} {who:?} {program}");
        }
    }
}

pub fn no_profile(sandbox: &Sandbox) {
    of(sandbox, NONE);
}

pub fn docker(sandbox: &Sandbox) {
    of(sandbox, DOCKER);
}

pub fn containerd(sandbox: &Sandbox) {
    of(sandbox, CONTAINERD);
}

pub fn containerd_before_1_7(sandbox: &Sandbox) {
    of(sandbox, CONTAINERD_BEFORE_1_7);
}

pub fn podman(sandbox: &Sandbox) {
    of(sandbox, PODMAN);
}

/// Go makes its calls without the C library, on stacks of its own.
pub fn static_go(sandbox: &Sandbox) {
    if std::process::Command::new("go")
        .arg("version")
        .output()
        .is_err()
    {
        skip("there is no Go (`scripts/set-up test` installs it)");
    }
    portkeep_tests::without_portkeep();
    let programs = [build(sandbox, "cycles.go", &[])];
    for profile in ALL {
        all(profile, &programs);
    }
    enable::enable(sandbox);
    all(DOCKER, &programs);
}
