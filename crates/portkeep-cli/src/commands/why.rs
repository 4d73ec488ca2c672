//! `portkeep why`: explain a port.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use portkeep::Protocol;
use portkeep_admin::{Installation, user_name};
use serde::Serialize;

use crate::arguments::netns::NetnsArgument;
use crate::arguments::ports::port;
use crate::error::Result;
use crate::output::{escaped, json, lines};
use crate::port_state::PortState;
use crate::reservation_document::ReservationDocument;
use crate::sockets::Socket;

/// Explain why a port is taken, or that it is free
///
/// Says who reserves the port, which processes have sockets bound to it, and whether the kernel
/// gives it out automatically. Works without Portkeep being enabled; only root is shown the
/// processes of other users.
#[derive(Debug, Args)]
pub struct Why {
    /// The port, such as 8080/tcp
    #[arg(value_name = "PORT/tcp|udp")]
    port: ProtocolPort,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProtocolPort {
    port: u16,
    protocol: Protocol,
}

impl FromStr for ProtocolPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, protocol) = text
            .split_once('/')
            .ok_or_else(|| format!("write {text}/tcp or {text}/udp"))?;
        let protocol = protocol
            .parse()
            .map_err(|_| format!("'{protocol}' is not a protocol; write tcp or udp"))?;
        Ok(Self {
            port: port(number)?,
            protocol,
        })
    }
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

impl Why {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let state = PortState::of(self.port.protocol, self.port.port, installation)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&document(&state))?)?;
            return Ok(ExitCode::SUCCESS);
        }
        for line in state.words() {
            writeln!(out, "{}", escaped(&line))?;
        }
        for caveat in state.caveats() {
            writeln!(out, "Note: {}.", lines(&caveat.message))?;
            if let Some(hint) = caveat.hint {
                writeln!(out, "Hint: {}", escaped(&hint))?;
            }
        }
        Ok(ExitCode::SUCCESS)
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
    }
}
