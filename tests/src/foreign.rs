//! BPF programs that are not Portkeep's, at the hooks of cgroups.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use libbpf_rs::Link;
use libbpf_rs::libbpf_sys as bpf;

/// An instruction as the kernel takes it (`struct bpf_insn`).
pub type Instruction = [u8; 8];

/// `r0 = 1; exit`: lets every call pass.
pub const PROCEED: [Instruction; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Where a program is attached: the kind of program, and the hook.
pub type Hook = (bpf::bpf_prog_type, bpf::bpf_attach_type);

/// `setsockopt(2)`
pub const SETSOCKOPT: Hook = (
    bpf::BPF_PROG_TYPE_CGROUP_SOCKOPT,
    bpf::BPF_CGROUP_SETSOCKOPT,
);

/// `getsockopt(2)`
pub const GETSOCKOPT: Hook = (
    bpf::BPF_PROG_TYPE_CGROUP_SOCKOPT,
    bpf::BPF_CGROUP_GETSOCKOPT,
);

/// `bind(2)` of both families, before and after it.
pub const BIND: [Hook; 4] = [
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

/// `connect(2)` of both families.
pub const CONNECT: [Hook; 2] = [
    (
        bpf::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        bpf::BPF_CGROUP_INET4_CONNECT,
    ),
    (
        bpf::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        bpf::BPF_CGROUP_INET6_CONNECT,
    ),
];

/// The end of a socket.
pub const SOCK_RELEASE: Hook = (
    bpf::BPF_PROG_TYPE_CGROUP_SOCK,
    bpf::BPF_CGROUP_INET_SOCK_RELEASE,
);

/// A program of [`SETSOCKOPT`] that fails calls of this level with this errno, and no others.
#[must_use]
pub fn fail(level: i32, errno: i32) -> [Instruction; 8] {
    let immediate = |head: [u8; 4], value: i32| {
        let value = value.to_ne_bytes();
        [
            head[0], head[1], head[2], head[3], value[0], value[1], value[2], value[3],
        ]
    };
    [
        // r2 = ctx->level, at 24 of struct bpf_sockopt.
        [0x61, 0x12, 24, 0, 0, 0, 0, 0],
        // if r2 != level goto proceed
        immediate([0x55, 0x02, 4, 0], level),
        // bpf_set_retval(-errno)
        immediate([0xb7, 0x01, 0, 0], -errno),
        immediate([0x85, 0, 0, 0], 187),
        // return 0
        [0xb7, 0, 0, 0, 0, 0, 0, 0],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
        PROCEED[0],
        PROCEED[1],
    ]
}

/// Attached until the link is dropped.
///
/// # Panics
///
/// If the kernel refuses the program.
#[must_use]
pub fn attach((kind, hook): Hook, program: &[Instruction], cgroup: &Path) -> OwnedFd {
    let cgroup = File::open(cgroup).expect("open the cgroup");
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
                c"foreign".as_ptr(),
                c"GPL".as_ptr(),
                program.as_ptr().cast(),
                program.len() as _,
                &mut options,
            )
        },
        "load",
    );
    // SAFETY: both descriptors are open; no options.
    let link = unsafe {
        bpf::bpf_link_create(
            program.as_raw_fd(),
            cgroup.as_raw_fd(),
            hook,
            std::ptr::null(),
        )
    };
    owned(link, "attach")
}

/// Keeps the link at a path of a BPF file system.
///
/// # Panics
///
/// If the kernel refuses.
pub fn pin(link: &OwnedFd, path: &Path) {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path without NUL");
    // SAFETY: the descriptor is open, the path ends in 0.
    let result = unsafe { bpf::bpf_obj_pin(link.as_raw_fd(), name.as_ptr()) };
    assert_eq!(result, 0, "pin at {}", path.display());
}

/// Detaches the link that is pinned at a path, which stays.
///
/// # Panics
///
/// If there is none.
pub fn detach(path: &Path) {
    let link = Link::open(path).expect("open the link");
    link.detach().expect("detach it");
}

fn owned(descriptor: RawFd, what: &str) -> OwnedFd {
    assert!(
        descriptor >= 0,
        "{what}: {}",
        io::Error::from_raw_os_error(-descriptor)
    );
    // SAFETY: the call that gave it succeeded, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
