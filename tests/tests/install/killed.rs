//! Installers that are killed at any moment.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portkeep_admin::{InstallOptions, install};
use portkeep_tests::proc::fork_child;
use portkeep_tests::{Sandbox, assert_errno, enable, sock};

use crate::objects::Objects;
use crate::scene::{
    PORT, Random, acquire_port, assert_absent, assert_empty, assert_free, assert_works, cgroups,
    eventually, mode, mounts_at, plain_directory, remove, set_mode,
};

const ROUNDS: usize = 20;

/// Does `work` in a child and kills that at a random moment of the time that work takes.
fn kill_during(random: &mut Random, time: Duration, work: impl Fn()) {
    let child = fork_child(|| {
        work();
        0
    });
    thread::sleep(random.moment(time.mul_f64(1.2)));
    child.kill(Signal::SIGKILL);
    child.wait();
}

/// How long something takes, when nobody kills it.
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn try_install(options: &InstallOptions) {
    install(options).unwrap_or_else(|error| panic!("install: {error:?}"));
}

/// Nothing of ours in the kernel, in the BPF file system or in the cgroup tree.
fn assert_nothing_left(sandbox: &Sandbox, objects: &Objects) {
    assert_absent();
    assert_empty(sandbox.bpffs());
    objects.assert_gone();
    // A child of a killed installer lives a little longer.
    eventually("no cgroup is left", || cgroups(sandbox).is_empty());
}

pub(crate) fn installing(sandbox: &Sandbox) {
    let mut objects = Objects::mark();
    let options = enable::options(sandbox);
    let takes = time(|| try_install(&options));
    remove(&options.installation);
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        kill_during(&mut random, takes, || try_install(&options));
        objects.look();
        try_install(&options);
        objects.look();
        assert_works(sandbox);
        assert!(remove(&options.installation));
        assert_absent();
    }
    for _ in 0..ROUNDS / 4 {
        kill_during(&mut random, takes, || try_install(&options));
        objects.look();
        remove(&options.installation);
        assert_absent();
    }
    assert_nothing_left(sandbox, &objects);
}

pub(crate) fn upgrading(sandbox: &Sandbox) {
    let mut objects = Objects::mark();
    let options = enable::options(sandbox);
    try_install(&options);
    let takes = time(|| try_install(&options));
    let owner = acquire_port();
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        kill_during(&mut random, takes, || try_install(&options));
        objects.look();
        assert_errno!(sock::bind_any(sock::tcp4(), PORT), EADDRINUSE);
    }
    try_install(&options);
    objects.look();
    drop(owner);
    assert_free(sandbox);
    assert_works(sandbox);
    assert!(remove(&options.installation));
    assert_nothing_left(sandbox, &objects);
}

pub(crate) fn removing(sandbox: &Sandbox) {
    let mut objects = Objects::mark();
    let options = enable::options(sandbox);
    try_install(&options);
    let takes = time(|| assert!(remove(&options.installation)));
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        try_install(&options);
        objects.look();
        let owner = acquire_port();
        kill_during(&mut random, takes, || {
            remove(&options.installation);
        });
        // It ends while nobody may be looking.
        drop(owner);
        try_install(&options);
        objects.look();
        assert_free(sandbox);
        assert_works(sandbox);
    }
    assert!(remove(&options.installation));
    assert_nothing_left(sandbox, &objects);
}

pub(crate) fn mounting(sandbox: &Sandbox) {
    let options = plain_directory(sandbox);
    let bpffs = options.installation.bpffs.clone().expect("a path");
    let takes = time(|| try_install(&options));
    remove(&options.installation);
    let mut random = Random::new();
    for round in 0..ROUNDS {
        kill_during(&mut random, takes, || try_install(&options));
        try_install(&options);
        assert_eq!(mounts_at(&bpffs), 1, "round {round}");
        assert!(remove(&options.installation));
        assert_eq!(mounts_at(&bpffs), 0, "round {round}");
        assert_absent();
    }
}

pub(crate) fn opening_the_file_system(sandbox: &Sandbox) {
    let options = enable::options(sandbox);
    set_mode(sandbox.bpffs(), 0o700);
    let takes = time(|| try_install(&options));
    remove(&options.installation);
    let mut random = Random::new();
    for round in 0..ROUNDS {
        kill_during(&mut random, takes, || try_install(&options));
        try_install(&options);
        assert!(remove(&options.installation));
        assert_eq!(mode(sandbox.bpffs()), 0o700, "round {round}");
    }
}
