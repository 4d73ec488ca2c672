//! Which way is taken, and what is said of it.

use portkeep_tests::{Sandbox, skip};

use crate::cage::{EVERYBODY, Who, build, portkeep};
use crate::common::{done, outcome};
use crate::profile::{ALL, DOCKER, NOTHING};

pub fn each_profile_has_its_way(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for profile in ALL {
        for who in EVERYBODY {
            let words = ["run", "-v", "--tcp", "1", "--", "true"];
            let outcome = outcome(&mut portkeep(profile, who, &words));
            assert_eq!(outcome.code, Some(0), "{profile:?}: {outcome:?}");
            let says = format!("portkeep: the command binds {}", profile.way);
            assert!(outcome.stderr.contains(&says), "{profile:?}: {outcome:?}");
        }
    }
}

pub fn doctor_names_the_way(_sandbox: &Sandbox) {
    for profile in ALL {
        let text = outcome(&mut portkeep(profile, Who::User, &["doctor"])).stdout;
        let line = text.lines().find(|line| line.contains("held sockets"));
        let line = line.unwrap_or_else(|| panic!("{profile:?}: {text}"));
        assert!(line.contains(profile.way), "{profile:?}: {line}");
    }
    let text = outcome(&mut portkeep(NOTHING, Who::User, &["doctor"])).stdout;
    assert!(text.contains("cannot bind to its own ports"), "{text}");
}

const REASON: &str = "portkeep: the command cannot bind to its ports: pidfd_getfd: Operation not permitted; \
                      ptrace: Operation not permitted; replacing descriptors: Operation not permitted\n";

pub fn what_has_none_is_refused(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for who in EVERYBODY {
        let words = ["run", "--tcp", "20000-20000", "--", "echo", "ran"];
        let outcome = outcome(&mut portkeep(NOTHING, who, &words));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""));
        let hint = outcome.stderr.strip_prefix(REASON);
        let hint = hint.unwrap_or_else(|| panic!("{}", outcome.stderr));
        assert!(hint.starts_with("Hint: `run --preload`"), "{hint}");
    }
}

pub fn or_runs_unprotected(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "import socket
try:
    socket.socket().bind(('127.0.0.1', 20000))
except OSError as error:
    print(error.errno)";
    let python = ["/usr/bin/python3", "-ISc", program];
    for who in EVERYBODY {
        let words = ["run", "--unprotected", "--tcp", "20000-20000", "--"];
        let outcome = outcome(&mut portkeep(NOTHING, who, &[&words[..], &python].concat()));
        assert_eq!(outcome.stderr, REASON);
        let refused = format!("{}\n", nix::libc::EADDRINUSE);
        assert_eq!((outcome.code, outcome.stdout), (Some(0), refused));
    }
}

/// It would be killed for what it is made to do. Its socket keeps its options.
pub fn a_program_with_its_own_filter_is_not_traced(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = build(sandbox, "filtered.c", &[]);
    for who in EVERYBODY {
        let words = ["run", "--tcp", "20000-20000", "--", &program, "20000"];
        assert_eq!(done(&mut portkeep(DOCKER, who, &words)), "1 60000 1\n");
    }
}

pub fn a_program_under_a_debugger_is_not_traced(sandbox: &Sandbox) {
    if std::process::Command::new("strace")
        .arg("-V")
        .output()
        .is_err()
    {
        skip("there is no strace (`scripts/set-up test` installs it)");
    }
    portkeep_tests::without_portkeep();
    let program = build(sandbox, "cycles.c", &["-static"]);
    for who in EVERYBODY {
        let run = ["run", "--both", "20000-20003", "--"];
        let strace = [
            "strace",
            "-f",
            "-qqq",
            "-e",
            "trace=none",
            "-e",
            "signal=none",
        ];
        let words = [&run[..], &strace, &[program.as_str()]].concat();
        let said = done(&mut portkeep(DOCKER, who, &words));
        assert_eq!(said, "0 of 8 failed\n", "{who:?}");
    }
}
