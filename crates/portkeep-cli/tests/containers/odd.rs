//! Binds that go wrong by each way: bad pointers, no more descriptors, memory that changes, threads that die in
//! the midst, calls that pass the filter, processes out of reach.

use portkeep_tests::Sandbox;

use crate::cage::{EVERYBODY, build, portkeep};
use crate::common::done;
use crate::common::python::python;
use crate::profile::{CONTAINERD_BEFORE_1_7, DOCKER, NONE, Profile};

/// What is the same by all ways. A process that has made itself undumpable is out of reach of any.
const SAID: &str = "bad pointers: EFAULT EFAULT EFAULT EBADF
no descriptors: bound 0
undumpable: EADDRINUSE
changing address: 0
32 bits: EADDRINUSE
exit: bound
exec: bound
";

fn of(sandbox: &Sandbox, profile: Profile) {
    portkeep_tests::without_portkeep();
    let program = build(sandbox, "odd.c", &["-static"]);
    for who in EVERYBODY {
        let words = ["run", "--tcp", "20000-20000", "--", &program, "20000"];
        let said = done(&mut portkeep(profile, who, &words));
        let expected = match cfg!(target_arch = "x86_64") {
            true => SAID.to_owned(),
            false => SAID.replace("32 bits: EADDRINUSE\n", ""),
        };
        assert_eq!(said, expected, "{} {who:?}", profile.name);
    }
}

pub fn under_no_profile(sandbox: &Sandbox) {
    of(sandbox, NONE);
}

pub fn under_docker(sandbox: &Sandbox) {
    of(sandbox, DOCKER);
}

pub fn under_containerd_before_1_7(sandbox: &Sandbox) {
    of(sandbox, CONTAINERD_BEFORE_1_7);
}

/// A second bind is refused, and leaves the socket; one that is not listened on keeps nothing bound.
pub fn sockets_that_are_bound_and_connected(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "
port = own('tcp')[0]
other = socket.socket()
other.bind(('127.0.0.1', 20005))
other.listen()
first = socket.socket()
first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
first.bind(('127.0.0.1', port))
try:
    first.bind(('127.0.0.1', port))
except OSError as error:
    say(errno.errorcode[error.errno], first.getsockname()[1])
first.connect(('127.0.0.1', 20005))
accepted, _ = other.accept()
first.close()
say(accepted.recv(1))
accepted.close()
for _ in range(3):
    never = socket.socket()
    never.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    never.bind(('0.0.0.0', port))
    never.close()
second = socket.socket()
second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
second.bind(('127.0.0.1', port))
second.listen()
try:
    socket.socket().bind(('127.0.0.1', port))
except OSError as error:
    say(errno.errorcode[error.errno])
";
    let [_, program @ ..] = python(program);
    let run = ["run", "--tcp", "20000-20000", "--", "/usr/bin/python3"];
    let words: Vec<&str> = run
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .collect();
    for profile in [NONE, DOCKER, CONTAINERD_BEFORE_1_7] {
        for who in EVERYBODY {
            let said = done(&mut portkeep(profile, who, &words));
            let expected = "EINVAL 20000\nb''\nEADDRINUSE\n";
            assert_eq!(said, expected, "{} {who:?}", profile.name);
        }
    }
}
