//! `portkeep map`: the port space as a picture.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use portkeep::{Entry, EntryKind, ErrorKind, Protocol};
use portkeep_admin::{DEFAULT_POOL, Installation, inspect};

use crate::arguments::color::ColorArgument;
use crate::arguments::netns::NetnsArgument;
use crate::arguments::ports::port;
use crate::error::{Context as _, Result};
use crate::locations::list;
use crate::neighbours::KernelSockets;
use crate::port_map::{Look, PortKind, PortMap, picture, svg};
use crate::port_state::Settings;
use crate::reservation_document::{is_everywhere, is_exclusion, may_bind_in_words};
use crate::text_file;
use crate::words::process;
use portkeep_admin::sockets::{self, Processes};

/// Show the port space as a picture
///
/// Shows which ports of this network namespace are reserved, persistently reserved, excluded, in use by
/// sockets, in the pool, in the automatic range, and free, and who has them. A cell of the picture stands
/// for several ports and shows the first of these that one of its ports is; a lighter symbol says that not all of
/// them are. Fits the width of the terminal, or $COLUMNS. Only root sees the processes of other users.
#[derive(Debug, Args)]
pub struct Map {
    /// Show only these ports, as in 61000-65535
    #[arg(value_name = "PORT|A-B")]
    range: Option<Shown>,
    /// Show only TCP
    #[arg(long)]
    tcp: bool,
    /// Show only UDP
    #[arg(long)]
    udp: bool,
    /// Use no characters but ASCII, as without a UTF-8 locale
    #[arg(long)]
    ascii: bool,
    /// Name at most so many owners of each kind
    #[arg(long, value_name = "N", default_value_t = 10)]
    owners: usize,
    /// Write the picture as an SVG file instead
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    color: ColorArgument,
    #[command(flatten)]
    netns: NetnsArgument,
}

/// The ports to show.
#[derive(Debug, Clone, Copy)]
struct Shown(u16, u16);

impl FromStr for Shown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, end) = text.split_once('-').unwrap_or((text, text));
        let start = if start == "0" { 0 } else { port(start)? };
        match port(end)? {
            end if start <= end => Ok(Self(start, end)),
            end => Err(format!("the range ends at {end}, before its start {start}")),
        }
    }
}

impl Map {
    pub fn execute(&self, installation: &Installation) -> Result<ExitCode> {
        self.netns.enter()?;
        let protocols = match (self.tcp, self.udp) {
            (true, false) => &[Protocol::Tcp][..],
            (false, true) => &[Protocol::Udp],
            _ => &[Protocol::Tcp, Protocol::Udp],
        };
        let maps: Vec<_> = protocols
            .iter()
            .map(|protocol| self.collect(*protocol, installation))
            .collect::<Result<_>>()?;
        if let Some(file) = &self.svg {
            text_file::replace(file, &svg(&maps, self.owners))?;
            return Ok(ExitCode::SUCCESS);
        }
        let look = Look {
            width: width(),
            unicode: !self.ascii && has_unicode(),
            color: self.color.is_on(),
            owners: self.owners,
        };
        let pictures: Vec<_> = maps.iter().map(|map| picture(map, look)).collect();
        io::stdout()
            .lock()
            .write_all(pictures.join("\n").as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    fn collect(&self, protocol: Protocol, installation: &Installation) -> Result<PortMap> {
        let Shown(start, end) = self.range.unwrap_or(Shown(0, u16::MAX));
        let mut map = PortMap::new(protocol, start..=end);
        map.mark(Settings::read()?.automatic, PortKind::Automatic);
        // Only root sees another pool.
        let status = inspect(installation).ok().flatten();
        let (pool_start, pool_end) = status.map_or(DEFAULT_POOL, |status| status.pool);
        map.mark(pool_start..=pool_end, PortKind::Pool);
        let own = portkeep::netns_cookie().context("cannot identify the network namespace")?;
        let entries = match list(installation) {
            Err(error) if error.kind() == ErrorKind::NotEnabled => Vec::new(),
            entries => entries?,
        };
        let contents = installation.keeper().contents().ok();
        let here = |entry: &Entry| entry.netns_cookie == own || is_everywhere(entry);
        for entry in entries.iter().filter(|it| here(it)) {
            let range = entry.range;
            if range.protocol() != protocol {
                continue;
            }
            let record = contents.as_ref().and_then(|it| it.record(range));
            let comment = record.and_then(|it| it.comment.as_deref());
            let comment = comment.map_or(String::new(), |it| format!(" ({it})"));
            let (kind, owner) = match entry.kind {
                EntryKind::Persistent if is_exclusion(entry) => {
                    (PortKind::Excluded, format!("everybody{comment}"))
                }
                EntryKind::Persistent => {
                    let who = may_bind_in_words(entry, record);
                    (PortKind::Persistent, format!("{who}{comment}"))
                }
                _ => {
                    let owner = &entry.owner;
                    let who = process(owner.pid, &owner.command, owner.uid);
                    (PortKind::Reserved, who)
                }
            };
            map.own(range.start()..=range.end(), kind, owner);
        }
        for held in portkeep::list_held() {
            if held.netns_cookie == own && held.range.protocol() == protocol {
                let owner = &held.owner;
                let who = process(owner.pid, &owner.command, owner.uid);
                let ports = held.range.start()..=held.range.end();
                map.own(ports, PortKind::Reserved, format!("{who}, held by sockets"));
            }
        }
        self.add_sockets(&mut map)?;
        Ok(map)
    }

    fn add_sockets(&self, map: &mut PortMap) -> Result<()> {
        let first = (*map.range.start()).max(1);
        let sockets = sockets::bound_in(map.protocol, first..=*map.range.end())?;
        let inodes: HashSet<u32> = sockets.iter().filter_map(|socket| socket.inode).collect();
        let processes = Processes::with_sockets(&inodes)?;
        // Of the processes at a port the first; a port of a reservation has its owner already.
        let mut owners: BTreeMap<u16, String> = BTreeMap::new();
        let kernel = LazyCell::new(KernelSockets::find);
        for socket in &sockets {
            let found = socket.inode.map(|inode| processes.of_inode(inode));
            let owner = match found.and_then(<[_]>::first) {
                Some(owner) => process(owner.pid, &owner.command, owner.uid),
                None if socket.inode.is_none() => "the kernel".to_owned(),
                None => match kernel.name(map.protocol, socket.local.port()) {
                    Some(purpose) => format!("the kernel, for {purpose}"),
                    None => "an unknown process".to_owned(),
                },
            };
            owners.entry(socket.local.port()).or_insert(owner);
        }
        for (port, owner) in owners {
            match map.is_reserved(port) {
                true => {}
                false => map.own(port..=port, PortKind::InUse, owner),
            }
        }
        Ok(())
    }
}

/// Where the output is no terminal, as many as most terminals have.
fn width() -> usize {
    let from_environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    from_environment()
        .or_else(terminal_width)
        .filter(|width| *width > 0)
        .unwrap_or(80)
}

fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: `size` is a winsize to write to.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0).then_some(usize::from(size.ws_col))
}

/// Whether the locale's characters are UTF-8 (locale(7)).
fn has_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}
