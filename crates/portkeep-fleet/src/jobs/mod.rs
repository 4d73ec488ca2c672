//! Grants: the same ports on a list of nodes, for the life of a job.
//!
//! Users ask the steward of their machine over a socket; the kernel says who they are. The steward chooses numbers,
//! coordinates, and keeps what users may hold within the quota. It is a process of its own: it acts for the whole
//! fleet by its certificate, which an agent must not have.
//!
//! A grant is closed to everybody until somebody attaches to it: the agent of that node lets the caller's cgroup
//! in, without asking etcd.

pub mod acquire;
pub mod admit;
mod candidates;
pub mod environment;
mod holder;
pub mod hosts;
pub mod local;
pub mod numbers;
mod quota;
pub mod release;
pub mod steward;
pub mod wish;
