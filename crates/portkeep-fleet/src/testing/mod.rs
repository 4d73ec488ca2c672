//! etcd for tests: some members on one address, with certificates made for the test.

mod certificates;
mod etcd;

pub use certificates::Authority;
pub use etcd::{Etcd, Options};
