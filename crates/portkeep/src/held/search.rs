//! Finding and taking a block.

use std::io;

use portkeep_host::DEFAULT_POOL as POOL;

use crate::held::block::Block;
use crate::held::holder::Holder;
use crate::held::time_wait::Remains;
use crate::held::{limit, refusal};
use crate::sys;
use crate::types::{Error, Protocol};

/// What is asked for; `start` 0 is a wildcard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) protocols: &'a [Protocol],
    pub(crate) start: u16,
    pub(crate) count: u16,
    pub(crate) align: u16,
}

/// The first port in the way of a block.
#[derive(Debug)]
struct InTheWay {
    protocol: Protocol,
    port: u16,
    error: io::Error,
}

/// Takes the ports of all protocols, or none.
///
/// A wildcard prefers ports without TCP connections in `TIME_WAIT`: a program that does not set
/// `SO_REUSEADDR` cannot bind beside them, and late clients of the last owner would reach the next one.
pub(crate) fn acquire(request: Request<'_>) -> Result<Block, Error> {
    limit::check(usize::from(request.count) * request.protocols.len())?;
    let mut remains = Remains::default();
    if request.start != 0 {
        let held = hold(request, request.start, Some(&mut remains));
        return held.map_err(InTheWay::explain);
    }
    if let Some(block) = search(request, None)? {
        return Ok(block);
    }
    let beside = match request.protocols.contains(&Protocol::Tcp) {
        true => search(request, Some(&mut remains))?,
        false => None,
    };
    beside.ok_or_else(|| Error::no_free_block(request.count))
}

/// Tries the pool once around, from a random place: processes that search at once seldom meet, and a
/// port that was just given back is not the next one handed out.
fn search(request: Request<'_>, mut remains: Option<&mut Remains>) -> Result<Option<Block>, Error> {
    let align = u32::from(request.align);
    let first = u32::from(POOL.0).next_multiple_of(align);
    let Some(last) = (u32::from(POOL.1) + 1)
        .checked_sub(request.count.into())
        .map(|last| last - last % align)
        .filter(|&last| last >= first)
    else {
        return Ok(None);
    };
    let places = (last - first) / align + 1;
    let from = first + align * (sys::random() % places);
    for (mut start, end) in [(from, last), (first, from.saturating_sub(1))] {
        while start <= end {
            match hold(request, start as u16, remains.as_deref_mut()) {
                Ok(block) => return Ok(Some(block)),
                Err(it) if it.error.raw_os_error() == Some(libc::EADDRINUSE) => {
                    start = (u32::from(it.port) + 1).next_multiple_of(align);
                }
                Err(it) => return Err(it.explain()),
            }
        }
    }
    Ok(None)
}

/// Takes the block at `start`; given `remains`, also ports that TCP has in `TIME_WAIT`.
fn hold(
    request: Request<'_>,
    start: u16,
    mut remains: Option<&mut Remains>,
) -> Result<Block, InTheWay> {
    let end = start + (request.count - 1);
    let mut holders: Vec<(Protocol, Vec<Holder>)> = request
        .protocols
        .iter()
        .map(|&protocol| (protocol, Vec::with_capacity(request.count.into())))
        .collect();
    let mut beside = Vec::new();
    for port in start..=end {
        for (protocol, holders) in &mut holders {
            let mut holder = Holder::bind(*protocol, port);
            if let Err(error) = &holder
                && error.raw_os_error() == Some(libc::EADDRINUSE)
                && *protocol == Protocol::Tcp
                && remains.as_mut().is_some_and(|it| it.are_all_at(port))
            {
                beside.push(port);
                holder = Holder::bind_beside_time_wait(port);
            }
            holders.push(holder.map_err(|error| InTheWay {
                protocol: *protocol,
                port,
                error,
            })?);
        }
    }
    // A socket may have come since the list was read, and not be met by one with `SO_REUSEADDR`. Now
    // that the ports are held none can come any more.
    let living = remains
        .filter(|_| !beside.is_empty())
        .and_then(|remains| remains.reread_living(&beside));
    if let Some(port) = living {
        return Err(InTheWay {
            protocol: Protocol::Tcp,
            port,
            error: io::Error::from_raw_os_error(libc::EADDRINUSE),
        });
    }
    Ok(Block::new(start, end, holders))
}

impl InTheWay {
    fn explain(self) -> Error {
        refusal::of_holder(self.error, self.protocol, self.port)
    }
}
