//! Asks the kernel for sockets with sock_diag(7).

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd as _, OwnedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn, bind,
    getsockname, recv, sendto, socket,
};
use portkeep::Protocol;

use crate::error::Error;
use crate::sockets::proc_net;
use crate::sockets::socket::{Socket, State};

/// Bit 13 is TCP_BOUND_INACTIVE: sockets that are bound but neither listening nor connected. Linux has it
/// since 6.8; older kernels ignore it, and the crate's flags lack it.
const ALL_STATES: u32 = 0x3ffe;

/// The kernel sends at most this much at once (netlink_dump in af_netlink.c).
const DATAGRAM_MAX: usize = 32 * 1024;

/// The sockets in this network namespace whose local port is `port`.
pub fn bound_to(protocol: Protocol, port: u16) -> Result<Vec<Socket>, Error> {
    bound_in(protocol, port..=port)
}

/// The sockets in this network namespace whose local port is one of `ports`.
pub fn bound_in(protocol: Protocol, ports: RangeInclusive<u16>) -> Result<Vec<Socket>, Error> {
    let mut sockets = match ask(protocol, &ports)? {
        Some(sockets) => sockets,
        None => proc_net::sockets(protocol)?,
    };
    // Some kernels do not filter by port and answer with every socket.
    sockets.retain(|socket| ports.contains(&socket.local.port()));
    Ok(sockets)
}

/// Whether the kernel has sock_diag(7) for a protocol. It may have to load modules.
pub fn is_available(protocol: Protocol) -> Result<bool, Error> {
    // For a single port, so that the answer is short.
    Ok(ask(protocol, &(1..=1))?.is_some())
}

/// `None` if the kernel has no handler for the protocol.
fn ask(protocol: Protocol, ports: &RangeInclusive<u16>) -> Result<Option<Vec<Socket>>, Error> {
    // The kernel can filter by one port.
    let source_port = if ports.start() == ports.end() {
        *ports.start()
    } else {
        0
    };
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )
    .map_err(|errno| Error::system("cannot open a netlink socket", errno.into()))?;
    let mut sockets = Vec::new();
    for (family, any) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let request = InetRequest {
            family,
            protocol: protocol.number() as u8,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::from_bits_retain(ALL_STATES),
            socket_id: SocketId { source_port, ..any },
        };
        match dump(&netlink, request, &mut sockets) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            result => result.map_err(|error| {
                Error::system(
                    format!("cannot ask the kernel for {protocol} sockets"),
                    error,
                )
            })?,
        }
    }
    Ok(Some(sockets))
}

fn dump(netlink: &OwnedFd, request: InetRequest, sockets: &mut Vec<Socket>) -> io::Result<()> {
    let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut packet = vec![0; message.buffer_len()];
    message.serialize(&mut packet);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &packet, &kernel, MsgFlags::empty())?;

    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        let length = recv(netlink.as_raw_fd(), &mut datagram, MsgFlags::empty())?;
        let mut rest = &datagram[..length];
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            // Messages are aligned to 4 bytes, RFC 3549 section 2.3.2.
            let size = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(size..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    sockets.push(Socket::from(&response.header));
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {
                    let message = "unknown kind of answer";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
            }
        }
    }
}

impl From<&InetResponseHeader> for Socket {
    fn from(header: &InetResponseHeader) -> Self {
        let id = &header.socket_id;
        let peer = SocketAddr::new(id.destination_address, id.destination_port);
        Self {
            state: State::from_kernel(header.state),
            local: SocketAddr::new(id.source_address, id.source_port),
            peer: (peer.port() != 0).then_some(peer),
            uid: header.uid,
            inode: (header.inode != 0).then_some(header.inode),
        }
    }
}

/// Whether the kernel shows TCP sockets that are bound but neither listening nor connected. Tries it with
/// a socket of our own.
pub fn shows_inactive() -> Result<bool, Error> {
    let own = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|errno| Error::system("cannot make a socket", errno.into()))?;
    bind(own.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))
        .map_err(|errno| Error::system("cannot bind", errno.into()))?;
    let address: SockaddrIn = getsockname(own.as_raw_fd())
        .map_err(|errno| Error::system("cannot look at a socket", errno.into()))?;
    Ok(!bound_to(Protocol::Tcp, address.port())?.is_empty())
}
