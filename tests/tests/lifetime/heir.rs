//! `PORTKEEP_HAND_OVER`: the process of a pidfd becomes the owner.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_name;
use nix::sys::signal::Signal;
use nix::unistd::gettid;
use portkeep_tests::proc::{Child, Exit, fork_child};
use portkeep_tests::{Channel, Event, Sandbox, assert_errno, assert_ok, is_linux, proc, raw, sock};

use crate::scene::{COUNT, START, Scene, each, eventually};

const NOBODY: u32 = 65534;

/// A process that binds when it is told to, and says what came of it.
struct Binder {
    child: Child,
    channel: Channel,
    pidfd: OwnedFd,
}

impl Binder {
    fn start(scene: &Scene<'_>, prepare: impl FnOnce()) -> Self {
        let (here, there) = Channel::pair();
        let child = fork_child(|| {
            prepare();
            there.send(0);
            // Each number is a port to bind to; 0 is the end.
            loop {
                match there.recv() {
                    0 => return 0,
                    port => there.send(bind(scene, port as u16)),
                }
            }
        });
        let pidfd = pidfd_open(child.pid(), 0);
        assert_eq!(here.recv(), 0);
        Self {
            child,
            channel: here,
            pidfd,
        }
    }

    /// An ordinary process.
    fn plain(scene: &Scene<'_>) -> Self {
        Self::start(scene, || ())
    }

    fn of_user(scene: &Scene<'_>, uid: u32) -> Self {
        Self::start(scene, || proc::drop_privileges(uid, uid))
    }

    /// 0 or an errno.
    fn bind(&self) -> u64 {
        self.channel.send(START.into());
        self.channel.recv()
    }

    fn end(self) -> OwnedFd {
        self.channel.send(0);
        assert_eq!(self.child.wait(), Exit::Code(0));
        self.pidfd
    }
}

const REFUSED: u64 = libc::EADDRINUSE as u64;

fn bind(scene: &Scene<'_>, port: u16) -> u64 {
    match sock::bind_any(scene.socket(), port) {
        Ok(()) => 0,
        Err(errno) => errno as u64,
    }
}

pub(crate) fn pidfd_open(pid: u32, flags: libc::c_uint) -> OwnedFd {
    // SAFETY: the call takes numbers, and makes a descriptor that nobody else owns.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, flags);
        assert!(fd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd as i32)
    }
}

/// A socket that has acquired the block, and the token.
fn acquired(scene: &Scene<'_>, flags: u32) -> (OwnedFd, u64) {
    let socket = OwnedFd::from(scene.socket());
    assert_ok!(raw::acquire16(&socket, START, COUNT, flags, 0));
    let token = assert_ok!(raw::instance(&socket)).token;
    (socket, token)
}

fn hand_over(socket: impl AsFd, token: u64, pidfd: &OwnedFd) -> Result<(), i32> {
    raw::hand_over(socket, token, pidfd.as_raw_fd())
}

/// The owner's process id, user and command, as lists show them.
fn owner(scene: &Scene<'_>) -> (u32, u32, String) {
    let entry = scene.entry().expect("a reservation");
    (entry.pid, entry.uid, entry.command)
}

pub(crate) fn becomes_the_owner(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let before = scene.entry().expect("a reservation");
        let name = CString::new("the-heir").expect("no zero");
        let heir = Binder::start(scene, || set_name(&name).expect("PR_SET_NAME"));
        assert_ok!(hand_over(&socket, token, &heir.pidfd));
        let after = scene.entry().expect("a reservation");
        assert_eq!(
            (after.pid, after.command.as_str()),
            (heir.child.pid(), "the-heir")
        );
        assert_eq!((after.token, after.since), (before.token, before.since));
        assert_eq!(after.flags, before.flags);
        // A refused bind names it.
        let stranger = scene.socket();
        assert_errno!(sock::bind_any(&stranger, START), EADDRINUSE);
        let conflict = assert_ok!(raw::conflict(&stranger));
        assert_eq!(conflict.kind, raw::CONFLICT_RESERVED);
        assert_eq!(conflict.owner_pid, heir.child.pid());
        assert_errno!(raw::associate(scene.socket(), token), EACCES);
        assert_errno!(raw::release(scene.socket(), token), EACCES);
        drop(heir.end());
        drop(socket);
    });
}

pub(crate) fn is_the_one_who_binds_by_number(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::PROCESS | raw::TREE);
        let (heir, stranger) = (Binder::plain(scene), Binder::plain(scene));
        // Both descend from the owner, this process.
        assert_eq!((heir.bind(), stranger.bind()), (0, 0));
        assert_ok!(hand_over(&socket, token, &heir.pidfd));
        assert_eq!((heir.bind(), stranger.bind()), (0, REFUSED));
        scene.assert_held();
        let deep = Binder::start(scene, || ());
        assert_eq!(deep.bind(), REFUSED);
        assert_ok!(hand_over(&socket, token, &deep.pidfd));
        assert_eq!((heir.bind(), deep.bind()), (REFUSED, 0));
        drop((heir.end(), stranger.end(), deep.end()));
        drop(socket);
    });
}

pub(crate) fn of_the_process_flag_is_one_process(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::PROCESS);
        let (here, there) = Channel::pair();
        let go_on = Event::new();
        let heir = fork_child(|| {
            go_on.wait();
            there.send(bind(scene, START));
            there.send(fork_child(|| bind(scene, START) as i32).code() as u64);
            0
        });
        assert_ok!(hand_over(&socket, token, &pidfd_open(heir.pid(), 0)));
        go_on.set();
        assert_eq!((here.recv(), here.recv()), (0, REFUSED));
        assert_eq!(heir.code(), 0);
        drop(socket);
    });
}

pub(crate) fn of_the_user_flag_is_a_user(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::USER);
        let heir = Binder::of_user(scene, NOBODY);
        let same = Binder::of_user(scene, NOBODY);
        let other = Binder::of_user(scene, 65533);
        assert_eq!((same.bind(), bind(scene, START)), (REFUSED, 0));
        assert_ok!(hand_over(&socket, token, &heir.pidfd));
        assert_eq!((heir.bind(), same.bind(), other.bind()), (0, 0, REFUSED));
        assert_eq!(bind(scene, START), REFUSED);
        drop((heir.end(), same.end(), other.end()));
        drop(socket);
    });
}

pub(crate) fn that_ends_leaves_the_ports_to_the_acquirer(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let heir = Binder::plain(scene);
        assert_ok!(hand_over(&socket, token, &heir.pidfd));
        drop(heir.end());
        scene.assert_held();
        assert_errno!(raw::release(&socket, token), EACCES);
        assert_ok!(raw::claim(&socket, token));
        assert_ok!(raw::release(&socket, token));
        scene.assert_over();
        // And the other way round: the socket ends it while the heir lives.
        let heir = Binder::plain(scene);
        let (socket, token) = acquired(scene, raw::TREE);
        assert_ok!(hand_over(&socket, token, &heir.pidfd));
        drop(socket);
        scene.assert_over();
        drop(heir.end());
    });
}

pub(crate) fn gives_it_back_to_a_claim(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let heir = Binder::plain(scene);
        let own = owner(scene);
        for _ in 0..3 {
            assert_ok!(hand_over(&socket, token, &heir.pidfd));
            assert_eq!((heir.bind(), bind(scene, START)), (0, REFUSED));
            assert_ok!(raw::claim(&socket, token));
            assert_eq!(owner(scene), own);
            assert_eq!(bind(scene, START), 0);
        }
        drop(heir.end());
        drop(socket);
    });
}

pub(crate) fn is_of_the_callers_user(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let ours = Binder::of_user(scene, NOBODY);
        let (roots, others) = (Binder::plain(scene), Binder::of_user(scene, 65533));
        let errno = proc::as_uid(NOBODY, NOBODY, || {
            let (socket, token) = acquired(scene, raw::TREE);
            let own = owner(scene);
            for foreign in [&roots, &others] {
                assert_errno!(hand_over(&socket, token, &foreign.pidfd), EACCES);
                assert_eq!(owner(scene), own, "nothing has changed");
            }
            assert_eq!(bind(scene, START), 0);
            assert_ok!(hand_over(&socket, token, &ours.pidfd));
            assert_eq!((ours.bind(), bind(scene, START)), (0, REFUSED));
            0
        });
        assert_eq!(errno, 0);
        drop((ours.end(), roots.end(), others.end()));
    });
}

pub(crate) fn of_any_user_takes_an_administrator(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let heir = Binder::of_user(scene, NOBODY);
        assert_ok!(hand_over(&socket, token, &heir.pidfd));
        assert_eq!((heir.bind(), bind(scene, START)), (0, REFUSED));
        let (pid, uid, _) = owner(scene);
        assert_eq!((pid, uid), (heir.child.pid(), NOBODY));
        drop(heir.end());
        drop(socket);
    });
}

pub(crate) fn of_another_process_namespace(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let (here, there) = Channel::pair();
        let (go_on, stop) = (Event::new(), Event::new());
        let outer = fork_child(|| {
            unshare(CloneFlags::CLONE_NEWPID).expect("unshare the process namespace");
            // Process 1 of its namespace, as a container's.
            let inner = fork_child(|| {
                go_on.wait();
                there.send(bind(scene, START));
                stop.wait();
                0
            });
            there.send(inner.pid().into());
            inner.code()
        });
        let pid = here.recv() as u32;
        let pidfd = pidfd_open(pid, 0);
        assert_ok!(hand_over(&socket, token, &pidfd));
        assert_eq!(owner(scene).0, pid, "in the initial namespace");
        go_on.set();
        assert_eq!((here.recv(), bind(scene, START)), (0, REFUSED));
        stop.set();
        assert_eq!(outer.code(), 0);
        drop(socket);
    });
}

pub(crate) fn of_another_user_namespace(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let heir = Binder::start(scene, || {
            proc::drop_privileges(NOBODY, NOBODY);
            unshare(CloneFlags::CLONE_NEWUSER).expect("unshare the user namespace");
        });
        let errno = proc::as_uid(NOBODY, NOBODY, || {
            let (socket, token) = acquired(scene, raw::TREE);
            // The user is the same one, whatever it is called in there.
            assert_ok!(hand_over(&socket, token, &heir.pidfd));
            assert_eq!((heir.bind(), bind(scene, START)), (0, REFUSED));
            0
        });
        assert_eq!(errno, 0);
        // An administrator of a namespace below is none over this network namespace.
        let errno = proc::as_uid(NOBODY, NOBODY, || {
            let other = Binder::start(scene, || ());
            unshare(CloneFlags::CLONE_NEWUSER).expect("unshare the user namespace");
            let (socket, token) = acquired(scene, raw::TREE);
            assert_ok!(hand_over(&socket, token, &other.pidfd));
            assert_ok!(raw::claim(&socket, token));
            assert_errno!(hand_over(&socket, token, &pidfd_open(1, 0)), EACCES);
            drop(other.end());
            0
        });
        assert_eq!(errno, 0);
        drop(heir.end());
    });
}

pub(crate) fn is_the_process_of_a_thread(sandbox: &Sandbox) {
    // Since Linux 6.9.
    const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;
    if !is_linux("6.9") {
        return;
    }
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let (here, there) = Channel::pair();
        let (go_on, ended) = (Event::new(), Event::new());
        let heir = fork_child(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    there.send(gettid().as_raw() as u64);
                    go_on.wait();
                });
            });
            there.send(0);
            ended.wait();
            i32::from(bind(scene, START) != 0)
        });
        let thread = pidfd_open(here.recv() as u32, PIDFD_THREAD);
        assert_ok!(hand_over(&socket, token, &thread));
        assert_eq!(owner(scene).0, heir.pid());
        go_on.set();
        assert_eq!(here.recv(), 0);
        // The thread has ended, the process has not. A join returns a moment before.
        eventually(|| hand_over(&socket, token, &thread) == Err(libc::ESRCH));
        assert_eq!(owner(scene).0, heir.pid());
        ended.set();
        assert_eq!(heir.code(), 0);
        drop(socket);
    });
}

pub(crate) fn may_have_lost_its_first_thread(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let (here, there) = Channel::pair();
        let go_on = Event::new();
        let heir = fork_child(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    go_on.wait();
                    there.send(bind(scene, START));
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(0) }
                });
                // SAFETY: ends this thread, the first, and nothing else.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
            0
        });
        let stat = format!("/proc/{}/stat", heir.pid());
        eventually(|| std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")));
        assert_ok!(hand_over(&socket, token, &pidfd_open(heir.pid(), 0)));
        go_on.set();
        assert_eq!(here.recv(), 0);
        assert_eq!(heir.code(), 0);
        drop(socket);
    });
}

pub(crate) fn has_not_ended(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let own = owner(scene);
        let heir = Binder::plain(scene);
        heir.child.kill(Signal::SIGKILL);
        let stat = format!("/proc/{}/stat", heir.child.pid());
        eventually(|| std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")));
        assert_errno!(hand_over(&socket, token, &heir.pidfd), ESRCH);
        let pidfd = heir.pidfd;
        assert_eq!(heir.child.wait(), Exit::Signal(libc::SIGKILL));
        assert_errno!(hand_over(&socket, token, &pidfd), ESRCH);
        assert_eq!(owner(scene), own);
        assert_eq!(bind(scene, START), 0);
        drop(socket);
    });
}

pub(crate) fn is_named_by_a_pidfd(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let own = owner(scene);
        let (read, write) = nix::unistd::pipe().expect("pipe");
        let other = scene.socket();
        let memory = memfd_create(c"[pidfd]", MFdFlags::empty()).expect("memfd_create");
        let path = std::env::temp_dir().join(format!("[pidfd]{}", std::process::id()));
        std::fs::create_dir(&path).expect("make a directory");
        let named = File::create_new(path.join("[pidfd]")).expect("make a file");
        std::fs::remove_dir_all(&path).expect("remove the directory");
        let proc = File::open("/proc/self").expect("open /proc/self");
        for fd in [
            socket.as_raw_fd(),
            other.as_raw_fd(),
            read.as_raw_fd(),
            write.as_raw_fd(),
            memory.as_raw_fd(),
            named.as_raw_fd(),
            proc.as_raw_fd(),
            9999,
            i32::MAX,
            -1,
            i32::MIN,
            libc::AT_FDCWD,
        ] {
            assert_errno!(raw::hand_over(&socket, token, fd), EBADF);
            assert_eq!(owner(scene), own);
        }
        drop(socket);
    });
}

pub(crate) fn of_the_acquiring_socket_only(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let own = owner(scene);
        let heir = Binder::plain(scene);
        let other = scene.socket();
        assert_ok!(raw::acquire4(&other, 0, 1));
        for wrong in [&other, &scene.socket(), &sock::udp6(), &sock::tcp6()] {
            assert_errno!(hand_over(wrong, token, &heir.pidfd), EACCES);
        }
        for wrong in [0, token + (1 << 40)] {
            assert_errno!(hand_over(&socket, wrong, &heir.pidfd), EINVAL);
        }
        assert_eq!(owner(scene), own);
        // A copy of the socket is the socket, in whichever process.
        assert_ok!(hand_over(
            crate::scene::duplicate(&socket),
            token,
            &heir.pidfd
        ));
        assert_ok!(raw::claim(&socket, token));
        assert_ok!(raw::release(&socket, token));
        assert_errno!(hand_over(&socket, token, &heir.pidfd), EINVAL);
        drop(heir.end());
    });
}

pub(crate) fn is_described_by_a_value_of_16_bytes(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let own = owner(scene);
        let heir = Binder::plain(scene);
        let mut value = [0; 72];
        value[..8].copy_from_slice(&token.to_ne_bytes());
        value[8..12].copy_from_slice(&heir.pidfd.as_raw_fd().to_ne_bytes());
        let set = |value: &[u8]| raw::set_bytes(&socket, raw::SOL_PORTKEEP, raw::HAND_OVER, value);
        for length in [0, 4, 8, 12, 15, 65, 72] {
            assert_errno!(set(&value[..length]), EINVAL);
        }
        for odd in [12, 15, 16, 63] {
            value[odd] = 1;
            assert_errno!(set(&value[..64]), EINVAL);
            value[odd] = 0;
        }
        assert_eq!(owner(scene), own);
        assert_ok!(set(&value[..64]));
        assert_eq!(owner(scene).0, heir.child.pid());
        drop(heir.end());
        drop(socket);
    });
}

/// Another thread keeps putting other files where the descriptor is, and processes end meanwhile: what
/// becomes the owner is always one of those that the number meant.
pub(crate) fn is_a_process_that_the_descriptor_meant(sandbox: &Sandbox) {
    each(sandbox, |scene| {
        let (socket, token) = acquired(scene, raw::TREE);
        let (one, other) = (Binder::plain(scene), Binder::plain(scene));
        let place = one.pidfd.try_clone().expect("dup");
        let number = place.as_raw_fd();
        let (read, _write) = nix::unistd::pipe().expect("pipe");
        let own = std::process::id();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for file in [one.pidfd.as_fd(), other.pidfd.as_fd(), read.as_fd()] {
                        // SAFETY: replaces a descriptor that this test owns.
                        unsafe { libc::dup2(file.as_raw_fd(), number) };
                    }
                    // SAFETY: the same; until the next round the number is nobody's.
                    unsafe { libc::close(number) };
                    // One that ends at once, whose memory the next process may get.
                    // SAFETY: the child only exits.
                    let pid = unsafe { libc::fork() };
                    if pid == 0 {
                        // SAFETY: ends the child.
                        unsafe { libc::_exit(0) };
                    }
                    let pidfd = pidfd_open(pid as u32, 0);
                    // SAFETY: as above.
                    unsafe { libc::dup2(pidfd.as_raw_fd(), number) };
                    // SAFETY: reaps the child.
                    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                }
            });
            let (mut handed, mut tries) = (0, 0);
            while handed < 500 || tries < 5_000 {
                tries += 1;
                match raw::hand_over(&socket, token, number) {
                    Ok(()) => handed += 1,
                    Err(errno) => assert!([libc::EBADF, libc::ESRCH].contains(&errno), "{errno}"),
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        // The last one that it went to may be one of those that ended.
        let (pid, uid, _) = owner(scene);
        assert!(pid > 1 && uid == 0, "{pid} of user {uid}");
        assert_ne!(pid, own);
        assert_ok!(raw::claim(&socket, token));
        std::mem::forget(place);
        // SAFETY: the number is this test's, or was closed.
        unsafe { libc::close(number) };
        drop((one.end(), other.end()));
        drop(socket);
    });
}
