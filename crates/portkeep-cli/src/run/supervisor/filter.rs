//! The seccomp filter of the command.

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::run::supervisor::address;
use crate::run::supervisor::options::{NOTED, Noted};

/// The calling convention whose numbers the filter compares, `AUDIT_ARCH_*` of `linux/audit.h`.
///
/// Calls by another one (32-bit programs, x32) pass the filter: their binds to held ports are
/// refused like a stranger's.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// What calls a filter tells of, besides knocks at the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// bind(2) and listen(2).
    Binds,
    /// Those, and options that a socket is given, which have to be noted.
    BindsAndOptions,
    /// Nothing: programs load a library that knocks instead.
    Knocks,
}

/// A filter, ready to be installed.
#[derive(Debug)]
pub struct Filter(Option<Vec<libc::sock_filter>>);

impl Filter {
    pub fn new(tells: Tells) -> Self {
        Self(ARCHITECTURE.map(|architecture| program(architecture, tells)))
    }

    /// Puts this thread, and what it will execute and fork, under the filter. Gives the descriptor to
    /// supervise it by, which is closed on exec.
    ///
    /// It is called between fork and exec, so it must be async-signal-safe: it makes system calls only.
    pub fn install(&self) -> Result<OwnedFd, Errno> {
        let program = self.0.as_deref().ok_or(Errno::ENOSYS)?;
        // Without WAIT_KILLABLE_RECV (Linux 5.19) a signal breaks off a call that is being answered, and
        // a call that is made again finds the socket bound. With it only a deadly one does.
        let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let patient = listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        match set_filter(program, patient) {
            Err(Errno::EINVAL) => set_filter_or_give_up_privileges(program, listener),
            Err(Errno::EACCES) => set_filter_or_give_up_privileges(program, patient),
            installed => installed,
        }
    }
}

/// Who lacks `CAP_SYS_ADMIN` may filter only what gains no privileges by exec.
fn set_filter_or_give_up_privileges(
    program: &[libc::sock_filter],
    flags: libc::c_ulong,
) -> Result<OwnedFd, Errno> {
    match set_filter(program, flags) {
        Err(Errno::EACCES) => {
            nix::sys::prctl::set_no_new_privs()?;
            match set_filter(program, flags) {
                // Linux before 5.19 looks at the privileges first.
                Err(Errno::EINVAL) => set_filter(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER),
                installed => installed,
            }
        }
        installed => installed,
    }
}

fn set_filter(program: &[libc::sock_filter], flags: libc::c_ulong) -> Result<OwnedFd, Errno> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which outlives the call, and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    let descriptor = Errno::result(result)? as RawFd;
    // SAFETY: the kernel has just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Over a `struct seccomp_data`, in the machine of bpf(4): tells of listen(2), of bind(2) to an address that
/// is as long as one of IPv4 or IPv6 (those of netlink are shorter, most of Unix sockets longer), and of
/// setsockopt(2) of certain options; or else only of listen(2) on the descriptor -1.
fn program(architecture: u32, tells: Tells) -> Vec<libc::sock_filter> {
    const NUMBER: u32 = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    const ARCH: u32 = std::mem::offset_of!(libc::seccomp_data, arch) as u32;
    let mut program = vec![load(ARCH), skip_if(architecture, 1), ALLOW, load(NUMBER)];
    if tells == Tells::Knocks {
        program.extend([
            skip_unless(libc::SYS_listen as u32, 3),
            load(argument(0)),
            skip_unless(u32::MAX, 1),
            NOTIFY,
            ALLOW,
        ]);
        return program;
    }
    program.extend([skip_unless(libc::SYS_listen as u32, 1), NOTIFY]);
    let options = match tells {
        Tells::BindsAndOptions => options(),
        Tells::Binds | Tells::Knocks => Vec::new(),
    };
    program.extend([skip_if(libc::SYS_bind as u32, options.len() as u8 + 1)]);
    program.extend(options);
    program.push(ALLOW);
    let (shortest, longest) = (*address::OF_IP.start(), *address::OF_IP.end());
    program.extend([
        load(argument(2)),
        skip_if(address::STORAGE as u32, 2),
        skip_if_more(longest as u32, 2),
        skip_if_less(shortest as u32, 1),
        NOTIFY,
        ALLOW,
    ]);
    program
}

/// Falls through for other calls.
fn options() -> Vec<libc::sock_filter> {
    let tests: Vec<_> = NOTED.iter().flat_map(|noted| is_option(*noted)).collect();
    let mut part = vec![skip_unless(libc::SYS_setsockopt as u32, tests.len() as u8)];
    part.extend(tests);
    part
}

/// Tells of one option of one level.
fn is_option(Noted { level, name }: Noted) -> [libc::sock_filter; 5] {
    [
        load(argument(1)),
        skip_unless(level as u32, 3),
        load(argument(2)),
        skip_unless(name as u32, 1),
        NOTIFY,
    ]
}

/// Where the lower half of an argument is, all that the kernel takes of an int: both architectures
/// are little-endian.
const fn argument(index: u32) -> u32 {
    std::mem::offset_of!(libc::seccomp_data, args) as u32 + 8 * index
}

const ALLOW: libc::sock_filter = give(libc::SECCOMP_RET_ALLOW);
const NOTIFY: libc::sock_filter = give(libc::SECCOMP_RET_USER_NOTIF);

const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

const fn skip_if(value: u32, skip: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, 0, value)
}

const fn skip_unless(value: u32, skip: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, value)
}

const fn skip_if_more(value: u32, skip: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, skip, 0, value)
}

const fn skip_if_less(value: u32, skip: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, skip, value)
}

const fn give(verdict: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, verdict)
}

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}
