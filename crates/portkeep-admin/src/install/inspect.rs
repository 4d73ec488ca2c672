//! What is installed.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use portkeep::Protocol;

use crate::error::{Error, ErrorKind};
use crate::install::bpffs::Bpffs;
use crate::install::layout::Layout;
use crate::install::object::{self, PINNED_MAPS};
use crate::install::settings::Settings;
use crate::install::{cgroup, features, links};
use crate::installation::Installation;

/// What [`inspect`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The ABI version, as `PORTKEEP_VERSION` gives it.
    pub abi_version: u32,
    /// Where the programs are attached; `None` if that cgroup has been removed since.
    pub cgroup: Option<PathBuf>,
    /// The cgroups whose processes can make the control calls.
    pub control: Vec<PathBuf>,
    /// Where things are pinned.
    pub layout: Layout,
    /// Whether the BPF file system is one that [`install`](crate::install) mounted.
    pub mounted_bpffs: bool,
    /// The first and the last port that wildcard requests are served from.
    pub pool: (u16, u16),
    /// How many ports an unprivileged user may hold.
    pub quota: u32,
    /// What the maps take now.
    pub memory: Vec<MapMemory>,
    /// What has been refused since Portkeep was enabled.
    pub refusals: Vec<Refusals>,
    /// How many sockets watch for events.
    pub watchers: u32,
    /// When Portkeep was last enabled, as time since boot, suspended time included
    /// (`CLOCK_BOOTTIME`); `None` if the kernel part is an older one.
    pub enabled: Option<Duration>,
}

/// How often calls of one kind were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// `bind`, `connect` or `acquire`.
    pub call: &'static str,
    /// The protocol of the socket.
    pub protocol: Protocol,
    /// In all network namespaces.
    pub count: u64,
}

/// The memory of one BPF map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapMemory {
    /// Its name in `bpf/maps.h`.
    pub map: &'static str,
    /// Bytes, as the kernel accounts them (`memlock` in `/proc/self/fdinfo`).
    pub bytes: u64,
}

/// What is installed at the installation; `None` if nothing is.
///
/// # Errors
///
/// Without privilege, for the maps are root's; when another version is installed; when others than
/// root have made what is there, or can change it.
pub fn inspect(installation: &Installation) -> Result<Option<Status>, Error> {
    object::keep_log();
    let bpffs = Bpffs::find(installation)?;
    let Some(layout) = bpffs.installation()? else {
        return Ok(None);
    };
    features::require_privilege()?;
    let settings = Settings::of_working(&layout)?.ok_or_else(interrupted)?;
    let top = installation.find_cgroup()?;
    let find = |id| cgroup::find(&top, id);
    Ok(Some(Status {
        abi_version: settings.abi_version,
        cgroup: links::attached_to(&layout).and_then(find),
        control: links::control_cgroups(&layout)?
            .into_iter()
            .filter_map(find)
            .collect(),
        mounted_bpffs: bpffs.is_ours(),
        pool: settings.pool,
        quota: settings.quota,
        memory: PINNED_MAPS
            .iter()
            .map(|map| {
                Ok(MapMemory {
                    map,
                    bytes: memory_of(&layout, map)?,
                })
            })
            .collect::<Result<_, Error>>()?,
        refusals: refusals(&layout),
        watchers: first(&layout, "watching").map_or(0, |bytes| {
            u32::from_ne_bytes(bytes.first_chunk().copied().unwrap_or_default())
        }),
        enabled: first(&layout, "enabled").and_then(|bytes| {
            let nanoseconds = u64::from_ne_bytes(*bytes.first_chunk()?);
            (nanoseconds != 0).then(|| Duration::from_nanos(nanoseconds))
        }),
        layout,
    }))
}

/// The first element of an array; `None` also where an older kernel part has no such map.
fn first(layout: &Layout, map: &str) -> Option<Vec<u8>> {
    let map = MapHandle::from_pinned_path(layout.map(map)).ok()?;
    map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok()?
}

/// In the order of `refusals_key()` of `bpf/events.h`.
fn refusals(layout: &Layout) -> Vec<Refusals> {
    let Ok(map) = MapHandle::from_pinned_path(layout.map("refusals")) else {
        return Vec::new();
    };
    let kinds = ["bind", "connect", "acquire"]
        .into_iter()
        .flat_map(|call| [(call, Protocol::Tcp), (call, Protocol::Udp)]);
    (0u32..)
        .zip(kinds)
        .map(|(key, (call, protocol))| {
            let counts = map.lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY);
            let counts = counts.ok().flatten().unwrap_or_default();
            let count = counts
                .iter()
                .filter_map(|count| Some(u64::from_ne_bytes(*count.first_chunk()?)))
                .sum();
            Refusals {
                call,
                protocol,
                count,
            }
        })
        .collect()
}

fn interrupted() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "an installation or a removal of the kernel part was interrupted",
    )
    .with_hint("`portkeep enable` completes it, `portkeep disable` removes it")
}

fn memory_of(layout: &Layout, name: &str) -> Result<u64, Error> {
    let path = layout.map(name);
    // An older kernel part has fewer.
    if !path.exists() {
        return Ok(0);
    }
    let map = MapHandle::from_pinned_path(&path)
        .map_err(|error| Error::bpf(format!("opening {}", path.display()), error))?;
    let info = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
    let text = fs::read_to_string(&info)
        .map_err(|error| Error::system(format!("reading {info}"), error))?;
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
        .unwrap_or(0))
}
