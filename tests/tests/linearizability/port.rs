//! What a port does when everybody comes one after the other.

/// A process.
pub(crate) type Pid = u32;

/// A reservation or a socket: whose, and which of its.
pub(crate) type Id = (Pid, u32);

/// A port. Without `SO_REUSEADDR` and the like one socket is bound to it at most, and stays so while it
/// connects and disconnects: that is nothing that happens to the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    pub(crate) reserved: Option<Id>,
    pub(crate) bound: Option<Id>,
}

/// A call about one port, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Acquire(Id),
    Release(Id),
    /// By a stranger.
    Bind(Id),
    /// By a socket that is associated with the reservation, explicitly or by `connect()`.
    BindAssociated(Id),
    Close(Id),
    /// An acquire or a bind.
    Refused(Need),
}

/// What a refusal needs. `or_others_try`: or others try to take the port at the same time.
///
/// That is the one thing weaker than linearizability. To take a port is to mark it and then to look
/// for sockets, or to be bound and then to look for the mark (`bpf/take.h`, `bpf/bind.h`); of two
/// who do so at the same time each may find the other, and both are refused, though one alone would
/// not have been. Never are both granted. A block is taken port by port, and a refused acquire takes
/// back what it has marked: so it can be in the way at ports other than the one it was refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A reservation, by what the caller was told of this process.
    ReservedBy(Pid),
    /// A reservation, of which nobody was told.
    Reserved { or_others_try: bool },
    /// A socket.
    Bound { or_others_try: bool },
}

impl Port {
    /// The port after a call; `None` if the call cannot have come to that.
    pub(crate) fn after(self, action: Action) -> Option<Port> {
        let Port { reserved, bound } = self;
        let possible = match action {
            Action::Acquire(_) | Action::Bind(_) => (reserved, bound) == (None, None),
            Action::Release(id) => reserved == Some(id),
            Action::BindAssociated((pid, _)) => {
                reserved.is_some_and(|(owner, _)| owner == pid) && bound.is_none()
            }
            Action::Close(id) => bound == Some(id),
            Action::Refused(Need::ReservedBy(pid)) => {
                reserved.is_some_and(|(owner, _)| owner == pid)
            }
            Action::Refused(Need::Reserved { or_others_try }) => {
                or_others_try || reserved.is_some()
            }
            Action::Refused(Need::Bound { or_others_try }) => or_others_try || bound.is_some(),
        };
        possible.then_some(match action {
            Action::Acquire(id) => Port {
                reserved: Some(id),
                ..self
            },
            Action::Release(_) => Port {
                reserved: None,
                ..self
            },
            Action::Bind(id) | Action::BindAssociated(id) => Port {
                bound: Some(id),
                ..self
            },
            Action::Close(_) => Port {
                bound: None,
                ..self
            },
            Action::Refused(_) => self,
        })
    }
}
