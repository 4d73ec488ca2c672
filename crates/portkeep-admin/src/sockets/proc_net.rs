//! The sockets that /proc/net lists, for kernels without the modules of sock_diag(7).

use std::net::SocketAddr;

use nix::unistd::gettid;
use portkeep::Protocol;
use procfs::process::Process;

use crate::error::Error;
use crate::sockets::processes::of_proc;
use crate::sockets::socket::{Socket, State};

/// All sockets in the network namespace of the calling thread. TCP sockets that are bound but neither
/// listening nor connected are not listed.
pub fn sockets(protocol: Protocol) -> Result<Vec<Socket>, Error> {
    // The directory of a thread can be opened by the thread's ID, like that of a process.
    let thread =
        Process::new(gettid().as_raw()).map_err(|error| of_proc("cannot read /proc", error))?;
    let listed = match protocol {
        Protocol::Tcp => both(thread.tcp(), thread.tcp6())?
            .map(|it| {
                let inode = it.inode;
                let state = it.state.to_u8();
                socket(state, it.local_address, it.remote_address, it.uid, inode)
            })
            .collect(),
        Protocol::Udp => both(thread.udp(), thread.udp6())?
            .map(|it| {
                let inode = it.inode;
                let state = it.state.to_u8();
                socket(state, it.local_address, it.remote_address, it.uid, inode)
            })
            .collect(),
    };
    Ok(listed)
}

/// The file for IPv6 does not exist if IPv6 was switched off at boot.
fn both<T>(
    ipv4: procfs::ProcResult<Vec<T>>,
    ipv6: procfs::ProcResult<Vec<T>>,
) -> Result<impl Iterator<Item = T>, Error> {
    let failed = |error| of_proc("cannot read the sockets in /proc/net", error);
    let ipv4 = ipv4.map_err(failed)?;
    let ipv6 = match ipv6 {
        Err(procfs::ProcError::NotFound(_)) => Vec::new(),
        sockets => sockets.map_err(failed)?,
    };
    Ok(ipv4.into_iter().chain(ipv6))
}

fn socket(state: u8, local: SocketAddr, peer: SocketAddr, uid: u32, inode: u64) -> Socket {
    Socket {
        state: State::from_kernel(state),
        local,
        peer: (peer.port() != 0).then_some(peer),
        uid,
        inode: u32::try_from(inode).ok().filter(|&inode| inode != 0),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use portkeep::Protocol;

    use super::sockets;
    use crate::sockets::diag;
    use crate::sockets::socket::Socket;

    /// Of one port, in an order of their own.
    fn at(port: u16, mut sockets: Vec<Socket>) -> Vec<String> {
        sockets.retain(|socket| socket.local.port() == port);
        let mut sockets: Vec<_> = sockets.iter().map(|it| format!("{it:?}")).collect();
        sockets.sort();
        sockets
    }

    #[test]
    fn lists_what_sock_diag_lists() {
        let mut open = Vec::new();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("listen");
            let port = listener.local_addr().expect("an address").port();
            let stream = TcpStream::connect(("localhost", port));
            let stream = stream.or_else(|_| TcpStream::connect(listener.local_addr()?));
            let accepted = listener.accept().expect("accept");
            let tcp = at(port, sockets(Protocol::Tcp).expect("read /proc/net"));
            assert_eq!(tcp.len(), 2, "the listener and what it accepted: {tcp:?}");
            assert_eq!(
                tcp,
                at(port, diag::bound_to(Protocol::Tcp, port).expect("ask"))
            );
            open.push((listener, stream, accepted));

            let socket = UdpSocket::bind(address).expect("bind");
            let port = socket.local_addr().expect("an address").port();
            let udp = at(port, sockets(Protocol::Udp).expect("read /proc/net"));
            assert_eq!(udp.len(), 1);
            assert_eq!(
                udp,
                at(port, diag::bound_to(Protocol::Udp, port).expect("ask"))
            );
        }
    }
}
