//! Acquiring from Windows.

use std::os::windows::io::OwnedSocket;

use super::{code, sockopt, winsock};
use crate::blocks::{Block, Blocks};
use crate::types::{Error, ErrorKind, Ports, Protocol, Request};

/// How often a wildcard is asked for whose numbers another protocol refuses, or that is not
/// aligned. What was refused is kept reserved meanwhile, so that each attempt gets other ports.
const ATTEMPTS: usize = 1024;

pub(super) fn acquire(request: &Request) -> Result<Blocks, Error> {
    let (first, others) = request.protocols();
    match &request.ports {
        Ports::Any { count } => search(request, first, others, *count),
        Ports::These(ports) => {
            let (start, count) = (*ports.start(), ports.end() - ports.start() + 1);
            let first = block(request, first, start, count)?;
            let others = Block::each(others, |it| block(request, it, start, count))?;
            Ok(Blocks::new(first, others))
        }
    }
}

fn search(
    request: &Request,
    first: Protocol,
    others: &[Protocol],
    count: u16,
) -> Result<Blocks, Error> {
    let mut refused = Vec::new();
    for _ in 0..ATTEMPTS {
        let found = block(request, first, 0, count)?;
        let start = found.range.start();
        if !start.is_multiple_of(request.align) {
            refused.push(found);
            continue;
        }
        match Block::each(others, |it| block(request, it, start, count)) {
            Ok(others) => return Ok(Blocks::new(found, others)),
            Err(error) if error.kind() == ErrorKind::InUse => refused.push(found),
            Err(error) => return Err(error),
        }
    }
    Err(code::of_acquire(code::WSAEADDRINUSE, None, count))
}

fn block(request: &Request, protocol: Protocol, start: u16, count: u16) -> Result<Block, Error> {
    let socket = acquiring_socket(protocol)?;
    let (range, token) = sockopt::acquire(&socket, start, count, request.consumers, 1)?;
    Ok(Block {
        socket,
        range,
        token,
    })
}

/// A socket to acquire with. One reservation covers both families; IPv6 is for hosts without IPv4.
fn acquiring_socket(protocol: Protocol) -> Result<OwnedSocket, Error> {
    winsock::socket(protocol, false)
        .or_else(|_| winsock::socket(protocol, true))
        .map_err(|error| code::of_call("making a socket", error))
}
