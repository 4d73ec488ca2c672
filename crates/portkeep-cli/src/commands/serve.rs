//! `portkeep serve`: hand out ports to processes that ask.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use portkeep::{Backend, Consumers};
use portkeep_admin::Installation;

use crate::arguments::netns::NetnsArgument;
use crate::error::{Context as _, Error, Result};
use crate::holding::DescriptorLimit;
use crate::output::say;
use crate::run::signals;
use crate::serve::{Address, KernelPorts, Listeners, PoolArgument, Ports, Server, Share};

/// Hand out ports to processes that ask for them, as a server
///
/// Speaks the protocol of python_portpicker's portserver: a client connects to a Unix socket, sends a process
/// ID and a newline, and gets a port and a newline. The port is free for TCP and UDP. With the kernel part
/// only that process and its descendants can bind to it, until the process ends. Without the kernel part the
/// server only keeps books: programs that do not ask can take the ports. `portkeep run --serve` protects them
/// there, too.
#[derive(Debug, Args)]
#[command(after_long_help = DETAILS)]
pub struct Serve {
    /// Where to listen: @NAME for an abstract address, or the path of a socket file. Can be repeated
    #[arg(
        long,
        aliases = ["portserver_address", "portserver_unix_socket_address"],
        value_name = "ADDR",
        default_value = "@unittest-portserver"
    )]
    address: Vec<Address>,
    /// The ports to hand out, as in 15000-24999,30000-30999
    ///
    /// Without it, the kernel part's pool; without the kernel part 15000-24999.
    #[arg(long, alias = "portserver_static_pool", value_name = "A-B")]
    pool: Option<PoolArgument>,
    /// Which other processes may bind to a port
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Share::Process)]
    share: Share,
    /// How many ports each user may have who is neither root nor the server's own
    #[arg(long, value_name = "N", default_value_t = 1024)]
    limit: u16,
    /// Print what keeps the ports
    #[arg(short, long, alias = "debug")]
    verbose: bool,
    #[command(flatten)]
    netns: NetnsArgument,
}

const DETAILS: &str = "\
Who is served: a server of root serves every user; any other server its own user and root. A client may name \
any process of its own user (root: any process) in the network namespace of the server.

portserver's own options --portserver_address, --portserver_unix_socket_address, \
--portserver_static_pool and --debug work as well.

SIGUSR1 prints statistics on standard error. SIGINT and SIGTERM end the server; reservations end with it, \
while sockets that are bound stay bound.

Examples:
  portkeep serve --address @ci --pool 40000-41999
  PORTSERVER_ADDRESS=@ci pytest
  portkeep serve --address /run/ports --share user";

impl Serve {
    pub fn execute(&self, _installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        // Blocked before anybody can know of the server, so that each signal is taken in order.
        let signals = SignalFd::with_flags(&self.block_signals()?, {
            SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK
        })
        .context("signalfd")?;
        // Connections and processes take one each; the limit may be locked.
        let _ = DescriptorLimit::raise();
        let ports = self.ports()?;
        let mut server = Server::new(Listeners::bind(&self.address)?, ports, self.limit.into())?;
        server.wake_by(signals.as_fd())?;
        if self.verbose {
            for address in &self.address {
                say(&format!("listening at {address}"));
            }
        }
        loop {
            server.serve()?;
            while let Some(signal) = signals.read_signal().context("signalfd")? {
                // Whoever reads these lines may have gone.
                let _ = write!(std::io::stderr().lock(), "{}", server.statistics());
                if signal.ssi_signo != Signal::SIGUSR1 as u32 {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    }

    fn block_signals(&self) -> Result<SigSet> {
        let ends = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
        // A shell without job control makes what it starts with `&` ignore SIGINT.
        let ends = ends.into_iter().filter(|it| !signals::is_ignored(*it));
        let blocked: SigSet = ends.chain([Signal::SIGUSR1]).collect();
        blocked.thread_block().context("cannot block signals")?;
        Ok(blocked)
    }

    fn ports(&self) -> Result<Ports> {
        if Backend::Auto.resolve()? == Backend::Kernel {
            let pool = self.pool.as_ref().map(PoolArgument::ports);
            let consumers = match self.share {
                Share::Process => Consumers::PROCESS | Consumers::TREE,
                Share::User => Consumers::PROCESS | Consumers::TREE | Consumers::USER,
            };
            let ports = KernelPorts::started(consumers, pool, false)??;
            if self.verbose {
                say("the ports are kept by Portkeep's kernel part");
            }
            return Ok(Ports::Kernel(ports));
        }
        if self.share == Share::User {
            let message = "--share user needs the kernel part, which is not enabled here";
            let error = Error::refused(message);
            return Err(error.with_hint("run `portkeep enable` as root"));
        }
        say("the server only keeps books: Portkeep's kernel part is not enabled here");
        Ok(Ports::of_books(
            self.pool.clone().unwrap_or_default().ports(),
        ))
    }
}
