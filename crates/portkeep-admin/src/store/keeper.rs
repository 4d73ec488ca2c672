use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use crate::installation::Installation;
use portkeep::{Consumer, PortRange};

use crate::error::Error;
use crate::store::document::{Document, Record};
use crate::store::file::Store;
use crate::store::files::{Files, RealFiles};
use crate::store::names::Resolver;

/// Makes, removes and restores persistent reservations: in the store, in the kernel part and in
/// `net.ipv4.ip_local_reserved_ports`.
///
/// Everything is done in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Keeper {
    pub(crate) store: Store,
    pub(crate) installation: Installation,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only its consumers may bind.
    Reservation,
    /// Everybody may bind to the ports, but nobody gets one by chance.
    Exclusion,
}

/// Finds the sockets that are bound to ports.
pub trait FindSockets {
    /// The sockets that are bound to a port of the range in the network namespace of the calling
    /// thread, those in TIME_WAIT left out.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong; it is passed on.
    fn find(
        &self,
        ports: PortRange,
        consumers: &[Consumer],
    ) -> Result<FoundSockets, Box<dyn StdError + Send + Sync>>;
}

/// The sockets that are bound to some ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundSockets {
    /// How many belong to the consumers.
    pub of_consumers: usize,
    /// The others: one for each port and process.
    pub of_strangers: Vec<Stranger>,
}

/// A socket of others than the consumers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// The port.
    pub port: u16,
    /// The process that has it open; `None` if none has, or none can be seen.
    pub pid: Option<u32>,
    /// The process's name, as in proc_pid_comm(5).
    pub command: Option<String>,
    /// The user of the process, or of the socket.
    pub uid: u32,
    /// Whether the kernel is likely to have chosen the port for a connection: it is in the automatic range,
    /// and nobody listens there.
    pub automatic: bool,
    /// All of it in a line: the port, and the process, user and command at it.
    pub words: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Keeper {
    /// Of an installation.
    pub fn new(installation: Installation) -> Keeper {
        Keeper::of(installation, Box::new(RealFiles))
    }

    /// Like [`Keeper::new`], with a test between the store and its files.
    #[cfg(feature = "interrupted")]
    pub fn with_files(installation: Installation, files: Box<dyn Files>) -> Keeper {
        Keeper::of(installation, files)
    }

    fn of(installation: Installation, files: Box<dyn Files>) -> Keeper {
        Keeper {
            store: Store::new(
                installation.state_directory(),
                installation.run_directory(),
                files,
            ),
            installation,
        }
    }

    /// The file that the store is.
    pub fn file(&self) -> PathBuf {
        self.store.file()
    }

    /// The file of Portkeep's own notes.
    pub fn notes_file(&self) -> PathBuf {
        self.store.notes_file()
    }

    /// What the store has, for showing it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or understood. There need not be one.
    pub fn contents(&self) -> Result<Contents, Error> {
        let document = self.store.load()?;
        let namespace = document.namespace(None)?;
        let mut here = BTreeMap::new();
        for kind in [Kind::Reservation, Kind::Exclusion] {
            for (index, record) in document.records(kind).iter().enumerate() {
                if record.is_in(&namespace) {
                    here.insert(record.ports, (kind, index));
                }
            }
        }
        Ok(Contents { document, here })
    }

    /// The users, groups and cgroups of the store that do not exist, in words, with the ports that are
    /// kept closed for them.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or understood, or the names cannot be looked up.
    pub fn unresolved(&self) -> Result<Vec<(PortRange, String)>, Error> {
        let document = self.store.load()?;
        let mut resolver = Resolver::default();
        let mut unresolved = Vec::new();
        for record in &document.reservations {
            let missing = resolver.resolve(record)?.missing;
            unresolved.extend(missing.iter().map(|it| (record.ports, it.to_string())));
        }
        Ok(unresolved)
    }
}

/// What a store has, seen from a network namespace.
#[derive(Clone, Debug)]
pub struct Contents {
    document: Document,
    here: BTreeMap<PortRange, (Kind, usize)>,
}

impl Contents {
    /// How many reservations there are, of all network namespaces. Grants of a fleet are not counted, as
    /// they are gone with the boot.
    pub fn reservations(&self) -> usize {
        let lasting = self.document.lasting();
        lasting
            .filter(|(kind, _)| *kind == Kind::Reservation)
            .count()
    }

    /// How many exclusions there are, of all network namespaces.
    pub fn exclusions(&self) -> usize {
        self.document.exclusions.len()
    }

    /// All of them, of all network namespaces, in no order.
    pub fn records(&self) -> impl Iterator<Item = (Kind, &Record)> {
        let of = |kind| move |record| (kind, record);
        let reservations = self.document.reservations.iter();
        let exclusions = self.document.exclusions.iter();
        reservations
            .map(of(Kind::Reservation))
            .chain(exclusions.map(of(Kind::Exclusion)))
    }

    /// The record of exactly these ports that holds in the network namespace.
    pub fn record(&self, ports: PortRange) -> Option<&Record> {
        let (kind, index) = *self.here.get(&ports)?;
        self.document.records(kind).get(index)
    }
}
