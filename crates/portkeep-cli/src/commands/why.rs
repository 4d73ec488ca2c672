//! `portkeep why`: explain a port.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use portkeep_admin::{Installation, user_name};
use serde::Serialize;

use crate::arguments::netns::NetnsArgument;
use crate::arguments::wanted_port::WantedPort;
use crate::error::Result;
use crate::neighbours::Redirect;
use crate::output::{escaped, json, lines};
use crate::port_state::{Caveat, PortState};
use crate::reservation_document::ReservationDocument;
use portkeep_admin::sockets::Socket;

/// Explain why a port is taken, or that it is free
///
/// Shows who reserves the port, which processes have sockets bound to it, which rules of nftables,
/// iptables and IPVS redirect it, and whether the kernel gives it out automatically; without a protocol,
/// for both TCP and UDP. Works even if Portkeep is not enabled. Only root sees the rules, and the
/// processes of other users.
#[derive(Debug, Args)]
pub struct Why {
    /// The port: 8080, :8080, 8080/tcp, or a service such as http
    #[arg(value_name = "PORT[/tcp|/udp]")]
    port: WantedPort,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    port: u16,
    protocol: String,
    state: &'static str,
    reservation: Option<ReservationDocument>,
    sockets: Vec<SocketDocument>,
    automatic: Option<AutomaticDocument>,
    privileged: bool,
    redirects: Option<Vec<Redirect>>,
    explanation: String,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SocketDocument {
    state: &'static str,
    local: String,
    peer: Option<String>,
    uid: u32,
    user: String,
    inode: Option<u32>,
    processes: Vec<ProcessDocument>,
    processes_hidden: bool,
    kernel: Option<String>,
}

#[derive(Debug, Serialize)]
struct ProcessDocument {
    pid: u32,
    command: String,
    uid: u32,
    user: String,
}

/// The automatic range that the port is in.
#[derive(Debug, Serialize)]
struct AutomaticDocument {
    range: String,
    protected: bool,
}

/// Of a port that was given without its protocol.
#[derive(Debug, Serialize)]
struct Documents {
    schema: u32,
    port: u16,
    protocols: Vec<Document>,
}

impl Why {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let states: Vec<_> = self
            .port
            .ports
            .iter()
            .map(|(port, protocol)| {
                let mut state = PortState::of(*protocol, *port, installation)?;
                state.look_around();
                Ok(state)
            })
            .collect::<Result<_>>()?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", self.document(&states)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        for line in states.iter().flat_map(PortState::words) {
            writeln!(out, "{}", escaped(&line))?;
        }
        let mut caveats: Vec<Caveat> = Vec::new();
        for caveat in states.iter().flat_map(PortState::caveats) {
            if !caveats.contains(&caveat) {
                caveats.push(caveat);
            }
        }
        for caveat in caveats {
            writeln!(out, "Note: {}.", lines(&caveat.message))?;
            if let Some(hint) = caveat.hint {
                writeln!(out, "Hint: {}", escaped(&hint))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn document(&self, states: &[PortState]) -> Result<String> {
        let mut documents: Vec<_> = states.iter().map(document).collect();
        let port = self.port.ports.first().map_or(0, |(port, _)| *port);
        if self.port.has_protocol
            && let Some(document) = documents.pop()
        {
            return Ok(json(&document)?);
        }
        Ok(json(&Documents {
            schema: 1,
            port,
            protocols: documents,
        })?)
    }
}

fn document(state: &PortState) -> Document {
    let settings = &state.settings;
    let automatic = settings
        .is_automatic(state.port)
        .then(|| AutomaticDocument {
            range: format!(
                "{}-{}",
                settings.automatic.start(),
                settings.automatic.end()
            ),
            protected: settings.is_protected(state.port),
        });
    Document {
        schema: 1,
        port: state.port,
        protocol: state.protocol.to_string(),
        state: state.verdict().name(),
        reservation: state
            .reservation
            .as_ref()
            .map(|entry| ReservationDocument::new(entry, state.record.as_ref())),
        sockets: state
            .sockets
            .iter()
            .map(|socket| socket_document(state, socket))
            .collect(),
        automatic,
        privileged: settings.is_privileged(state.port),
        redirects: state.redirects.clone(),
        explanation: state.words().join("\n"),
        notes: state
            .caveats()
            .into_iter()
            .map(|caveat| caveat.message)
            .collect(),
    }
}

fn socket_document(state: &PortState, socket: &Socket) -> SocketDocument {
    let processes = state.owners(socket).iter().map(|process| ProcessDocument {
        pid: process.pid,
        command: process.command.clone(),
        uid: process.uid,
        user: user_name(process.uid),
    });
    SocketDocument {
        state: socket.state.name(),
        local: socket.local.to_string(),
        peer: socket.peer.map(|peer| peer.to_string()),
        uid: socket.uid,
        user: user_name(socket.uid),
        inode: socket.inode,
        processes: processes.collect(),
        processes_hidden: state.is_hidden(socket),
        kernel: state.kernel_purpose(socket).map(str::to_owned),
    }
}
