//! Commands that bind in unusual ways.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;
use portkeep_tests::{Sandbox, libc, skip};

use crate::common::python::python;
use crate::common::{done, portkeep, portkeep_as_user};
use crate::scene::{PORT, build};

/// The words of a run of a Python program with [`PORT`].
fn words(program: &str) -> Vec<String> {
    let port = format!("{PORT}-{PORT}");
    let run = ["run", "--both", &port, "--"].map(str::to_owned);
    let [_, program @ ..] = python(program);
    let python = "/usr/bin/python3".to_owned();
    run.into_iter().chain([python]).chain(program).collect()
}

/// Binds whose address does not come, or whose socket is locked, hold up no other.
pub fn addresses_that_do_not_come(sandbox: &Sandbox) {
    let program = build(sandbox, "stuck.c");
    let program = program.to_str().expect("a path in UTF-8");
    let ports = format!("{PORT}-{}", PORT + 1);
    let port = PORT.to_string();
    let text = done(&mut portkeep([
        "run", "--tcp", &ports, "--", program, &port,
    ]));
    if text == "no userfaultfd\n" {
        skip("userfaultfd(2) is not to be had");
    }
    assert_eq!(text, "others bound\n0 0 0 0 0 0 0 \n");
}

/// What the kernel takes for an address of IPv4, and what not.
pub fn addresses_of_no_family(_sandbox: &Sandbox) {
    let program = "
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
for family, kind, host, length in (
        (socket.AF_INET, 'tcp', '0.0.0.0', 16), (socket.AF_INET, 'udp', '0.0.0.0', 16),
        (socket.AF_INET, 'tcp', '0.0.0.0', 128), (socket.AF_INET, 'tcp', '0.0.0.0', 129),
        (socket.AF_INET, 'tcp', '127.0.0.1', 16), (socket.AF_INET6, 'tcp', '0.0.0.0', 28)):
    opened = socket.socket(family, KINDS[kind])
    address = struct.pack('=H', 0) + struct.pack('!H', own(kind)[0]) + socket.inet_aton(host)
    failed = libc.bind(opened.fileno(), address + bytes(200), length)
    say(errno.errorcode[ctypes.get_errno()] if failed else opened.getsockname())
    opened.close()
";
    assert_eq!(
        done(&mut portkeep_as_user(words(program))),
        "('0.0.0.0', 20000)\n('0.0.0.0', 20000)\n('0.0.0.0', 20000)\nEINVAL\n\
         EAFNOSUPPORT\nEAFNOSUPPORT\n"
    );
}

/// A thread's own descriptors, where the kernel gives them out; else its bind is refused, and no other
/// socket is bound in its place.
pub fn descriptors_of_a_thread(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
shared = socket.socket()
def work():
    assert libc.unshare(0x400) == 0
    own_one = socket.socket()
    os.dup2(own_one.fileno(), shared.fileno())
    try:
        shared.bind(('127.0.0.1', own('tcp')[0]))
        said = 'bound'
    except OSError as error:
        said = errno.errorcode[error.errno]
    say(said, shared.getsockname()[1])
thread = threading.Thread(target=work)
thread.start()
thread.join()
# The kernel closes the thread's descriptors some time after Python's join.
while len(os.listdir('/proc/self/task')) > 1:
    pass
say(shared.getsockname()[1])
say(attempts())
";
    let others = format!("0\n{PORT}/tcp:bound {PORT}/udp:bound\n");
    let refused = format!("EADDRINUSE 0\n{others}");
    if has_thread_descriptors() {
        let text = done(&mut portkeep_as_user(words(program)));
        assert_eq!(text, format!("bound {PORT}\n{others}"));
    }
    for mut command in [portkeep(words(program)), portkeep_as_user(words(program))] {
        assert_eq!(done(without_thread_descriptors(&mut command)), refused);
    }
}

fn has_thread_descriptors() -> bool {
    // SAFETY: the call takes no pointers.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), libc::O_EXCL) };
    if let Ok(descriptor) = i32::try_from(opened)
        && descriptor >= 0
    {
        // SAFETY: the kernel has just made it for us.
        unsafe { libc::close(descriptor) };
        return true;
    }
    false
}

/// Lets pidfd_open(2) refuse PIDFD_THREAD, as before Linux 6.9.
fn without_thread_descriptors(command: &mut Command) -> &mut Command {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let filter = [
        // The number, then the lower half of the second argument; both architectures with a
        // supervisor are little-endian.
        instruction(load, 0, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            3,
            libc::SYS_pidfd_open as u32,
        ),
        instruction(load, 0, 0, 24),
        instruction(
            libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
            0,
            1,
            libc::O_EXCL as u32,
        ),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | Errno::EINVAL as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_ptr().cast_mut(),
        };
        // An ordinary user may filter only what gains no privileges.
        nix::sys::prctl::set_no_new_privs()?;
        let set = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the kernel copies the program, which outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, set, 0, &raw const program) };
        Ok(Errno::result(result).map(drop)?)
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(install) }
}
