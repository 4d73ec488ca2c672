//! The port of a WireGuard interface, by generic netlink: wg(8) need not be installed.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_wireguard::{WireguardAttribute, WireguardCmd, WireguardMessage};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// The kernel sends at most this much at once (netlink_dump in af_netlink.c).
const DATAGRAM_MAX: usize = 32 * 1024;

/// `None` also without privilege.
pub fn port(interface: &str) -> Option<u16> {
    ask_for_port(interface).ok().flatten()
}

fn ask_for_port(interface: &str) -> io::Result<Option<u16>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )?;
    let family = ask(
        &netlink,
        NLM_F_REQUEST,
        GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(
                WireguardMessage::family_name().to_owned(),
            )],
        }),
    )?;
    let family = family.nlas.iter().find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(id) => Some(*id),
        _ => None,
    });
    let Some(family) = family else {
        return Ok(None);
    };
    let mut device = GenlMessage::from_payload(WireguardMessage {
        cmd: WireguardCmd::GetDevice,
        attributes: vec![WireguardAttribute::IfName(interface.to_owned())],
    });
    device.set_resolved_family_id(family);
    // The first message has all but the peers.
    let device = ask(&netlink, NLM_F_REQUEST | NLM_F_DUMP, device)?;
    Ok(device.attributes.iter().find_map(|it| match it {
        WireguardAttribute::ListenPort(port) => Some(*port),
        _ => None,
    }))
}

/// The first message of the answer.
fn ask<F>(netlink: &OwnedFd, flags: u16, request: GenlMessage<F>) -> io::Result<F>
where
    F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
{
    let mut message = NetlinkMessage::from(request);
    message.header.flags = flags;
    message.finalize();
    let mut packet = vec![0; message.buffer_len()];
    message.serialize(&mut packet);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &packet, &kernel, MsgFlags::empty())?;
    let mut datagram = vec![0; DATAGRAM_MAX];
    let length = recv(netlink.as_raw_fd(), &mut datagram, MsgFlags::empty())?;
    let answer = NetlinkMessage::<GenlMessage<F>>::deserialize(&datagram[..length])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(message) => Ok(message.payload),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}
