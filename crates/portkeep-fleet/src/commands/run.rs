//! `portkeep fleet run`

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_fleet_core::data::Name;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::sleep;

use super::acquire::granted;
use super::attach::attach;
use crate::error::{Error, Result};
use crate::jobs::environment;
use crate::jobs::local::{Answer, Client, Request};
use crate::jobs::wish::WishArguments;
use crate::output::say;

/// Run a command with the same ports on all nodes of a list
///
/// The command learns them by PORT, PORTKEEP_TCP, PORTKEEP_UDP and PORTKEEP_GRANT, and this machine, if it is one of the
/// nodes, lets the command's cgroup in. On the other nodes the command's tasks do that: `portkeep fleet attach
/// $PORTKEEP_GRANT -- TASK`. The ports are released when the command ends, with its exit status, or some time after
/// this process is gone.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    wish: WishArguments,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) async fn execute(&self) -> Result<ExitCode> {
        let wish = self.wish.wish(true)?;
        let mut client = Client::connect().await?;
        let grant = granted(client.ask(&Request::Acquire(wish)).await?)?;
        let ended = self.run(&grant.id, &grant.ports, client).await;
        if let Err(error) = release(&grant.id).await {
            say(&format!(
                "{}: {}; it ends by itself, as nobody holds it",
                grant.id,
                error.message()
            ));
        }
        ended
    }

    async fn run(&self, id: &Name, ports: &[String], client: Client) -> Result<ExitCode> {
        // Before the command starts: a signal in between would end this process alone, and leave the command without its ports.
        let signals = Signals::new()?;
        let child = self.start(id, ports).await?;
        Ok(signals.attend(child, hold(id, client)).await?)
    }

    async fn start(&self, id: &Name, ports: &[String]) -> Result<Child> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Error::usage("no command"))?;
        // Only where this machine is one of the nodes.
        if let Err(error) = attach(id).await {
            say(&format!(
                "this machine's processes are not let in: {}",
                error.message()
            ));
        }
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        environment::set(&mut command, id, ports)?;
        let child = Command::from(command).spawn();
        child.map_err(|error| Error::refused(format!("cannot run {}: {error}", program.display())))
    }
}

/// The signals that are the command's.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Until the command ends.
    async fn attend(
        mut self,
        mut child: Child,
        hold: impl Future<Output = Infallible>,
    ) -> io::Result<ExitCode> {
        let mut hold = pin!(hold);
        let status = loop {
            let pid = child.id();
            let number = tokio::select! {
                status = child.wait() => break status?,
                never = &mut hold => match never {},
                // The terminal sends it to the command, too.
                _ = self.interrupt.recv() => continue,
                _ = self.terminate.recv() => Signal::SIGTERM,
                _ = self.hang_up.recv() => Signal::SIGHUP,
            };
            if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
                let _ = kill(Pid::from_raw(pid), number);
            }
        };
        let code = match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 1,
        };
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}

/// Tells a steward that was started anew that the grant is held.
async fn hold(id: &Name, mut client: Client) -> Infallible {
    loop {
        client.gone().await;
        client = loop {
            sleep(Duration::from_secs(1)).await;
            let Ok(mut client) = Client::connect().await else {
                continue;
            };
            match client.ask(&Request::Hold { id: id.clone() }).await {
                Ok(Answer::Held) => break client,
                Ok(Answer::Refused { message, .. }) => {
                    say(&format!("the ports are not held any more: {message}"));
                    return std::future::pending().await;
                }
                _ => {}
            }
        };
    }
}

async fn release(id: &Name) -> Result<()> {
    let mut client = Client::connect().await?;
    let request = Request::Release {
        id: id.clone(),
        wait: 10,
    };
    match client.ask(&request).await? {
        Answer::Released { .. } => Ok(()),
        answer => granted(answer).map(drop),
    }
}
