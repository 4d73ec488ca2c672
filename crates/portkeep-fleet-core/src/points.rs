//! The instants at which a driver can be killed, by name. A driver for tests kills itself before or after
//! the effect that an environment variable names.

use std::fmt;

macro_rules! points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An effect, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Point { $($(#[$doc])* $variant,)* }

        impl Point {
            /// All of them.
            pub const ALL: &[Point] = &[$(Point::$variant,)*];

            /// The name, as `agent.create`.
            pub const fn name(self) -> &'static str {
                match self { $(Point::$variant => $name,)* }
            }
        }
    };
}

points! {
    /// The agent says on the engine that it acts for the node.
    Announce = "agent.announce",
    /// The agent writes a note into the store.
    Note = "agent.note",
    /// The agent makes the kernel reserve.
    Create = "agent.create",
    /// The agent writes its vote or report.
    Vote = "agent.vote",
    /// The agent makes the kernel release.
    Delete = "agent.delete",
    /// The agent takes the note out of the store.
    Erase = "agent.erase",
    /// The coordinator writes names of members.
    List = "coordinator.list",
    /// The coordinator makes the record, with the first inbox entries.
    Prepare = "coordinator.prepare",
    /// The coordinator writes more inbox entries.
    Ask = "coordinator.ask",
    /// The coordinator decides that it is committed.
    Commit = "coordinator.commit",
    /// The coordinator decides that it ends.
    End = "coordinator.end",
    /// The coordinator tells members to release.
    Tell = "coordinator.tell",
    /// The coordinator deletes the inbox entries, votes and, last, the record.
    Forget = "coordinator.forget",
    /// Names of members without a record are deleted.
    Sweep = "coordinator.sweep",
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Point {
    type Err = ();

    fn from_str(text: &str) -> Result<Point, ()> {
        let found = Point::ALL.iter().find(|point| point.name() == text);
        found.copied().ok_or(())
    }
}
