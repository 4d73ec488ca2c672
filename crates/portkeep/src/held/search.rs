//! Finding and taking a block.

use portkeep_host::DEFAULT_POOL as POOL;

use crate::held::block::Block;
use crate::held::holder::Holder;
use crate::held::{limit, refusal};
use crate::types::{Error, ErrorKind, Protocol};

/// What is asked for; `start` 0 is a wildcard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) protocols: &'a [Protocol],
    pub(crate) start: u16,
    pub(crate) count: u16,
    pub(crate) align: u16,
}

/// Takes the ports of all protocols, or none.
pub(crate) fn acquire(request: Request<'_>) -> Result<Block, Error> {
    limit::check(usize::from(request.count) * request.protocols.len())?;
    if request.start != 0 {
        return hold(request, request.start).map_err(|(_, error)| error);
    }
    let (mut start, last) = (u32::from(POOL.0), u32::from(POOL.1));
    loop {
        start = start.next_multiple_of(request.align.into());
        if start + u32::from(request.count) - 1 > last {
            return Err(Error::no_free_block(request.count));
        }
        match hold(request, start as u16) {
            Ok(block) => return Ok(block),
            Err((port, error))
                if matches!(error.kind(), ErrorKind::InUse | ErrorKind::Reserved) =>
            {
                start = u32::from(port) + 1;
            }
            Err((_, error)) => return Err(error),
        }
    }
}

/// Takes the block at `start`. Otherwise tells the first port in the way.
fn hold(request: Request<'_>, start: u16) -> Result<Block, (u16, Error)> {
    let end = start + (request.count - 1);
    let mut holders: Vec<(Protocol, Vec<Holder>)> = request
        .protocols
        .iter()
        .map(|&protocol| (protocol, Vec::with_capacity(request.count.into())))
        .collect();
    for port in start..=end {
        for (protocol, holders) in &mut holders {
            let holder = Holder::bind(*protocol, port)
                .map_err(|error| (port, refusal::of_holder(error, *protocol, port)))?;
            holders.push(holder);
        }
    }
    Ok(Block::new(start, end, holders))
}
