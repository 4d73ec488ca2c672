//! What the default profiles of container runtimes refuse, as far as it matters to `run`: whoever lacks
//! CAP_SYS_PTRACE in the container's bounding set meets these.

use portkeep_tests::libc;

/// A filter that refuses some calls.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    refused: &'static [(libc::c_long, i32)],
    /// How `run` lets the command in, as it says itself.
    pub way: &'static str,
}

const COPIES: &str = "by copies of its sockets";
const TRACED: &str = "by ptrace";
const REPLACED: &str = "by new sockets";

const fn eperm(call: libc::c_long) -> (libc::c_long, i32) {
    (call, libc::EPERM)
}

pub const NONE: Profile = Profile {
    name: "none",
    refused: &[],
    way: COPIES,
};

/// Of moby, since 20.10.
pub const DOCKER: Profile = Profile {
    name: "docker",
    refused: &[
        eperm(libc::SYS_pidfd_getfd),
        eperm(libc::SYS_kcmp),
        eperm(libc::SYS_process_madvise),
        eperm(libc::SYS_io_uring_setup),
        eperm(libc::SYS_userfaultfd),
        eperm(libc::SYS_unshare),
        eperm(libc::SYS_setns),
        eperm(libc::SYS_bpf),
        (libc::SYS_clone3, libc::ENOSYS),
    ],
    way: TRACED,
};

/// Kubernetes' RuntimeDefault, with containerd since 1.7.
pub const CONTAINERD: Profile = Profile {
    name: "containerd",
    refused: &[
        eperm(libc::SYS_pidfd_getfd),
        eperm(libc::SYS_kcmp),
        eperm(libc::SYS_process_madvise),
        eperm(libc::SYS_process_vm_readv),
        eperm(libc::SYS_process_vm_writev),
        eperm(libc::SYS_io_uring_setup),
        eperm(libc::SYS_userfaultfd),
        eperm(libc::SYS_unshare),
        eperm(libc::SYS_setns),
        eperm(libc::SYS_bpf),
        (libc::SYS_clone3, libc::ENOSYS),
    ],
    way: TRACED,
};

pub const CONTAINERD_BEFORE_1_7: Profile = Profile {
    name: "containerd before 1.7",
    refused: &[
        eperm(libc::SYS_pidfd_getfd),
        eperm(libc::SYS_kcmp),
        eperm(libc::SYS_process_madvise),
        eperm(libc::SYS_process_vm_readv),
        eperm(libc::SYS_process_vm_writev),
        eperm(libc::SYS_ptrace),
        eperm(libc::SYS_io_uring_setup),
        eperm(libc::SYS_userfaultfd),
        eperm(libc::SYS_unshare),
        eperm(libc::SYS_setns),
        eperm(libc::SYS_bpf),
        (libc::SYS_clone3, libc::ENOSYS),
    ],
    way: REPLACED,
};

/// And CRI-O's.
pub const PODMAN: Profile = Profile {
    name: "podman",
    refused: &[
        eperm(libc::SYS_kcmp),
        eperm(libc::SYS_process_madvise),
        eperm(libc::SYS_userfaultfd),
        eperm(libc::SYS_bpf),
        (libc::SYS_io_uring_setup, libc::ENOSYS),
    ],
    way: COPIES,
};

/// No runtime's: it leaves no way.
pub const NOTHING: Profile = Profile {
    name: "nothing",
    refused: &[
        eperm(libc::SYS_pidfd_getfd),
        eperm(libc::SYS_ptrace),
        eperm(libc::SYS_getxattr),
    ],
    way: "",
};

pub const ALL: [Profile; 5] = [NONE, DOCKER, CONTAINERD, CONTAINERD_BEFORE_1_7, PODMAN];

impl Profile {
    /// Its filter, in the machine of bpf(4).
    pub fn filter(&self) -> Vec<libc::sock_filter> {
        let instruction = |code: u32, jf, k| libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf,
            k,
        };
        let give = |verdict| instruction(libc::BPF_RET | libc::BPF_K, 0, verdict);
        let number = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
        let mut filter = vec![instruction(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            number,
        )];
        for (call, errno) in self.refused {
            let compare = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
            filter.push(instruction(compare, 1, *call as u32));
            filter.push(give(libc::SECCOMP_RET_ERRNO | *errno as u32));
        }
        filter.push(give(libc::SECCOMP_RET_ALLOW));
        filter
    }
}
