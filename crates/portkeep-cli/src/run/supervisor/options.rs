//! The options that sockets were given before they bind, for sockets that take their place.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::{Mutex, PoisonError};

/// An option that is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    pub level: i32,
    pub name: i32,
}

const fn of(level: i32, name: i32) -> Noted {
    Noted { level, name }
}

/// Those that decide what a bind does, and the sizes of buffers, which are set before listen(2) to count.
/// None is set often: each costs a call to the holder.
pub const NOTED: [Noted; 15] = [
    of(libc::SOL_SOCKET, libc::SO_REUSEADDR),
    of(libc::SOL_SOCKET, libc::SO_REUSEPORT),
    of(libc::SOL_SOCKET, libc::SO_SNDBUF),
    of(libc::SOL_SOCKET, libc::SO_RCVBUF),
    of(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE),
    of(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE),
    of(libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
    of(libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX),
    // By it the library knows the holders of other runs.
    of(libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE),
    of(libc::IPPROTO_IP, libc::IP_FREEBIND),
    of(libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    of(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
    of(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    of(libc::IPPROTO_IPV6, libc::IPV6_FREEBIND),
    of(libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
];

/// The longest value, the name of a device.
pub const VALUE_MAX: usize = 16;

/// Of how many sockets options are noted; the oldest goes.
const SOCKETS: usize = 4096;

/// What sockets that have not been bound yet were given, by their inodes.
#[derive(Debug, Default)]
pub struct Options(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sockets: HashMap<u64, Vec<(Noted, Vec<u8>)>>,
    order: VecDeque<u64>,
}

impl Options {
    /// Notes an option, in place of an earlier value.
    pub fn note(&self, inode: u64, option: Noted, value: Vec<u8>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { sockets, order } = &mut *state;
        let noted = sockets.entry(inode).or_insert_with(|| {
            order.push_back(inode);
            Vec::new()
        });
        // What was set last counts, and in its order.
        noted.retain(|(other, _)| *other != option);
        noted.push((option, value));
        if order.len() > SOCKETS
            && let Some(oldest) = order.pop_front()
        {
            sockets.remove(&oldest);
        }
    }

    /// Gives a socket what another one was given.
    pub fn apply(&self, inode: u64, socket: BorrowedFd<'_>) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (Noted { level, name }, value) in state.sockets.get(&inode).into_iter().flatten() {
            // What the kernel refuses it has refused the other one too.
            // SAFETY: the kernel reads the value, which is so long.
            unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    *level,
                    *name,
                    value.as_ptr().cast(),
                    value.len() as libc::socklen_t,
                )
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::run::supervisor::socket;

    const SHARES: Noted = of(libc::SOL_SOCKET, libc::SO_REUSEPORT);

    fn shares(options: &Options, inode: u64) -> bool {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        options.apply(inode, udp.as_fd());
        socket::shares_its_port(udp.as_fd())
    }

    #[test]
    fn the_last_value_counts() {
        let options = Options::default();
        options.note(1, SHARES, 1_i32.to_ne_bytes().into());
        assert!(shares(&options, 1));
        assert!(!shares(&options, 2));
        options.note(1, SHARES, 0_i32.to_ne_bytes().into());
        assert!(!shares(&options, 1));
    }

    #[test]
    fn the_oldest_socket_is_forgotten() {
        let options = Options::default();
        for inode in 0..=SOCKETS as u64 {
            options.note(inode, SHARES, 1_i32.to_ne_bytes().into());
        }
        assert!(!shares(&options, 0));
        assert!(shares(&options, 1));
    }
}
