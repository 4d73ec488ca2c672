//! Several installers at once.

use std::thread;

use portkeep_admin::{Error, InstallOptions, Installation, Installed, install};
use portkeep_tests::proc::{Child, Exit, fork_child};
use portkeep_tests::{Event, Sandbox, enable};

use crate::scene::{
    assert_absent, assert_empty, assert_no_cgroups, assert_works, mounts_at, plain_directory,
    remove,
};

const ROUNDS: usize = 10;

/// Runs two closures in two processes that begin together. Their exit codes.
fn together(one: impl Fn() -> i32, other: impl Fn() -> i32) -> [i32; 2] {
    let start = [Event::new(), Event::new()];
    let run = |start: &Event, body: &dyn Fn() -> i32| -> Child {
        fork_child(|| {
            start.wait();
            body()
        })
    };
    let children = [run(&start[0], &one), run(&start[1], &other)];
    start.iter().for_each(Event::set);
    children.map(|child| match child.wait() {
        Exit::Code(code) => code,
        Exit::Signal(signal) => panic!("killed by signal {signal}"),
    })
}

/// An exit code from what an install did: 1 for an upgrade, 2 if it mounted.
fn code_of(result: Result<Installed, Error>) -> i32 {
    match result {
        Ok(installed) => i32::from(installed.upgraded) + 2 * i32::from(installed.mounted_bpffs),
        Err(error) => panic!("{error:?}"),
    }
}

pub(crate) fn installs_of_two_processes(sandbox: &Sandbox) {
    let options = enable::options(sandbox);
    for _ in 0..ROUNDS {
        let install = || code_of(install(&options));
        let mut codes = together(install, install);
        codes.sort_unstable();
        assert_eq!(codes, [0, 1], "one of them is the first");
        assert_works(sandbox);
        assert!(remove(&options.installation));
        assert_empty(sandbox.bpffs());
        assert_no_cgroups(sandbox);
    }
}

pub(crate) fn installs_of_two_threads(sandbox: &Sandbox) {
    let options = enable::options(sandbox);
    let child = fork_child(|| {
        for _ in 0..ROUNDS {
            let codes = thread::scope(|scope| {
                let threads = [(); 2].map(|()| scope.spawn(|| code_of(install(&options))));
                threads.map(|thread| thread.join().expect("an installing thread"))
            });
            assert_eq!(codes.iter().sum::<i32>(), 1, "one of them is the first");
            assert_works(sandbox);
            assert!(remove(&options.installation));
            assert_empty(sandbox.bpffs());
        }
        0
    });
    assert_eq!(child.wait(), Exit::Code(0));
    assert_no_cgroups(sandbox);
}

pub(crate) fn installs_that_mount(sandbox: &Sandbox) {
    let options = plain_directory(sandbox);
    let bpffs = directory(&options.installation);
    for round in 0..3 * ROUNDS {
        let install = || code_of(install(&options));
        let mut codes = together(install, install);
        codes.sort_unstable();
        assert_eq!(mounts_at(bpffs), 1, "mounts in round {round}, {codes:?}");
        // One mounts; which of them is the first after that is open.
        assert!([[0, 3], [1, 2]].contains(&codes), "{codes:?}");
        assert!(remove(&options.installation));
        assert_eq!(mounts_at(bpffs), 0);
        assert_absent();
    }
}

fn directory(installation: &Installation) -> &std::path::Path {
    installation.bpffs.as_deref().expect("a path")
}

/// One process installs, another removes. Both always can, whatever the order.
fn install_and_remove(options: &InstallOptions) {
    let installing = || {
        for _ in 0..2 * ROUNDS {
            install(options).unwrap_or_else(|error| panic!("install: {error:?}"));
        }
        0
    };
    let removing = || {
        for _ in 0..6 * ROUNDS {
            remove(&options.installation);
        }
        0
    };
    assert_eq!(together(installing, removing), [0, 0]);
}

pub(crate) fn installs_and_removals(sandbox: &Sandbox) {
    let options = enable::options(sandbox);
    install_and_remove(&options);
    enable::enable(sandbox);
    assert_works(sandbox);
    assert!(remove(&options.installation));
    assert_empty(sandbox.bpffs());
    assert_absent();
}

pub(crate) fn installs_and_removals_that_mount(sandbox: &Sandbox) {
    let options = plain_directory(sandbox);
    install_and_remove(&options);
    enable::enable_with(&options);
    assert!(remove(&options.installation));
    assert_eq!(mounts_at(directory(&options.installation)), 0);
    assert_absent();
}
