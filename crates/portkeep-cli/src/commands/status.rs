//! `portkeep status`: the installation, and how much it holds.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use nix::unistd::geteuid;
use portkeep::{Backend, ErrorKind, PortRange};
use portkeep_admin::{
    Difference, ErrorKind as KernelErrorKind, FleetEntry, Installation, Status as Installed,
    inspect,
};
use serde::Serialize;

use crate::error::Result;
use crate::locations::list;
use crate::output::{json, text_of, write_table};
use crate::reservation_document::FleetDocument;
use crate::words::counted;

/// Show whether and how Portkeep is enabled
///
/// The backend is what would keep this process's ports: the kernel part, or otherwise `held` sockets.
/// Without privilege, only the ABI version and the number of reservations are shown.
#[derive(Debug, Args)]
pub struct Status {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    enabled: bool,
    /// What would keep the calling process's ports: `kernel` or `held`.
    backend: String,
    /// Null if the calling process has no control calls.
    abi_version: Option<u32>,
    /// Null if the list cannot be read.
    reserved: Option<Reserved>,
    /// Null without privilege.
    kernel_part: Option<KernelPart>,
    store: Store,
}

/// The store, which survives reboots.
#[derive(Debug, Serialize)]
struct Store {
    file: String,
    #[serde(skip)]
    is_there: bool,
    /// Null if the file cannot be read.
    reservations: Option<usize>,
    exclusions: Option<usize>,
    /// Of fleets; their policies are among the reservations and exclusions.
    fleet: Vec<HeldForFleet>,
    /// Where the store, the kernel part and `ip_local_reserved_ports` disagree.
    differences: Vec<String>,
    /// Why one of them could not be read.
    error: Option<String>,
}

impl Store {
    /// Compared with the kernel part only if that can be listed.
    fn collect(installation: &Installation, is_listed: bool) -> Store {
        let keeper = installation.keeper();
        let mut store = Store {
            file: text_of(keeper.file()),
            is_there: keeper.file().exists(),
            reservations: None,
            exclusions: None,
            fleet: Vec::new(),
            differences: Vec::new(),
            error: None,
        };
        let looked_at = keeper.contents().and_then(|contents| {
            store.reservations = Some(contents.reservations());
            store.exclusions = Some(contents.exclusions());
            if is_listed {
                let entries = keeper.fleet_entries()?;
                store.fleet = entries.iter().map(HeldForFleet::from).collect();
                let differences = keeper.differences()?;
                store.differences = differences.iter().map(Difference::to_string).collect();
            }
            Ok(())
        });
        store.error = looked_at.err().map(|error| error.to_string());
        store
    }

    fn rows(&self) -> Vec<[String; 2]> {
        let mut rows = Vec::new();
        let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
        if let Some((reservations, exclusions)) = self.reservations.zip(self.exclusions)
            && self.is_there
        {
            row(
                "store",
                format!(
                    "{} and {} in {}",
                    counted(reservations, "reservation"),
                    counted(exclusions, "exclusion"),
                    self.file
                ),
            );
        }
        for entry in &self.fleet {
            let here = match entry.enforced {
                true => "",
                false => ", not enforced here",
            };
            row(
                "fleet",
                format!("{}: {}{here}", entry.owner, entry.ports.join(", ")),
            );
        }
        for difference in &self.differences {
            row(
                "differs",
                format!("{difference} (`portkeep enable` repairs it)"),
            );
        }
        if let Some(error) = &self.error {
            row("store", error.clone());
        }
        rows
    }
}

/// A fleet's reservation on this machine.
#[derive(Debug, Serialize)]
struct HeldForFleet {
    #[serde(flatten)]
    which: FleetDocument,
    ports: Vec<String>,
    /// Whether the kernel part has all of them.
    enforced: bool,
    #[serde(skip)]
    owner: String,
}

impl From<&FleetEntry> for HeldForFleet {
    fn from(entry: &FleetEntry) -> HeldForFleet {
        HeldForFleet {
            which: (&entry.tag).into(),
            ports: entry.ports.iter().map(PortRange::to_string).collect(),
            enforced: entry.enforced,
            owner: entry.tag.owner(),
        }
    }
}

/// Over all network namespaces.
#[derive(Debug, Serialize)]
struct Reserved {
    reservations: usize,
    ports: usize,
    network_namespaces: usize,
}

#[derive(Debug, Serialize)]
struct KernelPart {
    cgroup: Option<String>,
    control_cgroups: Vec<String>,
    pinned_in: String,
    mounted_bpffs: bool,
    pool: Pool,
    quota: u32,
    memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Pool {
    start: u16,
    end: u16,
}

impl From<Installed> for KernelPart {
    fn from(installed: Installed) -> KernelPart {
        KernelPart {
            pinned_in: text_of(installed.layout.root()),
            cgroup: installed.cgroup.map(text_of),
            control_cgroups: installed.control.into_iter().map(text_of).collect(),
            mounted_bpffs: installed.mounted_bpffs,
            pool: Pool {
                start: installed.pool.0,
                end: installed.pool.1,
            },
            quota: installed.quota,
            memory_bytes: installed.memory.iter().map(|map| map.bytes).sum(),
        }
    }
}

impl Status {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let document = Document::collect(installation)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&document)?)?;
        } else {
            write_table(&mut out, &document.rows())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Document {
    fn collect(installation: &Installation) -> Result<Document> {
        let kernel_part = match inspect(installation) {
            Ok(installed) => installed.map(KernelPart::from),
            Err(error) if error.kind() == KernelErrorKind::NotPermitted => None,
            Err(error) => return Err(error.into()),
        };
        let abi_version = match portkeep::version() {
            Ok(version) => Some(version),
            Err(error) if error.kind() == ErrorKind::NotEnabled => None,
            Err(error) => return Err(error.into()),
        };
        let reserved = reserved(installation);
        let enabled = kernel_part.is_some() || abi_version.is_some() || reserved.is_some();
        Ok(Document {
            schema: 1,
            store: Store::collect(installation, reserved.is_some()),
            enabled,
            backend: match abi_version {
                Some(_) => Backend::Kernel,
                None => Backend::Held,
            }
            .to_string(),
            abi_version,
            reserved,
            kernel_part,
        })
    }

    fn rows(&self) -> Vec<[String; 2]> {
        [self.kernel_part_rows(), self.store.rows()].concat()
    }

    fn kernel_part_rows(&self) -> Vec<[String; 2]> {
        let mut rows = Vec::new();
        let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
        row(
            "enabled",
            if self.enabled { "yes" } else { "no" }.to_owned(),
        );
        row("backend", self.backend.clone());
        if !self.enabled {
            return rows;
        }
        row(
            "control calls here",
            match self.abi_version {
                Some(version) => format!("yes, ABI version {version}"),
                None => "no, this process is not in a control cgroup".to_owned(),
            },
        );
        if let Some(reserved) = &self.reserved {
            row(
                "reserved",
                format!(
                    "{} ports (reservations: {}, network namespaces: {})",
                    reserved.ports, reserved.reservations, reserved.network_namespaces
                ),
            );
        }
        let Some(part) = &self.kernel_part else {
            let message = if geteuid().is_root() {
                "pinned in another BPF file system; name it with --bpffs"
            } else {
                "run this as root to see more"
            };
            row("kernel part", message.to_owned());
            return rows;
        };
        let gone = || "a cgroup that has been removed".to_owned();
        row("attached to", part.cgroup.clone().unwrap_or_else(gone));
        for path in &part.control_cgroups {
            row("control cgroup", path.clone());
        }
        row("pinned in", part.pinned_in.clone());
        row("pool", format!("{}-{}", part.pool.start, part.pool.end));
        row(
            "quota",
            format!("{} ports for an unprivileged user", part.quota),
        );
        row("kernel memory", format!("{} KB", part.memory_bytes / 1000));
        rows
    }
}

fn reserved(installation: &Installation) -> Option<Reserved> {
    let entries = list(installation).ok()?;
    let namespaces: BTreeSet<u64> = entries.iter().map(|entry| entry.netns_cookie).collect();
    Some(Reserved {
        reservations: entries.len(),
        ports: entries
            .iter()
            .map(|entry| usize::from(entry.range.count()))
            .sum(),
        network_namespaces: namespaces.len(),
    })
}
