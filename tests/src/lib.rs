//! Sandboxes and helpers for Portkeep's tests, which run on the real kernel.
//!
//! A test target sets `harness = false` and lists its tests with [`trials!`]:
//!
//! ```no_run
//! use portkeep_tests::{Sandbox, assert_errno, raw, sock, trials};
//!
//! trials! {
//!     root: refused_without_the_kernel_part;
//!     plain: parses_ranges;
//! }
//!
//! fn refused_without_the_kernel_part(_sandbox: &Sandbox) {
//!     assert_errno!(raw::acquire4(&sock::tcp4(), 61000, 8), ENOPROTOOPT);
//! }
//!
//! fn parses_ranges() {}
//! ```
//!
//! Every root trial runs in a process of its own inside a [`Sandbox`]: a cgroup, a network
//! namespace, a mount namespace with a bpffs, a state and a runtime directory that no other trial
//! shares. So trials run in parallel, and one that fails, crashes or hangs leaves nothing behind. Without
//! privilege root trials are reported as ignored, and so are those that [`skip`] ends.
//!
//! The programs of a root cgroup reach every sandbox. So where Portkeep is enabled on the machine, trials
//! of its absence, which call [`without_portkeep`], are reported as ignored; all others run as usual.

mod cgroup;
mod errno;
mod event;
mod kernel_version;
mod leftover;
mod loopback;
mod machine;
mod privilege;
mod sandbox;
mod skip;
mod supervisor;
mod trial;

pub mod channel;
pub mod enable;
pub mod foreign;
pub mod ports;
pub mod proc;
pub mod raw;
pub mod reservations;
pub mod sock;
pub mod time_wait;

pub use channel::Channel;
pub use errno::{HasErrno, errno_name, expect_errno, expect_ok};
pub use event::Event;
pub use kernel_version::{is_linux, skip_before};
pub use libc;
pub use machine::without_portkeep;
pub use reservations::Protocol;
pub use sandbox::{Sandbox, runtime_dir};
pub use skip::skip;
pub use socket2;
pub use trial::{Test, benchmark, main};
