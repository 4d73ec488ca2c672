//! The control calls of the C library with whatever a program may give them: pointers to nothing and
//! to the wrong, lengths, codes, sockets that are none. No call may crash, nor write outside the
//! buffers that it was given.
#![no_main]

use std::ffi::c_void;
use std::ptr;
use std::sync::Once;

use portkeep_winsock::ioctl::{WSAIoctl, WSPIoctl};
use portkeep_winsock::wait::SleepEx;

const GUARD: u8 = 0xA5;
const ROOM: usize = 64;

/// Room for an argument, with guards around it.
struct Buffer([u8; 3 * ROOM]);

impl Buffer {
    fn new(fill: u8) -> Self {
        let mut bytes = [GUARD; 3 * ROOM];
        bytes[ROOM..2 * ROOM].fill(fill);
        Self(bytes)
    }

    /// Somewhere in the room, or where nothing good is.
    fn pointer(&mut self, kind: u8) -> *mut c_void {
        static CONSTANT: [u64; 8] = [0; 8];
        match kind % 16 {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(8),
            2 => ptr::without_provenance_mut(usize::MAX - 7),
            3 => CONSTANT.as_ptr().cast_mut().cast(),
            odd => self.0[ROOM + usize::from(odd % 2)..].as_mut_ptr().cast(),
        }
    }

    /// An unaligned pointer may reach one byte behind its room, no further.
    fn check(&self) {
        assert!(self.0[..ROOM].iter().all(|byte| *byte == GUARD));
        assert!(self.0[2 * ROOM + 1..].iter().all(|byte| *byte == GUARD));
    }
}

extern "C" fn routine(_error: u32, _bytes: u32, _overlapped: *mut c_void, _flags: u32) {}

fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut data = [0u64; 64];
        let result = portkeep_winsock::startup::WSAStartup(0x202, data.as_mut_ptr().cast());
        assert_eq!(result, 0);
    });
}

#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    start();
    // SAFETY: the fuzzer's input.
    let data = unsafe { std::slice::from_raw_parts(data, size) };
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next().unwrap_or(0);
    for _ in 0..8 {
        call(&mut next);
    }
    SleepEx(0, 1);
    0
}

fn call(next: &mut impl FnMut() -> u8) {
    const CODES: [u32; 5] = [
        0x9800_0064,
        0x9800_0065,
        0x9800_0066,
        0x2800_0004,
        0xD800_0064,
    ];
    let kind = if next().is_multiple_of(2) {
        libc::SOCK_STREAM
    } else {
        libc::SOCK_DGRAM
    };
    // SAFETY: the call takes no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, kind, 0) };
    let handle = match next() % 8 {
        0 => usize::MAX,
        1 => 0x7fff_ffff,
        2 => 1_000_000,
        _ => socket as usize,
    };
    let code = match next() {
        any if any >= 250 => u32::from_le_bytes([next(), next(), next(), next()]),
        known => CODES[usize::from(known) % CODES.len()],
    };
    let [
        mut input,
        mut output,
        mut returned,
        mut overlapped,
        mut error,
    ] = [(); 5].map(|()| Buffer::new(0));
    for byte in &mut input.0[ROOM..ROOM + 8] {
        *byte = next();
    }
    let lengths = [0, 1, 3, 4, 7, 8, 15, 16, 17, u32::MAX];
    let mut length = || lengths[usize::from(next()) % lengths.len()];
    let (input_length, output_length) = (length(), length());
    let with_routine = next().is_multiple_of(3);
    let overlapped_pointer = match next() % 2 {
        0 => ptr::null_mut(),
        _ => overlapped.pointer(next()),
    };
    let arguments = (
        input.pointer(next()),
        output.pointer(next()),
        returned.pointer(next()),
        with_routine.then_some(routine as portkeep_winsock::thread::CompletionRoutine),
    );
    let (input_pointer, output_pointer, returned_pointer, routine) = arguments;
    let result = if next().is_multiple_of(2) {
        WSAIoctl(
            handle,
            code,
            input_pointer,
            input_length,
            output_pointer,
            output_length,
            returned_pointer.cast(),
            overlapped_pointer.cast(),
            routine,
        )
    } else {
        WSPIoctl(
            handle,
            code,
            input_pointer,
            input_length,
            output_pointer,
            output_length,
            returned_pointer.cast(),
            overlapped_pointer.cast(),
            routine,
            ptr::null(),
            error.pointer(next()).cast(),
        )
    };
    assert!(result == 0 || result == -1);
    // What completes later must find its structure: it ends before the buffers do.
    SleepEx(0, 1);
    for buffer in [&input, &output, &returned, &overlapped, &error] {
        buffer.check();
    }
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(socket) };
}
