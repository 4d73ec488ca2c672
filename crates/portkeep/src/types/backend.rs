use std::fmt;

/// What keeps the ports of a reservation.
///
/// It is written `auto`, `kernel`, `held` or `system`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// On Linux the kernel part where it is enabled and serves this process, else held sockets; on
    /// Windows the system.
    ///
    /// Ports of the automatic range that the kernel part cannot protect are held by sockets, too, if
    /// the request names no [`Consumers`](crate::Consumers).
    #[default]
    Auto,
    /// Portkeep's kernel part, which root installs with `portkeep enable`.
    Kernel,
    /// Bound sockets of this process, which need neither root nor the kernel part.
    ///
    /// Every port of every protocol takes a descriptor. The reservation has no token, cannot be
    /// claimed, and lets nobody in but sockets that it [opens](crate::Reservation::tcp_listener) or
    /// [binds](crate::Reservation::bind) itself: there are no other
    /// [`Consumers`](crate::Consumers). The crate's documentation has [every
    /// difference](crate#held-sockets).
    Held,
    /// The operating system itself, on Windows.
    System,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::Auto => "auto",
            Backend::Kernel => "kernel",
            Backend::Held => "held",
            Backend::System => "system",
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
}
