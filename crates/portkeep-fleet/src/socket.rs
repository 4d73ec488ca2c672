//! Unix sockets of this machine, on which documents go as lines of JSON.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::net::UnixListener;

/// Listens for all users, in the place of a process that is gone.
///
/// # Errors
///
/// What the system says.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Writes one line.
///
/// # Errors
///
/// What the system says.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    document: &impl Serialize,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.push(b'\n');
    stream.write_all(&bytes).await
}

/// Reads one line of at most so many bytes.
///
/// # Errors
///
/// What the system says, also if the other side has gone.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncBufRead + Unpin),
    longest: u64,
) -> io::Result<T> {
    let mut line = Vec::new();
    let mut limited = (&mut *stream).take(longest);
    limited.read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
