//! The price of the kernel's bind hooks as such: programs that allow everything at once.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use libbpf_rs::libbpf_sys as bpf;

/// The hooks that Portkeep enforces at, with the type of their programs.
const HOOKS: [(bpf::bpf_prog_type, bpf::bpf_attach_type); 4] = [
    (
        bpf::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        bpf::BPF_CGROUP_INET4_BIND,
    ),
    (
        bpf::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        bpf::BPF_CGROUP_INET6_BIND,
    ),
    (
        bpf::BPF_PROG_TYPE_CGROUP_SOCK,
        bpf::BPF_CGROUP_INET4_POST_BIND,
    ),
    (
        bpf::BPF_PROG_TYPE_CGROUP_SOCK,
        bpf::BPF_CGROUP_INET6_POST_BIND,
    ),
];

/// `r0 = 1; exit`.
const PROCEED: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

fn owned(descriptor: RawFd, what: &str) -> OwnedFd {
    assert!(
        descriptor >= 0,
        "{what}: {}",
        io::Error::from_raw_os_error(-descriptor)
    );
    // SAFETY: the call that gave it succeeded, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Attached until the links are dropped.
pub fn attach_empty(cgroup: &Path) -> Vec<OwnedFd> {
    let cgroup = File::open(cgroup).expect("open the cgroup");
    HOOKS
        .map(|(kind, hook)| attach(kind, hook, cgroup.as_raw_fd()))
        .into()
}

fn attach(kind: bpf::bpf_prog_type, hook: bpf::bpf_attach_type, cgroup: RawFd) -> OwnedFd {
    let mut options = bpf::bpf_prog_load_opts {
        sz: size_of::<bpf::bpf_prog_load_opts>() as _,
        expected_attach_type: hook,
        ..Default::default()
    };
    // SAFETY: the strings end in 0, the instructions are as many as said and laid out as the
    // kernel wants them; the options are of the size they state.
    let program = owned(
        unsafe {
            bpf::bpf_prog_load(
                kind,
                c"proceed".as_ptr(),
                c"GPL".as_ptr(),
                PROCEED.as_ptr().cast(),
                PROCEED.len() as _,
                &mut options,
            )
        },
        "load",
    );
    // SAFETY: both descriptors are open; no options.
    let link = unsafe { bpf::bpf_link_create(program.as_raw_fd(), cgroup, hook, std::ptr::null()) };
    owned(link, "attach")
}
