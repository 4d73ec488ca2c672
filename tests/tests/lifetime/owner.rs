//! Who the owner is: a process, not a thread and not an id.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use portkeep_tests::proc::{Exit, fork_child};
use portkeep_tests::{Channel, Event, Sandbox, assert_errno, assert_ok, raw, sock};

use crate::scene::each;

pub(crate) fn a_thread_that_ended_leaves_it_to_the_process(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let child = fork_child(|| {
            let (socket, instance) = thread::scope(|scope| {
                let acquirer = scope.spawn(|| scene.acquired());
                acquirer.join().expect("the thread")
            });
            scene.assert_held();
            let associated = scene.socket();
            assert_ok!(raw::associate(&associated, instance.token));
            assert_ok!(sock::bind_any(&associated, 0));
            assert_ok!(raw::release(&associated, instance.token));
            drop(associated);
            scene.assert_over();
            drop(socket);
            0
        });
        assert_eq!(child.wait(), Exit::Code(0));
    });
}

pub(crate) fn survives_the_end_of_the_main_thread(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        let (protocol, end) = (scene.protocol, Event::new());
        let child = fork_child(|| {
            let (socket, instance) = scene.acquired();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let main = format!("/proc/self/task/{}/stat", std::process::id());
                    while !fs::read_to_string(&main).is_ok_and(|stat| stat.contains(") Z ")) {
                        thread::yield_now();
                    }
                    let associated = crate::scene::socket(protocol);
                    let result = raw::associate(&associated, instance.token)
                        .and_then(|()| sock::bind_any(&associated, 0));
                    there.send(result.err().unwrap_or(0) as u64);
                    end.wait();
                    drop((socket, associated));
                    std::process::exit(3)
                });
                // SAFETY: ends this thread alone (exit(2), not exit_group); it waits for the other
                // one anyway, and everything that one uses lives on this thread's stack, which stays.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
            unreachable!("the main thread has ended")
        });
        assert_eq!(here.recv(), 0, "errno of the associated bind");
        scene.assert_held();
        end.set();
        assert_eq!(child.wait(), Exit::Code(3));
    });
}

pub(crate) fn is_not_the_next_process_with_its_id(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (here, there) = Channel::pair();
        let owner = fork_child(|| {
            let (socket, instance) = scene.acquired();
            there.send(instance.token);
            there.send_fd(socket);
            0
        });
        let (pid, token) = (owner.pid(), here.recv());
        let socket = here.recv_fd();
        assert_eq!(owner.wait(), Exit::Code(0));
        let verdict = fork_with_id(pid, || {
            assert_errno!(raw::associate(scene.socket(), token), EACCES);
            assert_errno!(raw::release(&socket, token), EACCES);
        });
        assert!(verdict, "the process that had the id {pid} again");
        scene.assert_held();
        drop(socket);
    });
}

/// Runs a closure in a child with a given process id (clone3(2), Linux 5.5); false if it panics.
fn fork_with_id(pid: u32, body: impl FnOnce()) -> bool {
    let id = pid.cast_signed();
    // SAFETY: clone_args is a C structure of numbers, for which all zero is a valid value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.set_tid = (&raw const id) as u64;
    arguments.set_tid_size = 1;
    let size = size_of_val(&arguments);
    // SAFETY: without CLONE_VM this is fork(2); the body of a root trial has one thread.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) } {
        -1 => panic!("clone3: {}", std::io::Error::last_os_error()),
        0 => {
            let passed = catch_unwind(AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the process at once; the parent's exit handlers must not run here.
            unsafe { libc::_exit(i32::from(!passed)) }
        }
        child => {
            assert_eq!(child, i64::from(id));
            let status = waitpid(Pid::from_raw(id), None).expect("wait for the child");
            status == WaitStatus::Exited(Pid::from_raw(id), 0)
        }
    }
}
