//! What is measured under `run`: this program itself, which binds over and over.

use std::mem;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use portkeep_tests::libc;

/// Tells this program to bind: `KIND PORT`, and `bare` to be told of by a process that answers at once, `read`
/// by one that reads the address first.
const BINDER: &str = "PORTKEEP_BINDER";

const BINDS: usize = 3000;

/// Does so, if it is told to.
pub fn is_told() -> Option<ExitCode> {
    let words = std::env::var(BINDER).ok()?;
    let mut words = words.split(' ');
    let (kind, port) = (words.next()?, words.next()?.parse().ok()?);
    match words.next() {
        Some("bare") => have_answered(false),
        Some("read") => have_answered(true),
        _ => {}
    }
    let mut times: Vec<_> = (0..BINDS).map(|_| bind(kind, port)).collect();
    times.sort_unstable();
    println!("{}", times[times.len() / 2].as_nanos());
    Some(ExitCode::SUCCESS)
}

/// The median time of a bind in a process that `command`, if there is one, runs.
pub fn measure(mut command: Option<Command>, told: &str) -> Duration {
    let own = std::env::current_exe().expect("the name of this program");
    let mut command = match command.take() {
        Some(mut command) => {
            command.arg(own);
            command
        }
        None => Command::new(own),
    };
    let output = command.env(BINDER, told).output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    let nanoseconds = text.trim().parse();
    Duration::from_nanos(nanoseconds.unwrap_or_else(|_| panic!("{command:?}: {output:?}")))
}

fn bind(kind: &str, port: u16) -> Duration {
    let (family, kind) = match kind {
        "netlink" => (libc::AF_NETLINK, libc::SOCK_RAW),
        "tcp" => (libc::AF_INET, libc::SOCK_STREAM),
        _ => (libc::AF_INET, libc::SOCK_DGRAM),
    };
    // Of IPv4 at the loopback address, or of netlink.
    let mut address = [0_u8; 16];
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    let length = if family == libc::AF_NETLINK { 12 } else { 16 };
    if family == libc::AF_INET {
        address[2..4].copy_from_slice(&port.to_be_bytes());
        address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    }
    // SAFETY: the calls take numbers and an address that is longer than is said.
    unsafe {
        let socket = libc::socket(family, kind, 0);
        let start = Instant::now();
        let bound = libc::bind(socket, address.as_ptr().cast(), length);
        let time = start.elapsed();
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        libc::close(socket);
        time
    }
}

/// Puts this process under a filter whose listener answers that calls are to go on.
fn have_answered(reads: bool) {
    let mut pipe = [0; 2];
    // SAFETY: the kernel writes two numbers.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => answerer(pipe[0], reads),
        child => assert!(child > 0),
    }
    let call = libc::SYS_bind as u32;
    let listener = filter(
        call,
        libc::SECCOMP_RET_USER_NOTIF,
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
    );
    assert!(listener >= 0);
    let number = listener.to_ne_bytes();
    // SAFETY: the kernel reads four bytes.
    let written = unsafe { libc::write(pipe[1], number.as_ptr().cast(), 4) };
    assert_eq!(written, 4);
    // SAFETY: nobody uses it any more. The listener stays open, and ends with this process.
    unsafe { libc::close(pipe[1]) };
}

fn answerer(pipe: i32, reads: bool) -> ! {
    let mut number = [0_u8; 4];
    // SAFETY: the kernel writes four bytes; the other calls take numbers, or what they are told the size of.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        assert_eq!(libc::read(pipe, number.as_mut_ptr().cast(), 4), 4);
        let parent = libc::syscall(libc::SYS_pidfd_open, libc::getppid(), 0);
        let listener =
            libc::syscall(libc::SYS_pidfd_getfd, parent, i32::from_ne_bytes(number), 0) as i32;
        libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1_u64);
        loop {
            let mut call: (libc::seccomp_notif, [u64; 32]) = mem::zeroed();
            if libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) != 0 {
                libc::_exit(0);
            }
            if reads {
                let mut address = [0_u8; 16];
                let local = libc::iovec {
                    iov_base: address.as_mut_ptr().cast(),
                    iov_len: address.len(),
                };
                let remote = libc::iovec {
                    iov_base: call.0.data.args[1] as *mut _,
                    ..local
                };
                let (local, remote) = (&raw const local, &raw const remote);
                libc::process_vm_readv(call.0.pid as i32, local, 1, remote, 1, 0);
            }
            let answer = libc::seccomp_notif_resp {
                id: call.0.id,
                val: 0,
                error: 0,
                flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            };
            libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer);
        }
    }
}

/// Puts this process under a filter of one call.
fn filter(call: u32, verdict: u32, flags: libc::c_ulong) -> i32 {
    let instruction = |code: u32, jf, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call),
        instruction(libc::BPF_RET | libc::BPF_K, 0, verdict),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    let set = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which outlives the call.
    unsafe { libc::syscall(libc::SYS_seccomp, set, flags, &raw const program) as i32 }
}

/// Forbids pidfd_getfd(2), as container runtimes do.
pub fn without_copies(command: &mut Command) {
    let forbid = || {
        let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        match filter(libc::SYS_pidfd_getfd as u32, refuse, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes a system call.
    unsafe { command.pre_exec(forbid) };
}
