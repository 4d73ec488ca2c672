//! Windows' calls for port reservations on Linux, as a C library: the control codes
//! `SIO_ACQUIRE_PORT_RESERVATION`, `SIO_RELEASE_PORT_RESERVATION` and
//! `SIO_ASSOCIATE_PORT_RESERVATION` of Winsock, what programs need around them, and the functions
//! for persistent reservations of the IP Helper API.
//!
//! Programs use it through the headers in `include/portkeep-winsock`, which say what each function
//! does and where it differs from Windows; `docs/winsock.md` says how to compile. Nothing here is
//! for Rust programs, which have the crate [`portkeep`].
//!
//! # Names
//!
//! Functions that only Windows has keep their names. Those that the C library has too, such as
//! `bind`, are named `portkeep_winsock_bind`, and the headers make programs call them: other code of the
//! process keeps the C library's.
//!
//! # Errors
//!
//! Winsock functions return -1 (`SOCKET_ERROR`, `INVALID_SOCKET`) or 0 (`FALSE`) and set the
//! thread's last error, IP Helper functions return the code. No pointer crashes a control call:
//! what cannot be read or written is `WSAEFAULT`.
//!
//! # Threads and fork
//!
//! Every function may be called by several threads at once. After `fork(2)` the child may go on with the
//! library (see `fork.rs`), as far as a program with threads may go on there at all.
#![allow(non_snake_case, clippy::too_many_arguments)]

#[cfg(not(target_os = "linux"))]
compile_error!("portkeep-winsock is for Linux: Windows has these calls itself");

mod address;
pub mod blocking;
pub mod calls;
pub mod cancel;
mod code;
pub mod control;
pub mod create;
mod engine;
pub mod event;
mod fork;
pub mod handle;
mod held;
mod implicit;
pub mod ioctl;
pub mod iphlpapi;
mod kernel_wait;
pub mod last_error;
mod layout;
mod message;
mod monitor;
pub mod name;
mod notice;
pub mod operation;
pub mod options;
pub mod overlapped;
mod persistent;
pub mod port;
mod queue;
pub mod ready;
mod request;
pub mod send_receive;
mod socket;
pub mod startup;
mod status;
mod stream;
pub mod text;
pub mod thread;
pub mod transfer;
mod user_memory;
pub mod wait;
