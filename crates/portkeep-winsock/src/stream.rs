//! Why a stream cannot be sent to: Linux has one word for it, `EPIPE`, and Windows three.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use crate::code::Code;

/// The beginning of Linux' `struct tcp_info`, as far as `tcpi_segs_out`, which is there since Linux 4.2.
#[repr(C)]
struct Information {
    state: u8,
    others: [u8; 135],
    segments_sent: u32,
}

/// The kernel's states.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// Those in which this side has ended.
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;

/// `WSAENOTCONN` if it never was connected, `WSAESHUTDOWN` if this side has ended, `WSAECONNRESET` if the peer
/// is gone.
pub(crate) fn cannot_send(socket: c_int) -> Code {
    match information(socket) {
        Some(
            Information {
                state: CLOSE,
                segments_sent: 0,
                ..
            }
            | Information { state: LISTEN, .. },
        ) => Code::NOTCONN,
        Some(Information {
            state: FIN_WAIT1 | FIN_WAIT2 | TIME_WAIT | LAST_ACK | CLOSING,
            ..
        }) => Code::SHUTDOWN,
        _ => Code::CONNRESET,
    }
}

fn information(socket: c_int) -> Option<Information> {
    let mut information = MaybeUninit::<Information>::zeroed();
    let mut length = size_of::<Information>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `information`.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            information.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    // SAFETY: all of it are integers, and it began as zeros.
    (result == 0 && length as usize == size_of::<Information>())
        .then(|| unsafe { information.assume_init() })
}

const _: () = assert!(std::mem::offset_of!(Information, segments_sent) == 136);
