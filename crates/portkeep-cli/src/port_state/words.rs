//! A port's state in words.

use portkeep::{Entry, EntryKind, Owner};
use portkeep_admin::user_name;

use crate::output::printable;
use crate::port_state::{Caveat, PortState, Verdict};
use crate::reservation_document::{is_everywhere, is_exclusion, may_bind_in_words};
use crate::words::{Moment, process};
use portkeep_admin::sockets::{Process, Socket, State, command_line};

impl PortState {
    /// Who reserves it, as in `by process 1234 (nginx), user www-data` or `for user asterisk`.
    pub fn reserver(&self) -> Option<String> {
        let by = |owner: &Owner| format!("by {}", process(owner.pid, &owner.command, owner.uid));
        match (&self.reservation, &self.held) {
            (Some(entry), _) if is_exclusion(entry) => None,
            (Some(entry), _) if entry.kind == EntryKind::Persistent => {
                let consumers = may_bind_in_words(entry, self.record.as_ref());
                Some(format!("for {consumers}"))
            }
            (Some(entry), _) => Some(by(&entry.owner)),
            (None, Some(held)) if held.owner.pid != std::process::id() => Some(by(&held.owner)),
            (None, _) => None,
        }
    }

    /// The state in whole sentences, one per line. Details of a line are indented below it.
    pub fn words(&self) -> Vec<String> {
        let name = format!("{}/{}", self.port, self.protocol);
        let mut lines = Vec::new();
        lines.extend(self.reservation_words(&name));
        if !self.sockets.is_empty() {
            lines.push(format!("{name} is bound by:"));
            lines.extend(self.socket_lines());
        }
        if lines.is_empty() {
            lines.push(if self.verdict() == Verdict::Unknown {
                format!("No socket is bound to {name}; it is unknown whether it is reserved.")
            } else {
                format!("{name} is free: nobody reserves it, no socket is bound to it.")
            });
        }
        let redirects = self.redirects.iter().flatten();
        lines.extend(redirects.map(|it| it.words(&name)));
        lines.extend(self.settings_words(&name));
        lines
    }

    fn reservation_words(&self, name: &str) -> Vec<String> {
        let Some(entry) = &self.reservation else {
            return Vec::new();
        };
        if entry.kind == EntryKind::Persistent {
            return self.persistent_words(name, entry);
        }
        let owner = &entry.owner;
        let since = Moment::before_now(entry.age());
        let block = if entry.range.count() == 1 {
            String::new()
        } else {
            format!(", with all of {}", entry.range)
        };
        let mut lines = vec![format!(
            "{name} is reserved by {}, since {} ({}){block}.",
            process(owner.pid, &owner.command, owner.uid),
            since.local(),
            since.ago(),
        )];
        lines.extend(
            command_line(owner.pid).map(|line| format!("  Its command line: {}", printable(&line))),
        );
        lines
    }

    fn persistent_words(&self, name: &str, entry: &Entry) -> Vec<String> {
        let since = Moment::before_now(entry.age());
        let block = if entry.range.count() == 1 {
            String::new()
        } else {
            format!(", with all of {}", entry.range)
        };
        let everywhere = if is_everywhere(entry) {
            " in every network namespace"
        } else {
            ""
        };
        let how = if is_exclusion(entry) {
            "is excluded from automatic choice; everybody may bind to it by its number".to_owned()
        } else {
            let consumers = match may_bind_in_words(entry, self.record.as_ref()) {
                words if words == "associated" => "associated sockets of administrators".to_owned(),
                words => words,
            };
            format!("is reserved for {consumers}")
        };
        let fleet = self.record.as_ref().and_then(|it| it.fleet.as_ref());
        let by = fleet.map(|tag| format!(", by {}", tag.owner()));
        let by = by.unwrap_or_default();
        let mut lines = vec![format!(
            "{name} {how}{everywhere}{by}, in the kernel since {} ({}){block}.",
            since.local(),
            since.ago(),
        )];
        let comment = self
            .record
            .as_ref()
            .and_then(|record| record.comment.as_deref());
        lines.extend(comment.map(|comment| format!("  Comment: {}", printable(comment))));
        lines
    }

    fn socket_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for socket in &self.sockets {
            let doing = doing(socket);
            let owners = self.owners(socket);
            if owners.is_empty() {
                lines.push(format!("  {}: {doing}", self.ownerless(socket)));
            }
            for owner in owners {
                let who = process(owner.pid, &owner.command, owner.uid);
                lines.push(format!("  {who}: {doing}"));
                lines.extend(docker_proxy(owner));
            }
        }
        // Connections of one server have different peers, so equal lines are sockets with SO_REUSEPORT.
        let mut counted: Vec<(String, usize)> = Vec::new();
        for line in lines {
            match counted.last_mut() {
                Some((last, count)) if *last == line => *count += 1,
                _ => counted.push((line, 1)),
            }
        }
        let line = |(line, count)| match count {
            1 => line,
            _ => format!("{line} ({count} sockets)"),
        };
        counted.into_iter().map(line).collect()
    }

    /// The processes that have the socket open, as far as we can see.
    pub fn owners(&self, socket: &Socket) -> &[Process] {
        socket
            .inode
            .map(|inode| self.processes.of_inode(inode))
            .unwrap_or_default()
    }

    /// Whether we cannot see the processes of the socket.
    pub fn is_hidden(&self, socket: &Socket) -> bool {
        socket.inode.is_some() && self.owners(socket).is_empty() && self.processes.some_hidden()
    }

    fn ownerless(&self, socket: &Socket) -> String {
        match (socket.inode, socket.state) {
            (None, State::TimeWait) => "the kernel, for a minute after the connection".to_owned(),
            (None, State::Connecting) => "the kernel, for a listener".to_owned(),
            (None, _) if socket.is_unaccepted() => {
                "the kernel, until a listener accepts the connection".to_owned()
            }
            (None, _) => "the kernel, after its process closed it".to_owned(),
            (Some(_), _) if self.kernel_purpose(socket).is_some() => {
                let purpose = self.kernel_purpose(socket).unwrap_or_default();
                format!("the kernel, for {}", printable(purpose))
            }
            (Some(_), _) if self.processes.some_hidden() => {
                format!(
                    "a process that you may not see, user {}",
                    user_name(socket.uid)
                )
            }
            (Some(_), _) => {
                let user = user_name(socket.uid);
                format!("a socket with no process (kernel or in flight), user {user}")
            }
        }
    }

    fn settings_words(&self, name: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let (low, high) = (
            self.settings.automatic.start(),
            self.settings.automatic.end(),
        );
        if self.settings.is_automatic(self.port) {
            lines.push(if self.settings.is_protected(self.port) {
                format!(
                    "{name} is inside the automatic range {low}-{high}, but protected: \
                     ip_local_reserved_ports keeps it from being chosen automatically."
                )
            } else {
                format!(
                    "{name} is inside the automatic range {low}-{high} and not protected by \
                     ip_local_reserved_ports: any program that connects or binds to port 0 may \
                     get it at any time."
                )
            });
        }
        if self.settings.is_privileged(self.port) {
            lines.push(format!(
                "{name} is privileged: binding to it takes CAP_NET_BIND_SERVICE \
                 (ip_unprivileged_port_start)."
            ));
        }
        lines
    }

    /// The limits of the answer.
    pub fn caveats(&self) -> Vec<Caveat> {
        let mut caveats = Vec::new();
        if let Some(held) = &self.held {
            let owner = &held.owner;
            caveats.push(Caveat {
                message: format!(
                    "{} is held, as a reservation, by {}",
                    held.range,
                    process(owner.pid, &owner.command, owner.uid)
                ),
                hint: None,
            });
        }
        if let Some(error) = &self.no_reservations {
            caveats.push(Caveat {
                message: format!("reservations are not shown: {error}"),
                hint: error.hint(),
            });
        }
        if let Some(error) = &self.no_sockets {
            caveats.push(Caveat {
                message: format!("sockets are not shown: {error}"),
                hint: error.hints().first().cloned(),
            });
        }
        if self.sockets.iter().any(|socket| self.is_hidden(socket)) {
            caveats.push(Caveat {
                message: "processes of other users are not shown to you".to_owned(),
                hint: Some("run this as root".to_owned()),
            });
        }
        if self.may_miss_sockets {
            caveats.push(Caveat {
                message: "this kernel does not show TCP sockets that are bound but neither \
                          listening nor connected; one may hold the port"
                    .to_owned(),
                hint: Some("Linux 6.8 and later show them".to_owned()),
            });
        }
        caveats
    }
}

/// What Docker's proxy has the port for.
fn docker_proxy(owner: &Process) -> Option<String> {
    if owner.command != "docker-proxy" {
        return None;
    }
    let line = command_line(owner.pid)?;
    let value = |option: &str| {
        let mut words = line.split(' ').skip_while(|word| *word != option);
        words.nth(1).map(printable)
    };
    let (address, port) = (value("-container-ip")?, value("-container-port")?);
    Some(format!(
        "    Docker forwards it to the container at {address}, port {port}; `docker ps` names it."
    ))
}

fn doing(socket: &Socket) -> String {
    let Socket { local, state, .. } = socket;
    let Some(peer) = socket.peer else {
        return match state {
            State::Listening => format!("listening on {local}"),
            _ => format!("bound to {local}"),
        };
    };
    match state {
        State::Connected => format!("connected, {local} to {peer}"),
        State::Connecting => format!("connecting, {local} to {peer}"),
        State::PeerClosed => format!("closed by its peer, {local} to {peer}"),
        State::TimeWait => format!("in TIME_WAIT, {local} to {peer}"),
        _ => format!("closing, {local} to {peer}"),
    }
}
