//! Others in the kernel that take a port's packets or hold a port without a process: NAT rules,
//! IPVS, and sockets of the kernel's own.

mod iptables;
mod ipvs;
mod kernel_sockets;
mod nft;
mod rules;
mod wireguard;

use std::io;
use std::process::{Command, Stdio};

use portkeep::Protocol;

pub use kernel_sockets::KernelSockets;
pub use rules::Redirect;

/// What redirects packets to one of the ports from `start` to `end`, in this network namespace; `None` if
/// there may be rules that cannot be seen, and none that can.
pub fn redirects(protocol: Protocol, start: u16, end: u16) -> Option<Vec<Redirect>> {
    let services = ipvs::redirects(protocol, start, end);
    let (mut redirects, is_all) = match Ruleset::read() {
        Ok(ruleset) => (ruleset.redirects(protocol, start, end), !ruleset.is_partial),
        Err(_) => (Vec::new(), false),
    };
    redirects.extend(services);
    (is_all || !redirects.is_empty()).then_some(redirects)
}

/// All NAT rules of this network namespace.
#[derive(Debug)]
pub struct Ruleset {
    chains: Vec<rules::Chain>,
    /// Whether nft(8) is missing, which shows most of them.
    pub is_partial: bool,
}

impl Ruleset {
    /// # Errors
    ///
    /// Without privilege.
    pub fn read() -> io::Result<Self> {
        let found = nft::read()?;
        let mut chains = found.chains;
        if found.has_foreign || found.is_missing || iptables::has_legacy_nat() {
            chains.extend(iptables::read());
        }
        Ok(Self {
            chains,
            is_partial: found.is_missing,
        })
    }

    pub fn redirects(&self, protocol: Protocol, start: u16, end: u16) -> Vec<Redirect> {
        rules::redirects(&self.chains, protocol, start, end)
    }
}

/// IPVS alone, which also ordinary users may be able to see.
pub use ipvs::redirects as virtual_services;

/// The output of a program that only reads. Those that root alone uses are not on everybody's path.
fn output_of(program: &str, arguments: &[&str]) -> io::Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let kind = match message.contains("not permitted") {
            true => io::ErrorKind::PermissionDenied,
            false => io::ErrorKind::Other,
        };
        let line = message.lines().next().unwrap_or_default();
        return Err(io::Error::new(kind, format!("{program}: {line}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
