//! The calls of the C library as a program makes them in any order, with whatever arguments: overlapped
//! sending and receiving, cancels, completion ports, events, waits, options, names. No call may crash, nor
//! write outside the buffers that it was given; what has begun completes exactly once, and no descriptor
//! is left.
//!
//! Nothing waits: sockets do not block, and times are 0.
#![no_main]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::wchar_t;
use portkeep_winsock::calls::*;
use portkeep_winsock::cancel::*;
use portkeep_winsock::control::ioctlsocket;
use portkeep_winsock::create::*;
use portkeep_winsock::event::*;
use portkeep_winsock::handle::CloseHandle;
use portkeep_winsock::ioctl::WSAIoctl;
use portkeep_winsock::last_error::WSAGetLastError;
use portkeep_winsock::name::*;
use portkeep_winsock::options::*;
use portkeep_winsock::overlapped::*;
use portkeep_winsock::port::*;
use portkeep_winsock::ready::*;
use portkeep_winsock::send_receive::*;
use portkeep_winsock::startup::WSAStartup;
use portkeep_winsock::text::*;
use portkeep_winsock::thread::CompletionRoutine;
use portkeep_winsock::transfer::{WSARecvFrom, WSASendTo};
use portkeep_winsock::wait::*;

const IO_PENDING: c_int = 997;
const MSGSIZE: c_int = 10040;

const FIONBIO: i32 = 0x8004_667E_u32.cast_signed();
const FIONREAD: u32 = 0x4004_667F;
const SIO_FLUSH: u32 = 0x2800_0004;
const SIO_UDP_CONNRESET: u32 = 0x9800_000C;
const SIO_CPU_AFFINITY: u32 = 0x9800_0015;

/// `WSABUF`
#[derive(Clone, Copy)]
#[repr(C)]
struct Buffer {
    length: u32,
    start: *mut c_void,
}

const GUARD: u8 = 0xA5;
const ROOM: usize = 64;
const SLOTS: usize = 6;
const SOCKETS: usize = 6;
const HANDLES: usize = 6;

/// What an operation uses until it ends: it is there for ever, so that one which ends late finds it.
#[repr(C)]
struct Slot {
    before: [u8; ROOM],
    overlapped: Overlapped,
    between: [u8; ROOM],
    data: [u8; ROOM],
    after: [u8; ROOM],
    name: [u8; ROOM],
    behind: [u8; ROOM],
    name_length: c_int,
    number: u32,
}

impl Slot {
    fn check(&self) {
        for guard in [self.before, self.between, self.after, self.behind] {
            assert!(guard.iter().all(|byte| *byte == GUARD));
        }
    }
}

static ROUTINES: AtomicUsize = AtomicUsize::new(0);

extern "C" fn routine(_error: u32, _bytes: u32, overlapped: *mut c_void, _flags: u32) {
    assert!(!overlapped.is_null());
    ROUTINES.fetch_add(1, Ordering::Relaxed);
}

/// The loopback interface of the namespace is down at first.
fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut data = [0u64; 64];
        assert_eq!(WSAStartup(0x202, data.as_mut_ptr().cast()), 0);
        // SAFETY: the request is a structure of zeros with the name of an interface.
        unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
            let mut request: libc::ifreq = std::mem::zeroed();
            request.ifr_name[0] = b'l' as _;
            request.ifr_name[1] = b'o' as _;
            request.ifr_ifru.ifru_flags = libc::IFF_UP as _;
            libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
            libc::close(socket);
        }
    });
}

#[derive(Clone, Copy)]
struct Socket {
    number: usize,
    /// Completions go to a port.
    has_port: bool,
    /// What succeeds at once sends no packet.
    skips: bool,
    /// Without it there are no overlapped calls.
    overlapped: bool,
}

struct Program<'a> {
    input: std::slice::Iter<'a, u8>,
    slots: &'a mut [Slot; SLOTS],
    sockets: Vec<Socket>,
    /// Events and completion ports.
    handles: Vec<usize>,
    /// What has begun and is to be told to a routine or to a port, and the packets that came.
    routines: usize,
    packets: usize,
    taken: usize,
    /// A port was closed, with what was in it.
    port_closed: bool,
}

#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    start();
    // SAFETY: the fuzzer's input.
    let data = match size {
        0 => &[],
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    };
    // SAFETY: one input is run at a time, and nothing is under way between two. All of it are integers.
    let slots = unsafe {
        static mut SLOTS_THERE: *mut [Slot; SLOTS] = ptr::null_mut();
        if SLOTS_THERE.is_null() {
            SLOTS_THERE = Box::leak(Box::new(std::mem::zeroed()));
        }
        &mut *SLOTS_THERE
    };
    for slot in slots.iter_mut() {
        slot.before.fill(GUARD);
        slot.between.fill(GUARD);
        slot.after.fill(GUARD);
        slot.behind.fill(GUARD);
    }
    ROUTINES.store(0, Ordering::Relaxed);
    let mut program = Program {
        input: data.iter(),
        slots,
        sockets: Vec::new(),
        handles: Vec::new(),
        routines: 0,
        packets: 0,
        taken: 0,
        port_closed: false,
    };
    let mut calls = 0;
    while !program.input.as_slice().is_empty() && calls < 64 {
        program.call();
        calls += 1;
    }
    program.end();
    0
}

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        self.input.next().copied().unwrap_or(0)
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    fn number(&mut self) -> u32 {
        let known = [0, 1, 2, 4, 16, 28, 64, 0x8000, u32::MAX, i32::MAX as u32];
        match self.byte() {
            any if any >= 240 => u32::from_le_bytes([(); 4].map(|()| self.byte())),
            some => known[usize::from(some) % known.len()],
        }
    }

    /// A socket, something that is none, or an event.
    fn socket(&mut self) -> usize {
        match self.byte() {
            250 => usize::MAX,
            251 => 0x7fff_ffff,
            252 => 0,
            253 => self.handles.first().copied().unwrap_or(1 << 40),
            any if !self.sockets.is_empty() => {
                self.sockets[usize::from(any) % self.sockets.len()].number
            }
            _ => usize::MAX,
        }
    }

    fn handle(&mut self) -> usize {
        match self.byte() {
            250 => usize::MAX,
            251 => 0,
            252 => 1 << 31,
            253 => self.socket(),
            any if !self.handles.is_empty() => self.handles[usize::from(any) % self.handles.len()],
            _ => 0,
        }
    }

    /// Where nothing good is; `None` for a good one.
    fn bad_pointer<T>(&mut self) -> Option<*mut T> {
        static CONSTANT: [u64; 16] = [0; 16];
        match self.byte() {
            250 => Some(ptr::null_mut()),
            251 => Some(ptr::without_provenance_mut(8)),
            252 => Some(ptr::without_provenance_mut(usize::MAX - 7)),
            253 => Some(CONSTANT.as_ptr().cast_mut().cast()),
            _ => None,
        }
    }

    fn slot(&mut self) -> usize {
        usize::from(self.byte()) % SLOTS
    }

    fn keep(&mut self, socket: c_int, overlapped: bool) {
        if socket < 0 {
            return;
        }
        let number = socket as usize;
        if self.sockets.len() == SOCKETS {
            assert_eq!(closesocket(number), 0);
            return;
        }
        let (mut on, linger) = (
            1,
            libc::linger {
                l_onoff: 1,
                l_linger: 0,
            },
        );
        assert_eq!(ioctlsocket(number, FIONBIO, &raw mut on), 0);
        // Otherwise all ports are soon in TIME_WAIT.
        let length = size_of::<libc::linger>() as u32;
        // SAFETY: the pointer and the length describe the structure.
        unsafe {
            let value = (&raw const linger).cast();
            portkeep_winsock_setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, value, length);
        }
        self.sockets.push(Socket {
            number,
            has_port: false,
            skips: false,
            overlapped,
        });
    }

    fn open(&mut self) {
        let kind = match self.flag() {
            true => libc::SOCK_STREAM,
            false => libc::SOCK_DGRAM,
        };
        match self.byte() % 4 {
            0 => {
                let overlapped = self.flag();
                let flags = u32::from(overlapped);
                let socket = WSASocketW(libc::AF_INET, kind, 0, ptr::null(), 0, flags);
                self.keep(socket as c_int, overlapped);
            }
            1 => self.keep(portkeep_winsock_socket(23, kind, 0) as c_int, true),
            // Connected, a stream through a listener that goes again.
            _ => {
                let [first, second] = [kind; 2].map(|kind| {
                    let socket = portkeep_winsock_socket(libc::AF_INET, kind, 0) as c_int;
                    let mut address = loopback(0);
                    // SAFETY: the pointer and the length describe the address.
                    unsafe { portkeep_winsock_bind(socket, (&raw mut address).cast(), 16) };
                    socket
                });
                let is_stream = kind == libc::SOCK_STREAM;
                if is_stream {
                    portkeep_winsock_listen(second, 1);
                }
                connect(first, second);
                if is_stream {
                    let (address, length) = (ptr::null_mut(), ptr::null_mut());
                    // SAFETY: it takes no address.
                    let accepted = unsafe { portkeep_winsock_accept(second, address, length) };
                    assert_eq!(closesocket(second as usize), 0);
                    self.keep(accepted as c_int, true);
                } else {
                    connect(second, first);
                    self.keep(second, true);
                }
                self.keep(first, true);
            }
        }
    }

    fn close(&mut self) {
        if self.sockets.is_empty() {
            closesocket(self.socket());
            return;
        }
        let index = usize::from(self.byte()) % self.sockets.len();
        let socket = self.sockets.swap_remove(index).number;
        match self.byte() % 4 {
            0 => assert_eq!(CloseHandle(socket), 1),
            1 => {
                // Not by the library, which meets the descriptor again.
                // SAFETY: it takes no pointers.
                unsafe { libc::close(socket as c_int) };
                assert_eq!(ioctlsocket(socket, FIONBIO, ptr::null_mut()), -1);
            }
            _ => assert_eq!(closesocket(socket), 0),
        }
    }

    fn transfer(&mut self) {
        let socket = self.socket();
        let (slot, data_slot) = (self.slot(), self.slot());
        let count = self.byte() % 5;
        let mut buffers = [Buffer {
            length: 0,
            start: ptr::null_mut(),
        }; 80];
        for buffer in &mut buffers {
            *buffer = match self.bad_pointer() {
                Some(start) => Buffer {
                    length: self.number(),
                    start,
                },
                None => Buffer {
                    length: u32::from(self.byte()) % (ROOM as u32 + 1),
                    start: self.slots[data_slot].data.as_mut_ptr().cast(),
                },
            };
            if self.input.as_slice().is_empty() {
                break;
            }
        }
        let (pointer, count) = match (self.bad_pointer(), count) {
            (Some(bad), _) => (bad, self.number()),
            (None, 4) => (buffers.as_mut_ptr(), 80),
            (None, count) => (buffers.as_mut_ptr(), u32::from(count)),
        };
        let event = match self.byte() % 4 {
            0 => self.handle() | usize::from(self.flag()),
            _ => 0,
        };
        let with_routine = self.byte().is_multiple_of(4);
        let completion = with_routine.then_some(routine as CompletionRoutine);
        let (is_send, with_peer) = (self.flag(), self.flag());
        let bad = [(); 4].map(|()| self.bad_pointer::<c_void>());
        let flags = match self.byte() % 4 {
            0 => self.number(),
            _ => 0,
        };
        let no_overlapped = self.byte().is_multiple_of(8);
        let it = &mut self.slots[slot];
        it.overlapped.event = event;
        it.number = flags;
        let good_overlapped = bad[0].is_none() && !no_overlapped;
        let overlapped = match (no_overlapped, bad[0]) {
            (true, _) => ptr::null_mut(),
            (false, Some(bad)) => bad.cast(),
            (false, None) => &raw mut it.overlapped,
        };
        let mut moved = 0u32;
        let moved = match bad[1] {
            Some(bad) => bad.cast(),
            None => &raw mut moved,
        };
        let name = bad[2].unwrap_or(it.name.as_mut_ptr().cast());
        let result = if is_send {
            let (name, length) = match with_peer {
                true => (name.cast_const(), it.name_length),
                false => (ptr::null(), 0),
            };
            WSASendTo(
                socket,
                pointer.cast(),
                count,
                moved,
                flags,
                name,
                length,
                overlapped,
                completion,
            )
        } else {
            let (name, length) = match with_peer {
                true => (name, &raw mut it.name_length),
                false => (ptr::null_mut(), ptr::null_mut()),
            };
            let flags = match bad[3] {
                Some(bad) => bad.cast(),
                None => &raw mut it.number,
            };
            WSARecvFrom(
                socket,
                pointer.cast(),
                count,
                moved,
                flags,
                name,
                length,
                overlapped,
                completion,
            )
        };
        assert!(result == 0 || result == -1);
        let error = WSAGetLastError();
        assert_eq!(result == 0, error == 0);
        // The part of a datagram that fits is told, too.
        let is_part = !is_send && error == MSGSIZE;
        if good_overlapped && (result == 0 || error == IO_PENDING || is_part) {
            self.begun(socket, event, with_routine, result == 0);
        }
    }

    /// Notes what is to be told.
    fn begun(&mut self, socket: usize, event: usize, with_routine: bool, at_once: bool) {
        let known = self.sockets.iter().find(|it| it.number == socket);
        let Some(it) = known.filter(|it| it.overlapped) else {
            return;
        };
        if with_routine {
            self.routines += 1;
        } else if it.has_port && event & 1 == 0 && !(at_once && it.skips) {
            self.packets += 1;
        }
    }

    fn control(&mut self) {
        const CODES: [u32; 5] = [FIONREAD, SIO_FLUSH, SIO_UDP_CONNRESET, SIO_CPU_AFFINITY, 7];
        let (socket, slot) = (self.socket(), self.slot());
        let code = CODES[usize::from(self.byte()) % CODES.len()];
        let (length, output_length) = (self.number(), self.number());
        let with_routine = self.byte().is_multiple_of(4);
        let with_overlapped = self.flag();
        let bad = self.bad_pointer::<c_void>();
        let it = &mut self.slots[slot];
        it.overlapped.event = 0;
        let overlapped = match with_overlapped {
            true => &raw mut it.overlapped,
            false => ptr::null_mut(),
        };
        let data = bad.unwrap_or(it.data.as_mut_ptr().cast());
        let result = WSAIoctl(
            socket,
            code,
            data,
            length,
            data,
            output_length,
            &raw mut it.number,
            overlapped,
            with_routine.then_some(routine as CompletionRoutine),
        );
        let begun = result == 0 || WSAGetLastError() == IO_PENDING;
        if with_overlapped && begun {
            self.begun(socket, 0, with_routine, result == 0);
        }
    }

    fn complete(&mut self) {
        let (socket, slot) = (self.socket(), self.slot());
        let bad = self.bad_pointer::<Overlapped>();
        let which = self.byte() % 4;
        let it = &mut self.slots[slot];
        let overlapped = bad.unwrap_or(&raw mut it.overlapped);
        match which {
            0 => drop(CancelIo(socket)),
            1 => drop(CancelIoEx(socket, overlapped)),
            2 => drop(GetOverlappedResult(
                socket,
                overlapped,
                &raw mut it.number,
                0,
            )),
            _ => {
                let (moved, flags) = (&raw mut it.number, &raw mut it.name_length);
                WSAGetOverlappedResult(socket, overlapped, moved, 0, flags.cast());
            }
        }
    }

    fn port(&mut self) {
        match self.byte() % 6 {
            0 if self.handles.len() < HANDLES => {
                let port = CreateIoCompletionPort(usize::MAX, 0, 0, 0);
                assert_ne!(port, 0);
                self.handles.push(port);
            }
            0 | 1 => {
                let file = self.socket();
                let port = match self.flag() {
                    true => self.handle(),
                    false => 0,
                };
                let result = CreateIoCompletionPort(file, port, 1, 0);
                if result != 0 && result != port {
                    self.handles.push(result);
                }
                if let Some(it) = self.sockets.iter_mut().find(|it| it.number == file) {
                    it.has_port |= result != 0;
                }
            }
            2 => {
                let port = self.handle();
                self.packets += PostQueuedCompletionStatus(port, 1, 2, ptr::null_mut()) as usize;
            }
            3 => {
                let (socket, flags) = (self.socket(), self.byte() % 5);
                let done = SetFileCompletionNotificationModes(socket, flags) != 0;
                if let Some(it) = self.sockets.iter_mut().find(|it| it.number == socket) {
                    it.skips |= done && flags & 1 != 0;
                }
            }
            4 => {
                let port = self.handle();
                self.take(port);
            }
            _ => {
                let (port, alertable) = (self.handle(), self.byte() & 1);
                let mut entries = [[0u64; 4]; 80];
                let (pointer, count) = match self.bad_pointer() {
                    Some(bad) => (bad, self.number()),
                    None => (entries.as_mut_ptr(), u32::from(self.byte()) % 81),
                };
                let mut removed = 0;
                let (out, alertable) = (&raw mut removed, alertable.into());
                if GetQueuedCompletionStatusEx(port, pointer.cast(), count, out, 0, alertable) != 0
                {
                    assert!(removed > 0 && removed <= count);
                    self.taken += removed as usize;
                }
            }
        }
    }

    /// A packet, if there is one.
    fn take(&mut self, port: usize) -> bool {
        let (mut bytes, mut key, mut overlapped) = (0, 0, 0);
        let (key, overlapped) = (&raw mut key, &raw mut overlapped);
        let got = GetQueuedCompletionStatus(port, &raw mut bytes, key, overlapped, 0) != 0;
        // That of an operation which failed, or none.
        // SAFETY: it is the variable above.
        let taken = got || unsafe { *overlapped } != 0;
        self.taken += usize::from(taken);
        taken
    }

    fn event(&mut self) {
        let handle = self.handle();
        let (manual, set) = (self.byte() & 1, self.byte() & 1);
        match self.byte() % 8 {
            0 | 1 if self.handles.len() < HANDLES => {
                let event = CreateEventW(ptr::null(), manual.into(), set.into(), ptr::null());
                self.handles.push(event);
            }
            2 => drop(SetEvent(handle)),
            3 => drop(ResetEvent(handle)),
            4 => drop(WSASetEvent(handle)),
            5 => {
                // A socket has another function for that.
                if self.handles.contains(&handle) {
                    let is_closed = match set {
                        0 => CloseHandle(handle),
                        _ => WSACloseEvent(handle),
                    };
                    if is_closed != 0 {
                        self.handles.retain(|it| *it != handle);
                        // A port had packets, or it will not have them.
                        self.port_closed = true;
                    }
                }
            }
            6 => {
                let handles = [(); 4].map(|()| self.handle());
                let (pointer, count) = match self.bad_pointer::<usize>() {
                    Some(bad) => (bad.cast_const(), self.number()),
                    None => (handles.as_ptr(), u32::from(self.byte()) % 5),
                };
                let (all, alertable) = (manual.into(), set.into());
                WaitForMultipleObjectsEx(count, pointer, all, 0, alertable);
                WSAWaitForMultipleEvents(count, pointer, all, 0, alertable);
            }
            _ => drop(SleepEx(0, set.into())),
        }
    }

    fn ready(&mut self) {
        let sockets = [(); 3].map(|()| self.socket());
        if self.flag() {
            let mut polled = sockets.map(|socket| libc::pollfd {
                fd: socket as c_int,
                events: self.byte().into(),
                revents: 0,
            });
            let (pointer, count) = match self.bad_pointer() {
                Some(bad) => (bad, self.number()),
                None => (polled.as_mut_ptr(), u32::from(self.byte()) % 4),
            };
            WSAPoll(pointer, count, 0);
            return;
        }
        let mut sets = [(); 3].map(|()| {
            let count = usize::from(self.byte()) % 4;
            [count, sockets[0], sockets[1], sockets[2]]
        });
        let [read, write, except] = &mut sets;
        let mut pointers = [read, write, except].map(|set| ptr::from_mut(set).cast::<c_void>());
        if let Some(bad) = self.bad_pointer() {
            pointers[usize::from(self.byte()) % 3] = bad;
        }
        let now = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        let [read, write, except] = pointers;
        portkeep_winsock_select(0, read, write, except, &raw const now);
    }

    fn option(&mut self) {
        const OPTIONS: [(c_int, c_int); 12] = [
            (libc::SOL_SOCKET, libc::SO_REUSEADDR),
            (libc::SOL_SOCKET, !libc::SO_REUSEADDR),
            (libc::SOL_SOCKET, libc::SO_ERROR),
            (libc::SOL_SOCKET, !libc::SO_LINGER),
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
            (libc::SOL_SOCKET, 66),
            (libc::SOL_SOCKET, libc::SO_RCVBUF),
            (libc::SOL_SOCKET, libc::SO_TYPE),
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY),
            (libc::IPPROTO_IP, libc::IP_TTL),
            (12345, 1),
        ];
        let (socket, slot) = (self.socket() as c_int, self.slot());
        let (level, option) = OPTIONS[usize::from(self.byte()) % OPTIONS.len()];
        let bad = self.bad_pointer();
        let length = self.number().min(ROOM as u32);
        let sets = self.flag();
        let it = &mut self.slots[slot];
        let value = bad.unwrap_or(it.data.as_mut_ptr().cast());
        it.number = length;
        // SAFETY: there is as much room as the length says, or the pointer is bad for the kernel, too.
        unsafe {
            match sets {
                true => portkeep_winsock_setsockopt(socket, level, option, value, length),
                false => {
                    portkeep_winsock_getsockopt(socket, level, option, value, &raw mut it.number)
                }
            };
        }
    }

    fn plain(&mut self) {
        let (socket, slot) = (self.socket() as c_int, self.slot());
        let flags = self.number() as c_int;
        let length = match self.byte() {
            255 => usize::MAX,
            254 => i32::MAX as usize + 1,
            short => usize::from(short) % (ROOM + 1),
        };
        let bad = [(); 2].map(|()| self.bad_pointer::<c_void>());
        let which = self.byte() % 4;
        let it = &mut self.slots[slot];
        let data = bad[0].unwrap_or(it.data.as_mut_ptr().cast());
        let name = bad[1].unwrap_or(it.name.as_mut_ptr().cast()).cast();
        let name_length = (&raw mut it.name_length).cast::<u32>();
        // SAFETY: the pointers are good for as much as the lengths say, or the kernel's to refuse.
        let moved = unsafe {
            match which {
                0 => portkeep_winsock_send(socket, data, length, flags),
                1 => {
                    let length_of_name = it.name_length.cast_unsigned();
                    portkeep_winsock_sendto(socket, data, length, flags, name, length_of_name)
                }
                2 => portkeep_winsock_recv(socket, data, length, flags),
                _ => portkeep_winsock_recvfrom(socket, data, length, flags, name, name_length),
            }
        };
        assert!(moved >= -1);
    }

    fn address(&mut self) {
        let (socket, slot) = (self.socket() as c_int, self.slot());
        let bad = self.bad_pointer();
        let family = [libc::AF_INET, libc::AF_INET6, 23, 0, 9][usize::from(self.byte()) % 5];
        let length = self.number();
        let which = self.byte() % 8;
        let room = self.sockets.len() < SOCKETS;
        let it = &mut self.slots[slot];
        let mut address = loopback(u16::from_be_bytes([it.data[0], it.data[1]]));
        address.sin_family = family as _;
        // SAFETY: the structure is shorter than the room.
        unsafe {
            it.name
                .as_mut_ptr()
                .cast::<libc::sockaddr_in>()
                .write_unaligned(address)
        };
        it.name_length = length.min(ROOM as u32).cast_signed();
        let length = it.name_length.cast_unsigned();
        let (name, length_out) = (
            bad.unwrap_or(it.name.as_mut_ptr().cast::<libc::sockaddr>()),
            (&raw mut it.name_length).cast::<u32>(),
        );
        // SAFETY: as above.
        unsafe {
            match which {
                0 => drop(portkeep_winsock_bind(socket, name, length)),
                1 => drop(portkeep_winsock_connect(socket, name, length)),
                2 => drop(portkeep_winsock_listen(socket, 1)),
                3 if room => {
                    let accepted = portkeep_winsock_accept(socket, name, length_out);
                    let from = self.sockets.iter().find(|it| it.number == socket as usize);
                    let overlapped = from.is_none_or(|it| it.overlapped);
                    self.keep(accepted as c_int, overlapped);
                }
                4 => drop(portkeep_winsock_getsockname(socket, name, length_out)),
                5 => drop(portkeep_winsock_getpeername(socket, name, length_out)),
                6 => drop(portkeep_winsock_shutdown(socket, length as c_int % 4)),
                _ => {}
            }
        }
    }

    /// Of these the pointers have to be good, as on Windows.
    fn names(&mut self) {
        let mut text: [c_char; ROOM] = [0; ROOM];
        for byte in &mut text[..ROOM - 1] {
            *byte = self.byte() as c_char;
            if *byte == 0 {
                break;
            }
        }
        let wide: [wchar_t; ROOM] = text.map(wchar_t::from);
        let family = [libc::AF_INET, libc::AF_INET6, 23, 0][usize::from(self.byte()) % 4];
        let (mut bytes, mut characters) = ([GUARD; 3 * ROOM], [wchar_t::from(GUARD); 3 * ROOM]);
        let place = bytes[ROOM..].as_mut_ptr().cast::<c_void>();
        let wide_place = characters[ROOM..].as_mut_ptr();
        let size = usize::from(self.byte()) % (ROOM + 1);
        let flags = self.number() & !0x100;
        let id = self.number();
        let which = self.byte() % 7;
        let numeric = libc::addrinfo {
            ai_flags: libc::AI_NUMERICHOST | libc::AI_NUMERICSERV,
            ai_family: family,
            ai_socktype: 0,
            ai_protocol: 0,
            ai_addrlen: 0,
            ai_addr: ptr::null_mut(),
            ai_canonname: ptr::null_mut(),
            ai_next: ptr::null_mut(),
        };
        let mut found = ptr::null_mut();
        // SAFETY: the strings end, and there is as much room as is said.
        unsafe {
            match which {
                0 => drop(InetPtonA(family, text.as_ptr(), place)),
                1 => drop(InetPtonW(family, wide.as_ptr(), place)),
                2 => drop(InetNtopA(family, text.as_ptr().cast(), place.cast(), size)),
                3 => drop(InetNtopW(family, text.as_ptr().cast(), wide_place, size)),
                4 => {
                    let (name, service) = (text.as_ptr(), text[ROOM / 2..].as_ptr());
                    let found = &raw mut found;
                    portkeep_winsock_getaddrinfo(name, service, &raw const numeric, found);
                    portkeep_winsock_freeaddrinfo(*found);
                }
                5 => {
                    let (place, none) = (place.cast(), ptr::null_mut());
                    FormatMessageA(flags, ptr::null(), id, 0, place, size as u32, none);
                }
                _ => {
                    let none = ptr::null_mut();
                    FormatMessageW(flags, ptr::null(), id, 0, wide_place, size as u32, none);
                }
            }
        }
        for guard in [0..ROOM, 2 * ROOM..3 * ROOM] {
            assert!(bytes[guard.clone()].iter().all(|byte| *byte == GUARD));
            assert!(
                characters[guard]
                    .iter()
                    .all(|it| *it == wchar_t::from(GUARD))
            );
        }
    }

    fn call(&mut self) {
        match self.byte() % 16 {
            0 | 1 => self.open(),
            2 => self.close(),
            3..6 => self.transfer(),
            6 => self.control(),
            7 => self.complete(),
            8 | 9 => self.port(),
            10 => self.event(),
            11 => self.ready(),
            12 => self.option(),
            13 => self.plain(),
            14 => self.address(),
            _ => self.names(),
        }
    }

    /// What is under way ends with its socket.
    fn end(mut self) {
        for socket in std::mem::take(&mut self.sockets) {
            assert_eq!(closesocket(socket.number), 0);
        }
        SleepEx(0, 1);
        assert_eq!(ROUTINES.load(Ordering::Relaxed), self.routines);
        for handle in std::mem::take(&mut self.handles) {
            while self.take(handle) {}
            assert_eq!(CloseHandle(handle), 1);
        }
        assert!(self.port_closed || self.taken == self.packets);
        self.slots.iter().for_each(Slot::check);
        // SAFETY: it takes no pointers.
        let lowest = unsafe { libc::dup(2) };
        assert!(lowest < 32, "descriptors were left open");
        // SAFETY: as above.
        unsafe { libc::close(lowest) };
    }
}

fn loopback(port: u16) -> libc::sockaddr_in {
    // SAFETY: all of it are integers.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as _;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    address
}

/// Connects a socket with another one.
fn connect(from: c_int, to: c_int) {
    let mut address = loopback(0);
    let mut length = 16;
    // SAFETY: the pointers and the lengths describe the address.
    unsafe {
        let pointer = (&raw mut address).cast();
        portkeep_winsock_getsockname(to, pointer, &raw mut length);
        let result = portkeep_winsock_connect(from, pointer.cast_const(), length);
        assert_eq!(result, 0, "connect failed: {}", WSAGetLastError());
    }
}
