//! `WSAStartup` and `WSACleanup`.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::code::Code;
use crate::fork;
use crate::last_error;
use crate::monitor;
use crate::socket;
use crate::user_memory;

/// Version 2.2, the minor one in the upper byte.
const VERSION: u16 = 0x0202;

const DESCRIPTION: &[u8] = b"Portkeep";
const STATUS: &[u8] = b"Running";

/// `WSADATA`: 408 bytes, 400 on 32-bit, where the fields have another order.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_debug_implementations)]
pub struct StartupData {
    version: u16,
    high_version: u16,
    #[cfg(target_pointer_width = "64")]
    max_sockets: u16,
    #[cfg(target_pointer_width = "64")]
    max_datagram: u16,
    #[cfg(target_pointer_width = "64")]
    vendor_info: *mut c_char,
    description: [u8; 257],
    system_status: [u8; 129],
    /// The compiler would leave room here, with nothing in it.
    #[cfg(target_pointer_width = "64")]
    padding: [u8; 6],
    #[cfg(not(target_pointer_width = "64"))]
    max_sockets: u16,
    #[cfg(not(target_pointer_width = "64"))]
    max_datagram: u16,
    #[cfg(not(target_pointer_width = "64"))]
    padding: [u8; 2],
    #[cfg(not(target_pointer_width = "64"))]
    vendor_info: *mut c_char,
}

fn text<const N: usize>(text: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| text.get(index).copied().unwrap_or(0))
}

/// Calls of `WSAStartup` less those of `WSACleanup`. It changes under the monitor's lock, and is
/// looked at without: sending and receiving does not have to wait for it.
static STARTUPS: AtomicU32 = AtomicU32::new(0);

/// `WSANOTINITIALISED` outside `WSAStartup` and `WSACleanup`.
pub(crate) fn check() -> Result<(), Code> {
    match STARTUPS.load(Ordering::Relaxed) {
        0 => Err(Code::NOTINITIALISED),
        _ => Ok(()),
    }
}

/// `WSAStartup`: 0, or the error itself. Every version from 1.0 to 2.2 is given, a later one gets
/// 2.2. `WSAVERNOTSUPPORTED`, `WSAEFAULT`.
#[unsafe(no_mangle)]
pub extern "C" fn WSAStartup(requested: u16, data: *mut c_void) -> c_int {
    // The major version is in the lower byte.
    let ordered = |version: u16| version.swap_bytes();
    let (version, supported) = match requested.to_le_bytes() {
        [0, _] => (VERSION, false),
        _ if ordered(requested) > ordered(VERSION) => (VERSION, true),
        _ => (requested, true),
    };
    let data_out = StartupData {
        version,
        high_version: VERSION,
        max_sockets: 0,
        max_datagram: 0,
        vendor_info: std::ptr::null_mut(),
        description: text(DESCRIPTION),
        system_status: text(STATUS),
        padding: text(b""),
    };
    if let Err(code) = user_memory::write(data.cast::<StartupData>(), data_out) {
        return code.0;
    }
    if !supported {
        return Code::VERNOTSUPPORTED.0;
    }
    fork::prepare();
    let _world = monitor::lock();
    STARTUPS.fetch_add(1, Ordering::Relaxed);
    0
}

/// `WSACleanup`: the last one aborts what is pending and closes the sockets that this library made.
/// `WSANOTINITIALISED`.
#[unsafe(no_mangle)]
pub extern "C" fn WSACleanup() -> c_int {
    let mut world = monitor::lock();
    let result = check().map(|()| {
        if STARTUPS.load(Ordering::Relaxed) == 1 {
            socket::close_own(&mut world);
        }
        STARTUPS.fetch_sub(1, Ordering::Relaxed);
        world.changed();
        0
    });
    last_error::or_socket_error(result)
}
