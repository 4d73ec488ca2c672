//! Acquiring from the kernel part.

use std::os::fd::{AsFd, OwnedFd};

use super::in_the_way::name_owner;
use super::option::acquiring_socket;
use super::sockopt;
use crate::blocks::{Block, Blocks};
use crate::netns;
use crate::types::{ConflictKind, Consumers, Error, ErrorKind, Ports, Protocol, Request};

/// Reserves the ports in the calling thread's network namespace.
pub(crate) fn acquire(request: &Request) -> Result<Blocks, Error> {
    let (first, others) = request.protocols();
    let blocks = match &request.ports {
        Ports::Any { count } => search(request, first, others, *count),
        Ports::These(ports) => exactly(request, first, others, *ports.start(), *ports.end()),
    };
    match blocks {
        Ok((first, others)) => Ok(Blocks::new(first, others)),
        Err(error) => Err(name_owner(error, netns::netns_cookie)),
    }
}

fn exactly(
    request: &Request,
    first: Protocol,
    others: &[Protocol],
    start: u16,
    end: u16,
) -> Result<(Block, Vec<Block>), Error> {
    let count = end - start + 1;
    Ok((
        block(request, first, start, count)?,
        Block::each(others, |it| block(request, it, start, count))?,
    ))
}

/// Searches a block that is free in all protocols: one that is free in the first, and then the
/// same ports of the others.
///
/// A port that another protocol refuses can be in no block that would do. Until the search ends
/// it is kept reserved in the first protocol, so that the next wildcard does not contain it,
/// whatever the order in which the kernel part searches. So each round takes at least one port
/// out of the pool, and there are no more than 65535.
fn search(
    request: &Request,
    first: Protocol,
    others: &[Protocol],
    count: u16,
) -> Result<(Block, Vec<Block>), Error> {
    let mut blockers = None;
    for _ in 0..u16::MAX {
        let found = block(request, first, 0, count)?;
        let start = found.range.start();
        let refusal = match Block::each(others, |it| block(request, it, start, count)) {
            Ok(others) => return Ok((found, others)),
            Err(refusal) => refusal,
        };
        let Some(port) = port_taken(&refusal).filter(|&port| found.range.contains(port)) else {
            return Err(refusal);
        };
        drop(found);
        let blockers = match &blockers {
            Some(socket) => socket,
            None => blockers.insert(acquiring_socket(first)?),
        };
        keep_out(blockers, first, port)?;
    }
    Err(Error::no_free_block(count))
}

fn block(request: &Request, protocol: Protocol, start: u16, count: u16) -> Result<Block, Error> {
    let socket = acquiring_socket(protocol)?;
    let (range, token) = sockopt::try_acquire(
        socket.as_fd(),
        protocol,
        start,
        count,
        request.consumers,
        request.align,
    )?;
    Ok(Block {
        socket,
        range,
        token,
    })
}

fn port_taken(refusal: &Error) -> Option<u16> {
    refusal
        .conflict()
        .filter(|conflict| matches!(conflict.kind, ConflictKind::Reserved | ConflictKind::InUse))
        .and_then(|conflict| conflict.port)
}

/// Reserves a port until `blockers` is closed. If somebody else has just taken it, that does too.
fn keep_out(blockers: &OwnedFd, protocol: Protocol, port: u16) -> Result<(), Error> {
    match sockopt::try_acquire(
        blockers.as_fd(),
        protocol,
        port,
        1,
        Consumers::ASSOCIATED,
        1,
    ) {
        Err(error) if !matches!(error.kind(), ErrorKind::Reserved | ErrorKind::InUse) => Err(error),
        _ => Ok(()),
    }
}
