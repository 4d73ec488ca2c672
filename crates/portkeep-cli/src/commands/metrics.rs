//! `portkeep metrics`: figures for Prometheus.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use nix::time::{ClockId, clock_gettime};
use portkeep::{Entry, EntryKind, ErrorKind};
use portkeep_admin::{
    Difference, ErrorKind as AdminErrorKind, Installation, RESERVATIONS_MAX, Status, inspect,
    user_name,
};

use crate::error::Result;
use crate::locations::list;
use crate::open_metrics::{Kind, Metrics};
use crate::reservation_document::kind;
use crate::text_file;

/// Print figures for Prometheus, in the OpenMetrics format
///
/// Counts the reservations and their ports in all network namespaces, refusals, the
/// memory of the kernel part, and the differences between the store, the kernel part and
/// ip_local_reserved_ports. Only root sees all of it; others get what they may see. With --textfile, for
/// the textfile collector of the node exporter, the file is replaced at one instant.
#[derive(Debug, Args)]
pub struct MetricsCommand {
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

impl MetricsCommand {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        let text = collect(installation)?;
        match &self.textfile {
            Some(file) => text_file::replace(file, &text)?,
            None => io::stdout().lock().write_all(text.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn collect(installation: &Installation) -> Result<String> {
    let status = match inspect(installation) {
        Ok(status) => status,
        Err(error) if error.kind() == AdminErrorKind::NotPermitted => None,
        Err(error) => return Err(error.into()),
    };
    let entries = match list(installation) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == ErrorKind::NotEnabled => None,
        Err(error) => return Err(error.into()),
    };
    let mut metrics = Metrics::default();
    let enabled = status.is_some() || entries.is_some();
    metrics.one(
        "portkeep_enabled",
        Kind::Gauge,
        "Whether Portkeep is enabled.",
        u8::from(enabled),
    );
    if let Some(entries) = &entries {
        reservations(&mut metrics, entries);
    }
    if let Some(status) = &status {
        kernel_part(&mut metrics, status);
    }
    store(&mut metrics, installation, entries.is_some());
    Ok(metrics.finish())
}

fn reservations(metrics: &mut Metrics, entries: &[Entry]) {
    let mut counts: BTreeMap<(&str, String), (u64, u64)> = BTreeMap::new();
    for kind in ["runtime", "persistent", "exclusion"] {
        for protocol in ["tcp", "udp"] {
            counts.insert((kind, protocol.to_owned()), (0, 0));
        }
    }
    let mut users: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in entries {
        let ports = u64::from(entry.range.count());
        let key = (kind(entry), entry.range.protocol().to_string());
        let (reservations, all) = counts.entry(key).or_default();
        *reservations += 1;
        *all += ports;
        if entry.kind == EntryKind::Runtime {
            *users.entry(entry.owner.uid).or_default() += ports;
        }
    }
    let labels = |(kind, protocol): &(&str, String)| {
        vec![("kind", (*kind).to_owned()), ("protocol", protocol.clone())]
    };
    metrics.family(
        "portkeep_reservations",
        Kind::Gauge,
        "Reservations in all network namespaces.",
        counts.iter().map(|(key, (count, _))| (labels(key), *count)),
    );
    metrics.family(
        "portkeep_reserved_ports",
        Kind::Gauge,
        "Ports that are reserved, in all network namespaces.",
        counts.iter().map(|(key, (_, ports))| (labels(key), *ports)),
    );
    metrics.family(
        "portkeep_user_ports",
        Kind::Gauge,
        "Ports that the processes of a user have reserved; the quota limits them.",
        users
            .iter()
            .map(|(uid, ports)| (vec![("user", user_name(*uid))], *ports)),
    );
    metrics.one(
        "portkeep_reservations_max",
        Kind::Gauge,
        "How many reservations the kernel part has room for.",
        RESERVATIONS_MAX,
    );
}

fn kernel_part(metrics: &mut Metrics, status: &Status) {
    metrics.one(
        "portkeep_abi_version",
        Kind::Gauge,
        "The version of the kernel ABI.",
        status.abi_version,
    );
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME);
    let now = clock_gettime(ClockId::CLOCK_REALTIME);
    if let (Some(enabled), Ok(since_boot), Ok(now)) = (status.enabled, since_boot, now) {
        let age = since_boot.tv_sec() as u64 - enabled.as_secs().min(since_boot.tv_sec() as u64);
        metrics.one(
            "portkeep_enabled_timestamp_seconds",
            Kind::Gauge,
            "When Portkeep was last enabled.",
            now.tv_sec() as u64 - age,
        );
    }
    metrics.family(
        "portkeep_refusals",
        Kind::Counter,
        "Calls that the kernel part has refused, in all network namespaces, since it was enabled.",
        status.refusals.iter().map(|refusals| {
            let protocol = refusals.protocol.to_string();
            let labels = vec![("call", refusals.call.to_owned()), ("protocol", protocol)];
            (labels, refusals.count)
        }),
    );
    metrics.one(
        "portkeep_watchers",
        Kind::Gauge,
        "Processes that watch for events.",
        status.watchers,
    );
    metrics.one(
        "portkeep_quota_ports",
        Kind::Gauge,
        "How many ports an unprivileged user may reserve.",
        status.quota,
    );
    metrics.one(
        "portkeep_pool_ports",
        Kind::Gauge,
        "Ports in the pool, from which requests that name no port are served.",
        u32::from(status.pool.1 - status.pool.0) + 1,
    );
    metrics.family(
        "portkeep_kernel_memory_bytes",
        Kind::Gauge,
        "Memory of the kernel part's maps.",
        status
            .memory
            .iter()
            .map(|memory| (vec![("map", memory.map.to_owned())], memory.bytes)),
    );
}

/// What `enable` would repair.
fn store(metrics: &mut Metrics, installation: &Installation, is_listed: bool) {
    let keeper = installation.keeper();
    let mut differences = [
        ("missing", 0),
        ("consumers", 0),
        ("unrecorded", 0),
        ("interrupted", 0),
        ("unprotected", 0),
        ("needlessly_protected", 0),
    ];
    let found = match is_listed {
        true => keeper.differences(),
        false => keeper.contents().map(|_| Vec::new()),
    };
    metrics.one(
        "portkeep_store_readable",
        Kind::Gauge,
        "Whether the store and ip_local_reserved_ports can be read.",
        u8::from(found.is_ok()),
    );
    let Ok(found) = found else { return };
    for difference in found {
        let name = match difference {
            Difference::Missing(..) => "missing",
            Difference::Consumers(_) => "consumers",
            Difference::Interrupted(_) => "interrupted",
            Difference::Unprotected(_) => "unprotected",
            Difference::NeedlesslyProtected(_) => "needlessly_protected",
            _ => "unrecorded",
        };
        for (known, count) in &mut differences {
            *count += u32::from(*known == name);
        }
    }
    metrics.family(
        "portkeep_differences",
        Kind::Gauge,
        "Differences between the store, the kernel part and ip_local_reserved_ports; enable repairs them.",
        differences
            .iter()
            .map(|(name, count)| (vec![("difference", (*name).to_owned())], *count)),
    );
}
