//! Changing who may bind in a persistent reservation.

use std::mem::offset_of;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use portkeep::{Consumer, PortRange};

use crate::error::{Error, ErrorKind};
use crate::install::bpffs::Bpffs;
use crate::install::layout::Layout;
use crate::install::skeleton::types;
use crate::installation::Installation;

/// Gives the persistent reservation of exactly these ports other consumers, at one instant.
///
/// `netns_cookie` is the network namespace's, or 0 for a reservation that holds in every one. The
/// ids are those of the initial user namespace.
///
/// # Errors
///
/// Without privilege, without the kernel part, or if there is no such reservation (`ENOENT`).
pub fn set_consumers(
    installation: &Installation,
    netns_cookie: u64,
    ports: PortRange,
    consumers: &[Consumer],
) -> Result<(), Error> {
    let bpffs = Bpffs::find(installation)?;
    let layout = bpffs.installation()?.unwrap_or_else(|| bpffs.layout());
    let (reservations, map) = (open(&layout, "reservations")?, open(&layout, "consumers")?);
    let found = find(&reservations, netns_cookie, ports)?;
    let found = found.filter(|found| found.count == ports.count());
    let token = found.ok_or_else(|| missing(ports))?.token;
    let key = consumers_key(netns_cookie, token);
    let value = value(consumers)?;
    map.update(&key, &value, MapFlags::ANY)
        .map_err(|error| Error::bpf("writing the consumers", error))?;
    // It may have ended meanwhile. The token is no other's, so neither are these consumers.
    match find(&reservations, netns_cookie, ports)? {
        Some(now) if now.token == token && now.count == ports.count() => Ok(()),
        // Cut meanwhile: what is left of it is of these ports.
        Some(now) if now.token == token => Err(missing(ports)),
        _ => {
            let _ = map.delete(&key);
            Err(missing(ports))
        }
    }
}

fn open(layout: &Layout, name: &str) -> Result<MapHandle, Error> {
    let path = layout.map(name);
    MapHandle::from_pinned_path(&path)
        .map_err(|error| Error::bpf(format!("opening {}", path.display()), error))
}

/// A reservation, as far as it tells whether it is the one that is meant.
struct Found {
    count: u16,
    token: u64,
}

/// The reservation that starts at the first of these ports; `None` also for one that has just ended.
fn find(
    reservations: &MapHandle,
    netns_cookie: u64,
    ports: PortRange,
) -> Result<Option<Found>, Error> {
    use types::reservation as layout;
    let value = reservations
        .lookup(&key(netns_cookie, ports), MapFlags::ANY)
        .map_err(|error| Error::bpf("reading the reservations", error))?
        .unwrap_or_default();
    let field = |offset: usize, length: usize| value.get(offset..offset + length);
    let count = field(offset_of!(layout, count), 2).and_then(|bytes| bytes.try_into().ok());
    let token = field(offset_of!(layout, token), 8).and_then(|bytes| bytes.try_into().ok());
    let found = count.zip(token).map(|(count, token)| Found {
        count: u16::from_ne_bytes(count),
        token: u64::from_ne_bytes(token),
    });
    Ok(found.filter(|found| found.token != 0))
}

fn missing(ports: PortRange) -> Error {
    Error::system(
        format!("there is no reservation {ports}"),
        std::io::Error::from_raw_os_error(libc::ENOENT),
    )
}

/// `struct consumers_key` of `bpf/maps.h`.
fn consumers_key(netns_cookie: u64, token: u64) -> [u8; size_of::<types::consumers_key>()] {
    use types::consumers_key as layout;
    let mut key = [0; size_of::<layout>()];
    for (offset, field) in [
        (offset_of!(layout, netns), netns_cookie),
        (offset_of!(layout, token), token),
    ] {
        key[offset..offset + size_of::<u64>()].copy_from_slice(&field.to_ne_bytes());
    }
    key
}

/// `struct reservation_key` of `bpf/maps.h`.
fn key(netns_cookie: u64, ports: PortRange) -> [u8; size_of::<types::reservation_key>()] {
    use types::reservation_key as layout;
    let mut key = [0; size_of::<layout>()];
    let mut put = |offset: usize, field: &[u8]| {
        key[offset..offset + field.len()].copy_from_slice(field);
    };
    put(offset_of!(layout, netns), &netns_cookie.to_ne_bytes());
    let protocol = ports.protocol().number() as u16;
    put(offset_of!(layout, protocol), &protocol.to_ne_bytes());
    put(offset_of!(layout, start), &ports.start().to_ne_bytes());
    key
}

/// `struct consumers` of `bpf/maps.h`.
fn value(consumers: &[Consumer]) -> Result<Vec<u8>, Error> {
    use types::{consumers as layout, portkeep_consumer as element};
    if consumers.len() > portkeep::abi::PORTKEEP_CONSUMERS_MAX {
        return Err(Error::new(ErrorKind::InvalidInput, "too many consumers"));
    }
    let mut value = vec![0; size_of::<layout>()];
    let mut put = |offset: usize, field: &[u8]| {
        value[offset..offset + field.len()].copy_from_slice(field);
    };
    let number = consumers.len() as u32;
    put(offset_of!(layout, number), &number.to_ne_bytes());
    for (index, consumer) in consumers.iter().enumerate() {
        let record = consumer.record();
        let start = offset_of!(layout, consumers) + index * size_of::<element>();
        put(
            start + offset_of!(element, kind),
            &record.kind.to_ne_bytes(),
        );
        put(start + offset_of!(element, id), &record.id.to_ne_bytes());
    }
    Ok(value)
}
