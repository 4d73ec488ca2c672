use std::fmt;

use crate::error::{Error, ErrorKind};

/// What keeps the ports of a reservation.
///
/// It is written `auto`, `kernel` or `held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// The kernel part where it is enabled and serves this process, else held sockets.
    #[default]
    Auto,
    /// Portkeep's kernel part, which root installs with `portkeep enable`.
    Kernel,
    /// Bound sockets of this process, which need neither root nor the kernel part.
    ///
    /// Every port of every protocol takes a descriptor. The reservation has no token, cannot be
    /// claimed, and lets nobody in but sockets that it [opens](crate::Reservation::tcp_listener) or
    /// [binds](crate::Reservation::bind) itself: there are no other
    /// [`Consumers`](crate::Consumers). `docs/backends.md` has every difference.
    Held,
}

impl Backend {
    /// What [`Auto`](Backend::Auto) comes to in this process; the others are themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if no socket can be made to ask the kernel part with.
    pub fn resolve(self) -> Result<Backend, Error> {
        match self {
            Backend::Auto => match crate::version() {
                Ok(_) => Ok(Backend::Kernel),
                Err(error) if error.kind() == ErrorKind::NotEnabled => Ok(Backend::Held),
                Err(error) => Err(error),
            },
            other => Ok(other),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::Auto => "auto",
            Backend::Kernel => "kernel",
            Backend::Held => "held",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        assert_eq!(Backend::default(), Backend::Auto);
        assert_eq!(format!("{:>6}", Backend::Held), "  held");
    }

    #[test]
    fn what_is_asked_for_stays() -> Result<(), Error> {
        assert_eq!(Backend::Held.resolve()?, Backend::Held);
        assert_eq!(Backend::Kernel.resolve()?, Backend::Kernel);
        assert_ne!(Backend::Auto.resolve()?, Backend::Auto);
        Ok(())
    }
}
