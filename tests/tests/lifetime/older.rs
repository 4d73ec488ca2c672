//! A kernel part from before `PORTKEEP_HAND_OVER`: today's object, in which the option has another number.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use libbpf_rs::{AsRawLibbpf as _, Link, ObjectBuilder, OpenProgramMut, libbpf_sys};
use portkeep::{ErrorKind, Reservation, Token, sockopt};
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, enable, raw};

use crate::heir::pidfd_open;
use crate::library::owners;
use crate::scene::{BLOCK, socket};

const OBJECT: &[u8] = include_bytes!("../../../crates/portkeep-admin/bpf/portkeep.bpf.o");
const HAND_OVER: i32 = 7;
/// No option of any version.
const NOBODYS: i32 = 1_000_007;

/// Makes the comparison with the option one with another number.
fn forget_hand_over(program: &mut OpenProgramMut<'_>) {
    // SAFETY: libbpf gives as many instructions as it says, which nobody else changes meanwhile.
    let mut code = unsafe {
        let program = program.as_libbpf_object().as_ptr();
        let count = libbpf_sys::bpf_program__insn_cnt(program) as usize;
        std::slice::from_raw_parts(libbpf_sys::bpf_program__insns(program), count).to_vec()
    };
    // BPF_JMP or BPF_JMP32, BPF_JEQ or BPF_JNE, with a constant.
    let mut found = code
        .iter_mut()
        .filter(|it| matches!(it.code, 0x15 | 0x16 | 0x55 | 0x56) && it.imm == HAND_OVER);
    let comparison = found.next().expect("a comparison with the option");
    assert!(found.next().is_none(), "several comparisons with 7");
    comparison.imm = NOBODYS;
    // SAFETY: libbpf copies the instructions.
    let status = unsafe {
        let program = program.as_libbpf_object().as_ptr();
        libbpf_sys::bpf_program__set_insns(program, code.as_mut_ptr(), code.len() as _)
    };
    assert_eq!(status, 0);
}

/// Puts the older program behind each link of setsockopt().
fn downgrade(bpffs: &Path) {
    let pins = bpffs.join("portkeep");
    let mut builder = ObjectBuilder::default();
    let mut open = builder.open_memory(OBJECT).expect("open the object");
    for mut map in open.maps_mut() {
        let pin = pins.join("maps").join(map.name());
        if pin.exists() {
            map.set_pin_path(pin).expect("name a map");
        }
    }
    for mut program in open.progs_mut() {
        if program.name() == "portkeep_setsockopt" {
            forget_hand_over(&mut program);
        } else {
            program.set_autoload(false);
        }
    }
    let object = open.load().expect("load the older programs");
    let older = object
        .progs_mut()
        .find(|it| it.name() == "portkeep_setsockopt");
    let older = older.expect("the older program");
    let mut links = 0;
    for entry in fs::read_dir(pins.join("links")).expect("list the links") {
        let entry = entry.expect("a link");
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("setsockopt")
        {
            let mut link = Link::open(entry.path()).expect("open a link");
            link.update_prog(&older).expect("replace the program");
            links += 1;
        }
    }
    assert_ne!(links, 0);
}

pub(crate) fn kernel_part_says_that_it_cannot(sandbox: &Sandbox) {
    enable::enable(sandbox);
    downgrade(sandbox.bpffs());
    let process = pidfd_open(std::process::id(), 0);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let own = socket(protocol);
        let block = assert_ok!(raw::acquire(&own, 0, 1));
        let refused = raw::hand_over(&own, block.token, process.as_raw_fd());
        assert_errno!(refused, ENOPROTOOPT);
        let token = Token::from_raw(block.token).expect("not 0");
        let error = sockopt::hand_over(&own, token, process.as_fd()).expect_err("outdated");
        assert_eq!(error.kind(), ErrorKind::Outdated, "{error}");
        assert_eq!(error.errno(), Some(libc::ENOPROTOOPT));
    }
    let request = Reservation::builder().tcp().udp().range(BLOCK);
    let reservation = request.acquire().expect("acquire the block");
    let before = owners();
    let error = reservation.hand_over(process.as_fd());
    let error = error.expect_err("outdated");
    assert_eq!(error.kind(), ErrorKind::Outdated, "{error}");
    assert_eq!(owners(), before);
    // Today's serves again.
    enable::enable(sandbox);
    reservation.hand_over(process.as_fd()).expect("hand over");
}
