//! execve(2): descriptors without `FD_CLOEXEC` go through it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use portkeep_tests::socket2::Socket;
use portkeep_tests::{Sandbox, raw};

use crate::scene::{COUNT, START, Scene, each, eventually};

/// Starts a program whose process has acquired the block before it executed it.
fn acquire_and_exec(scene: &Scene<'_>, inheritable: bool) -> Child {
    let protocol = scene.protocol;
    let acquire = move || {
        let socket = crate::scene::socket(protocol);
        socket.set_cloexec(!inheritable)?;
        raw::acquire4(&socket, START, COUNT).map_err(std::io::Error::from_raw_os_error)?;
        std::mem::forget(socket);
        Ok(())
    };
    let mut command = Command::new("/bin/sleep");
    command.arg("1000");
    // SAFETY: the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(acquire) };
    command.spawn().expect("run sleep")
}

fn kill(mut program: Child) {
    program.kill().expect("kill the program");
    program.wait().expect("wait for the program");
}

pub(crate) fn closes_the_socket_and_ends_it(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let program = acquire_and_exec(scene, false);
        scene.assert_over_soon();
        kill(program);
    });
}

pub(crate) fn keeps_an_inheritable_socket(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let program = acquire_and_exec(scene, true);
        eventually(|| executable(&program).ends_with("sleep"));
        scene.assert_held();
        assert_eq!(scene.entry().map(|entry| entry.pid), Some(program.id()));
        kill(program);
    });
}

pub(crate) fn of_a_child_keeps_an_inheritable_socket(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, _) = scene.acquired();
        let sleep = |socket: &Socket, inheritable: bool| {
            socket.set_cloexec(!inheritable).expect("set FD_CLOEXEC");
            let program = Command::new("/bin/sleep").arg("1000").spawn();
            program.expect("run sleep")
        };
        let (with, without) = (sleep(&socket, true), sleep(&socket, false));
        drop(socket);
        scene.assert_held();
        kill(with);
        // The kernel drops what execve(2) closes a moment after the new program has begun.
        scene.assert_over_soon();
        kill(without);
    });
}

/// What a process runs: `/proc/[pid]/comm` is that of the parent until execve(2) is done.
fn executable(program: &Child) -> String {
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", program.id()));
    comm.expect("read the command's name").trim_end().to_owned()
}
