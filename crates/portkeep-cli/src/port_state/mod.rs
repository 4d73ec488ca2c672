//! The state of a port: who reserves it, who is bound to it, and what the kernel's settings say.

mod settings;
mod words;

use std::collections::HashSet;

use portkeep::{Entry, EntryKind, ErrorKind, HeldEntry, Protocol};
use portkeep_admin::{Installation, Record};

pub use settings::Settings;

use crate::error::{Context as _, Error, Result};
use crate::locations::list;
use crate::neighbours::{self, KernelSockets, Redirect};
use crate::reservation_document::{is_everywhere, is_exclusion};
use portkeep_admin::sockets::{self, Processes, Socket};

/// A port of this network namespace.
#[derive(Debug)]
pub struct PortState {
    pub protocol: Protocol,
    pub port: u16,
    pub reservation: Option<Entry>,
    /// Its record in the store.
    pub record: Option<Record>,
    /// Why the reservations are unknown, for example because Portkeep is not enabled.
    pub no_reservations: Option<portkeep::Error>,
    /// The reservation that a process of this user holds by sockets, which are among `sockets`.
    pub held: Option<HeldEntry>,
    pub sockets: Vec<Socket>,
    /// Why the sockets are unknown. Without them, the answer for a reserved port is still useful.
    pub no_sockets: Option<Error>,
    pub processes: Processes,
    /// Whether there may be sockets that the kernel does not show.
    pub may_miss_sockets: bool,
    pub settings: Settings,
    /// What redirects packets to the port; `None` if it was not looked for, or cannot be seen.
    pub redirects: Option<Vec<Redirect>>,
    /// The kernel's own sockets, if they were looked for.
    kernel_sockets: KernelSockets,
}

/// A limit of the answer, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caveat {
    pub message: String,
    pub hint: Option<String>,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Reserved,
    Excluded,
    Bound,
    /// Nobody is bound, and the kernel part is there but its list is not.
    Unknown,
    Automatic,
    Free,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Excluded => "excluded",
            Self::Bound => "bound",
            Self::Unknown => "unknown",
            Self::Automatic => "automatic",
            Self::Free => "free",
        }
    }
}

impl PortState {
    pub fn of(protocol: Protocol, port: u16, installation: &Installation) -> Result<Self> {
        let (reservation, no_reservations) = match list(installation) {
            Ok(entries) => (find(entries, protocol, port)?, None),
            Err(error) if is_out_of_reach(error.kind()) => (None, Some(error)),
            Err(error) => return Err(error.into()),
        };
        let record = reservation
            .as_ref()
            .filter(|entry| entry.kind == EntryKind::Persistent)
            .and_then(|entry| {
                installation
                    .keeper()
                    .contents()
                    .ok()?
                    .record(entry.range)
                    .cloned()
            });
        let (sockets, no_sockets) = match sockets::bound_to(protocol, port) {
            Ok(sockets) => (sockets, None),
            Err(error) if reservation.is_some() => (Vec::new(), Some(error.into())),
            Err(error) => return Err(error.into()),
        };
        let inodes: HashSet<u32> = sockets.iter().filter_map(|socket| socket.inode).collect();
        let processes = Processes::with_sockets(&inodes)?;
        let may_miss_sockets = protocol == Protocol::Tcp
            && sockets.is_empty()
            && no_sockets.is_none()
            && !sockets::shows_inactive()?;
        let settings = Settings::read()?;
        Ok(Self {
            protocol,
            port,
            reservation,
            record,
            no_reservations,
            held: find_held(protocol, port)?,
            sockets,
            no_sockets,
            processes,
            may_miss_sockets,
            settings,
            redirects: None,
            kernel_sockets: KernelSockets::default(),
        })
    }

    /// Looks for those who take the port's packets or have it without a process. This runs other programs.
    pub fn look_around(&mut self) {
        let (protocol, port) = (self.protocol, self.port);
        self.redirects = neighbours::redirects(protocol, port, port);
        let is_ownerless =
            |socket: &Socket| socket.inode.is_some() && self.owners(socket).is_empty();
        if self.sockets.iter().any(is_ownerless) {
            self.kernel_sockets = KernelSockets::find();
        }
    }

    /// What the kernel has a socket for, as `the VXLAN interface vx0`.
    pub fn kernel_purpose(&self, socket: &Socket) -> Option<&str> {
        let is_ownerless = socket.inode.is_some() && self.owners(socket).is_empty();
        is_ownerless.then(|| self.kernel_sockets.name(self.protocol, self.port))?
    }

    fn is_list_unavailable(&self) -> bool {
        self.no_reservations
            .as_ref()
            .is_some_and(|error| is_list_unavailable(error.kind()))
    }

    /// Any socket counts as bound, even in TIME_WAIT: it may still be in the way of a bind(2).
    pub fn verdict(&self) -> Verdict {
        let excluded = self.reservation.as_ref().is_some_and(is_exclusion);
        if self.reservation.is_some() && !excluded {
            Verdict::Reserved
        } else if !self.sockets.is_empty() {
            Verdict::Bound
        } else if excluded {
            Verdict::Excluded
        } else if self.is_list_unavailable() {
            Verdict::Unknown
        } else if self.settings.is_automatic(self.port) {
            Verdict::Automatic
        } else {
            Verdict::Free
        }
    }
}

fn is_out_of_reach(kind: ErrorKind) -> bool {
    kind == ErrorKind::NotEnabled || is_list_unavailable(kind)
}

/// Whether the reservations are unknown although there may be some.
fn is_list_unavailable(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ListUnavailable | ErrorKind::ListUntrusted)
}

/// The reservation of a port in this network namespace; one for every namespace comes second.
fn find(entries: Vec<Entry>, protocol: Protocol, port: u16) -> Result<Option<Entry>> {
    let namespace = portkeep::netns_cookie().context("cannot identify the network namespace")?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.netns_cookie == namespace || is_everywhere(entry))
        .filter(|entry| entry.range.protocol() == protocol && entry.range.contains(port))
        .max_by_key(|entry| entry.netns_cookie))
}

fn find_held(protocol: Protocol, port: u16) -> Result<Option<HeldEntry>> {
    let namespace = portkeep::netns_cookie().context("cannot identify the network namespace")?;
    Ok(portkeep::list_held().into_iter().find(|entry| {
        entry.netns_cookie == namespace
            && entry.range.protocol() == protocol
            && entry.range.contains(port)
    }))
}
