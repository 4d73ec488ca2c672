//! A client, byte by byte.

use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;

use portkeep_tests::proc;

use crate::common::{Running, eventually, portkeep};

/// An address as the command line has it.
pub fn address(text: &str) -> SocketAddr {
    match text.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(text),
    }
    .expect("an address")
}

pub fn connect(text: &str) -> std::io::Result<UnixStream> {
    UnixStream::connect_addr(&address(text))
}

/// What comes until the end of the stream; a reset is an end.
pub fn rest(mut stream: UnixStream) -> String {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The answer to these bytes.
pub fn say(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address).expect("connect");
    // It may have been cut off.
    let _ = stream.write_all(bytes);
    rest(stream)
}

/// A port for a process.
#[track_caller]
pub fn ask(address: &str, pid: u32) -> Option<u16> {
    port(&say(address, format!("{pid}\n").as_bytes()))
}

/// The port of an answer, of which there is nothing else.
#[track_caller]
pub fn port(answer: &str) -> Option<u16> {
    if answer.is_empty() {
        return None;
    }
    let port = answer.strip_suffix('\n').expect("a line");
    Some(port.parse().unwrap_or_else(|_| panic!("{answer:?}")))
}

/// A server that listens.
pub fn serve(address: &str, options: &[&str]) -> Running {
    serve_by(
        portkeep(["serve", "--address", address].iter().chain(options)),
        address,
    )
}

pub fn serve_by(command: Command, address: &str) -> Running {
    let mut server = Running::start(command);
    eventually(|| {
        assert!(server.is_alive(), "the server has ended");
        connect(address).is_ok()
    });
    server
}

/// What a closure that becomes another user comes to.
pub fn as_user<T: Into<u64> + Copy>(uid: u32, act: impl FnOnce() -> Option<T>) -> Option<u64> {
    let (here, there) = portkeep_tests::Channel::pair();
    let code = proc::as_uid(uid, uid, || match act() {
        Some(value) => {
            there.send(value.into());
            0
        }
        None => 1,
    });
    (code == 0).then(|| here.recv())
}
