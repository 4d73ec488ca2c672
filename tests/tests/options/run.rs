//! A run of all calls by a process of its own, in a cgroup.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, setgroups};
use portkeep_tests::proc::{self, fork_child};
use portkeep_tests::{libc, skip, sock};

use crate::call::{Answer, Memory, make, set};
use crate::plan::Group;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum User {
    Root,
    Nobody,
}

/// Ends the trial if some program sees the option calls of this cgroup, such as a Portkeep that is
/// enabled for the whole machine: then nothing is there to compare with.
pub(crate) fn need_no_program(cgroup: &Path) {
    let none: Rc<[u8]> = Rc::new([]);
    let null = set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &none, 4).without_buffer();
    let code = proc::in_cgroup(cgroup, || {
        // broken.rs shows that it succeeds only without any program.
        let answer = make(&null, sock::tcp6().as_raw_fd(), &mut Memory::map());
        -answer[0]
    });
    if code != 0 {
        skip("a BPF program above the test's cgroup sees all socket options");
    }
}

/// In front of the group's answers stands whether the sockets could be opened; if not, there are no
/// others.
fn answers(plan: &[Group]) -> Vec<Answer> {
    let mut memory = Memory::map();
    let mut answers = Vec::new();
    for group in plan {
        match group.kind.open() {
            Err(error) => answers.push(vec![-error.raw_os_error().unwrap_or(1)]),
            Ok(sockets) => {
                answers.push(vec![0]);
                let socket = sockets[0].as_raw_fd();
                answers.extend(
                    group
                        .calls
                        .iter()
                        .map(|call| make(call, socket, &mut memory)),
                );
            }
        }
    }
    answers
}

/// The answers to all calls, by a process in the cgroup, in a network namespace of its own.
pub(crate) fn in_cgroup(
    cgroup: &Path,
    user: User,
    plan: &[Group],
    directory: &Path,
) -> Vec<Answer> {
    let path = directory.join("answers");
    let child = fork_child(|| {
        let mut file = File::create(&path).expect("make a file");
        proc::enter_cgroup(cgroup);
        proc::new_netns();
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit");
        // So many that SO_PEERGROUPS gives more than a page.
        let groups: Vec<_> = (1..=1100).map(Gid::from_raw).collect();
        setgroups(&groups).expect("setgroups");
        if let User::Nobody = user {
            proc::drop_privileges(65534, 65534);
        }
        let answers = answers(plan);
        file.write_all(&encode(&answers))
            .expect("write the answers");
        0
    });
    assert_eq!(child.code(), 0);
    let answers = decode(&fs::read(&path).expect("read the answers"));
    fs::remove_file(&path).expect("remove the answers");
    answers
}

fn encode(answers: &[Answer]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for answer in answers {
        let length = i32::try_from(answer.len()).expect("a length");
        encoded.extend(length.to_ne_bytes());
        encoded.extend(answer.iter().flat_map(|field| field.to_ne_bytes()));
    }
    encoded
}

fn decode(mut encoded: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut number = || {
        let (number, rest) = encoded.split_first_chunk()?;
        encoded = rest;
        Some(i32::from_ne_bytes(*number))
    };
    while let Some(length) = number() {
        let answer = (0..length).map(|_| number().expect("a whole answer"));
        answers.push(answer.collect());
    }
    answers
}
