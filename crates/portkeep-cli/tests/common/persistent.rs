//! What is persistent: the store, the kernel's list and `ip_local_reserved_ports`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use portkeep_admin::{FleetRequest, FleetTag};
use portkeep_tests::{Protocol, Sandbox, enable, proc, sock};
use serde_json::Value;

use super::json::{document, elements};
use super::{done, portkeep};

/// The setting that keeps automatic ports out.
pub const PROTECTED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// What is protected from automatic choice in this network namespace.
pub fn protected() -> String {
    // The kernel gives the list in one read, or the rest of it never.
    let mut bytes = vec![0; 256 * 1024];
    let mut file = File::open(PROTECTED).expect("open the setting");
    let length = file.read(&mut bytes).expect("read the setting");
    let text = str::from_utf8(&bytes[..length]).expect("text");
    text.trim().to_owned()
}

/// What others have there, before or after us.
pub fn protect(list: &str) {
    fs::write(PROTECTED, format!("{list}\n")).expect("write the setting");
}

/// The file that the store is.
pub fn store_file(sandbox: &Sandbox) -> PathBuf {
    sandbox.state_dir().join("reservations.toml")
}

/// The text of the store; `None` if there is none.
pub fn stored(sandbox: &Sandbox) -> Option<String> {
    fs::read_to_string(store_file(sandbox)).ok()
}

/// The ports of the reservations and exclusions in the store, in their order there.
pub fn stored_ports(sandbox: &Sandbox) -> Vec<String> {
    let text = stored(sandbox).unwrap_or_default();
    let tables = text.split("\n[[").skip(1);
    let records = tables
        .filter(|table| table.starts_with("reservation]]") || table.starts_with("exclusion]]"));
    records
        .filter_map(|table| table.lines().find_map(|line| line.strip_prefix("ports = ")))
        .map(|ports| ports.trim_matches('"').to_owned())
        .collect()
}

/// The persistent rows of `ls --json`, as `PORTS KIND MAY-BIND`, in order.
pub fn listed() -> Vec<String> {
    let document = document(&mut portkeep(["ls", "--json"]));
    let rows = elements(&document["reservations"]).iter();
    let persistent = rows.filter(|row| row["kind"] != "runtime");
    persistent.map(row).collect()
}

fn row(row: &Value) -> String {
    let names = |what: &str| {
        elements(&row[what])
            .iter()
            .filter_map(Value::as_str)
            .map(|name| format!(" {name}"))
            .collect::<String>()
    };
    format!(
        "{}-{}/{} {} {}{}{}{}",
        row["start"],
        row["end"],
        row["protocol"].as_str().unwrap_or_default(),
        row["kind"].as_str().unwrap_or_default(),
        row["may_bind"].as_str().unwrap_or_default(),
        names("users"),
        names("groups"),
        names("cgroups"),
    )
}

/// Asserts that the store, the kernel part and the setting agree, as `status` sees it.
#[track_caller]
pub fn assert_agreed() {
    let status = document(&mut portkeep(["status", "--json"]));
    assert_eq!(status["store"]["error"], Value::Null, "{status}");
    assert_eq!(elements(&status["store"]["differences"]), [] as [Value; 0]);
}

/// Enables Portkeep with the command.
#[track_caller]
pub fn enable() {
    done(&mut portkeep(["enable"]));
}

/// What binding a socket of a protocol to a port comes to in this process: 0 or an errno.
pub fn bind(protocol: Protocol, port: u16) -> i32 {
    let socket = match protocol {
        Protocol::Tcp => sock::tcp6(),
        Protocol::Udp => sock::udp6(),
    };
    sock::bind_any(&socket, port).err().unwrap_or(0)
}

/// The same in a process of a user, with a group and no others.
pub fn bind_as(uid: u32, gid: u32, protocol: Protocol, port: u16) -> i32 {
    proc::as_uid(uid, gid, || bind(protocol, port))
}

/// Reserves for a fleet, as its agent does.
pub fn reserve_for_fleet(
    sandbox: &Sandbox,
    id: &str,
    grant: bool,
    ports: &str,
    consumers: &[&str],
) {
    let requests = [FleetRequest {
        tag: FleetTag {
            fleet: "prod".to_owned(),
            id: id.to_owned(),
            generation: 3,
            grant,
        },
        ports: vec![ports.parse().expect("ports")],
        consumers: consumers.iter().map(|it| (*it).to_owned()).collect(),
        comment: None,
    }];
    let keeper = enable::installation(sandbox).keeper();
    for answers in [
        keeper.note_for_fleet(&requests).expect("note"),
        keeper.create_for_fleet(&requests, None).expect("create"),
    ] {
        assert_eq!(answers, [Ok(())]);
    }
}
