//! The store: persistent reservations and exclusions over reboots.

mod apply;
mod cgroups;
mod creation;
mod declared;
mod difference;
mod document;
mod entries;
mod file;
mod files;
mod grace;
mod keeper;
mod kernel;
mod names;
pub mod namespace;
mod notes;
mod obstacles;
mod plan;
mod port_set;
mod record;
mod remove;
mod request;
mod reserve;
mod restore;
mod scope;
mod session;
mod settings;
mod shape;
pub mod sysctl;
mod warnings;
mod withdraw;

pub use self::apply::{Applied, UnknownNames};
pub use self::declared::{DEFAULT_DECLARATIONS, Declared};
pub use self::difference::Difference;
pub use self::document::Record;
pub use self::file::DEFAULT_DIRECTORY;
#[cfg(feature = "interrupted")]
pub use self::files::{Files, RealFiles};
pub use self::keeper::{Contents, FindSockets, FoundSockets, Keeper, Kind};
pub use self::names::{group_name, user_id, user_name};
pub use self::notes::Settings;
pub use self::plan::Change;
pub use self::port_set::PortSet;
pub use self::request::{Outcome, Ports, Request};
pub use self::restore::Report;
pub use self::scope::Scope;
