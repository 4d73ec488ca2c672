//! Persistent reservations. Errors are errno values.
//!
//! The kernel part says what there is; the store keeps it over reboots, and keeps `connect(2)` off
//! automatic ports.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use portkeep::sockopt;
use portkeep::{Error, ErrorKind, PortRange, Protocol, Token};

use self::kept::{forget, keep};

/// Reserves for nobody in particular: administrators associate sockets, as on Windows.
pub(crate) fn create(range: PortRange) -> Result<Token, i32> {
    let socket = plain(range.protocol())?;
    // Where the kernel part is absent the store would keep what nobody enforces.
    sockopt::version(&socket).map_err(errno)?;
    keep(range)?;
    sockopt::lookup(&socket, range.start(), range.count()).map_err(errno)
}

/// Deletes the reservation of exactly these ports.
pub(crate) fn delete(range: PortRange) -> Result<(), i32> {
    let socket = plain(range.protocol())?;
    match sockopt::lookup(&socket, range.start(), range.count()) {
        Ok(_) => forget(range),
        // Report EACCES before revealing existence.
        Err(error) if error.kind() == ErrorKind::NotFound => delete_alone(range),
        Err(error) => Err(errno(error)),
    }
}

pub(crate) fn lookup(range: PortRange) -> Result<Token, i32> {
    let socket = plain(range.protocol())?;
    sockopt::lookup(&socket, range.start(), range.count()).map_err(errno)
}

/// A socket to ask with.
fn plain(protocol: Protocol) -> Result<OwnedFd, i32> {
    let kind = match protocol {
        Protocol::Tcp => libc::SOCK_STREAM,
        Protocol::Udp => libc::SOCK_DGRAM,
    };
    let open = |family| {
        // SAFETY: socket(2) takes no pointers.
        match unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) } {
            -1 => Err(io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO)),
            // SAFETY: a new descriptor, nobody else's.
            descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        }
    };
    // A reservation covers both families; IPv6 is for hosts without IPv4.
    open(libc::AF_INET).or_else(|errno| match errno {
        libc::EAFNOSUPPORT => open(libc::AF_INET6),
        errno => Err(errno),
    })
}

fn errno(error: Error) -> i32 {
    error.errno().unwrap_or(libc::EIO)
}

/// In the kernel part alone.
fn delete_alone(range: PortRange) -> Result<(), i32> {
    let socket = plain(range.protocol())?;
    let flags = sockopt::DeleteFlags::default();
    sockopt::delete(&socket, range.start(), range.count(), flags).map_err(errno)
}

#[cfg(not(feature = "store"))]
mod kept {
    use super::*;

    pub(super) fn keep(range: PortRange) -> Result<(), i32> {
        let socket = plain(range.protocol())?;
        let flags = sockopt::CreateFlags::default();
        sockopt::create(&socket, range.start(), range.count(), 1, flags, &[]).map_err(errno)?;
        Ok(())
    }

    pub(super) fn forget(range: PortRange) -> Result<(), i32> {
        delete_alone(range)
    }
}

#[cfg(feature = "store")]
mod kept {
    use std::path::PathBuf;

    use portkeep_admin::{Error, ErrorKind, Installation, Keeper, Kind, Ports, Request};
    use portkeep_host::bpffs;
    use portkeep_host::environment::variable;

    use super::*;

    pub(super) fn keep(range: PortRange) -> Result<(), i32> {
        let request = Request {
            kind: Kind::Reservation,
            ports: Ports::These(vec![range]),
            scope: None,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
        };
        match keeper().reserve(&request, None) {
            Ok(outcome) if outcome.changed => Ok(()),
            // The store grants what there is already; Windows does not.
            Ok(_) => Err(libc::EADDRINUSE),
            Err(error) => Err(errno_of(&error)),
        }
    }

    pub(super) fn forget(range: PortRange) -> Result<(), i32> {
        match keeper().remove(Kind::Reservation, &[range], None) {
            Ok(outcome) if outcome.changed => Ok(()),
            Ok(_) => Err(libc::ENOENT),
            // Exclusions are another thing, as on Windows.
            Err(error) if error.kind() == ErrorKind::Reserved => Err(libc::ENOENT),
            Err(error) => Err(errno_of(&error)),
        }
    }

    fn errno_of(error: &Error) -> i32 {
        match error.kind() {
            ErrorKind::NotPermitted => libc::EACCES,
            ErrorKind::Reserved | ErrorKind::InUse => libc::EADDRINUSE,
            ErrorKind::InvalidInput => libc::EINVAL,
            _ => error.errno().unwrap_or(libc::EIO),
        }
    }

    /// The variables that the command `portkeep` has, where the library heeds them, too.
    fn keeper() -> Keeper {
        let path = |name| variable(name).map(PathBuf::from);
        let installation = Installation {
            cgroup: path("PORTKEEP_CGROUP"),
            bpffs: path(bpffs::VARIABLE),
            state_dir: path("PORTKEEP_STATE_DIR"),
        };
        installation.keeper()
    }
}
