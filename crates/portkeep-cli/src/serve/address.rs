//! Where the server listens.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use crate::error::{Context as _, Result};
use crate::temporary::{self, runtime_directory};

/// An abstract name, `@NAME`, or a socket file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(OsString);

impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl From<OsString> for Address {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Address {
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The name without the `@`, which stands for a zero byte and is as long as it is written.
    fn abstract_name(&self) -> Option<&[u8]> {
        self.0.as_bytes().strip_prefix(b"@")
    }

    fn file(&self) -> Option<&Path> {
        self.abstract_name().is_none().then(|| Path::new(&self.0))
    }

    fn to_unix(&self) -> nix::Result<UnixAddr> {
        match self.abstract_name() {
            Some(name) => UnixAddr::new_abstract(name),
            None if self.0.is_empty() => Err(Errno::EINVAL),
            None => UnixAddr::new(Path::new(&self.0)),
        }
    }
}

/// The server's sockets. Their files go with them.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<OwnedFd>,
    files: Vec<PathBuf>,
    directory: Option<PathBuf>,
}

impl Listeners {
    pub fn bind(addresses: &[Address]) -> Result<Self> {
        let mut listeners = Self {
            sockets: Vec::new(),
            files: Vec::new(),
            directory: None,
        };
        // A server of root serves everybody, who must be able to connect to its files.
        let before = geteuid().is_root().then(|| umask(Mode::empty()));
        let added = addresses.iter().try_for_each(|address| {
            let added = listeners.add(address);
            added.with_context(|| format!("cannot listen at {address}"))
        });
        before.map(umask);
        added.map(|()| listeners)
    }

    /// At names that nobody else has: an abstract one, and a file in a directory of this user alone.
    pub fn anywhere() -> Result<(Self, Address, Address)> {
        let mut listeners = Self::bind(&[])?;
        let name = loop {
            let name = Address(format!("@portkeep-{}", random()?).into());
            match listeners.add(&name) {
                Ok(()) => break name,
                Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot listen at {name}"));
                }
            }
        };
        let directory = make_directory().context("cannot make a directory for the port server")?;
        let file = Address(directory.join("ports").into());
        listeners.directory = Some(directory);
        listeners
            .add(&file)
            .with_context(|| format!("cannot listen at {file}"))?;
        Ok((listeners, name, file))
    }

    fn add(&mut self, address: &Address) -> io::Result<()> {
        let unix = address.to_unix()?;
        let open = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            socket(AddressFamily::Unix, SockType::Stream, flags, None)
        };
        let listener = open()?;
        match bind(listener.as_raw_fd(), &unix) {
            Err(Errno::EADDRINUSE) if address.file().is_some_and(is_socket) => {
                // A server that was killed leaves its file behind; then nobody answers.
                if connect(open()?.as_raw_fd(), &unix) != Err(Errno::ECONNREFUSED) {
                    return Err(Errno::EADDRINUSE.into());
                }
                fs::remove_file(Path::new(&address.0))?;
                bind(listener.as_raw_fd(), &unix)?;
            }
            bound => bound?,
        }
        self.files.extend(address.file().map(Path::to_owned));
        listen(&listener, Backlog::MAXCONN)?;
        self.sockets.push(listener);
        Ok(())
    }

    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir(directory);
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
}

/// Nobody guesses the name, and so nobody is there first.
fn random() -> Result<String> {
    let bytes = portkeep_host::random::bytes(0).context("getrandom")?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// The longest path of a socket is 107 bytes.
const PATH_MAX: usize = 80;

/// Of this user alone.
fn make_directory() -> io::Result<PathBuf> {
    let places = runtime_directory()
        .into_iter()
        .chain([std::env::temp_dir(), "/tmp".into()]);
    let is_short = |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= PATH_MAX;
    temporary::make_directory(places.filter(is_short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_they_are_written() {
        let address: Address = "@x".parse().expect("any text");
        let unix = address.to_unix().expect("an address");
        assert_eq!(unix.as_abstract(), Some(b"x".as_slice()));
        let address: Address = "/run/x".parse().expect("any text");
        let unix = address.to_unix().expect("an address");
        assert_eq!(unix.path(), Some(Path::new("/run/x")));
    }
}
