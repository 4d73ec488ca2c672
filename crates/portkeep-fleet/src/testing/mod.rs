//! etcd for tests: some members on one address, with certificates made for the test. And machines for tests, with
//! processes that bind there all the time.

mod certificates;
mod etcd;
mod machine;
mod network;
pub mod probe;

pub use certificates::Authority;
pub use etcd::{Etcd, Options};
pub use machine::Machine;
pub use network::{ENGINE, Network};
pub use probe::Probe;
