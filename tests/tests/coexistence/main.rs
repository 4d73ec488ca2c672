//! Nobody is broken: programs that know nothing of Portkeep do the same with the kernel part and
//! without.

mod activation;
mod burst;
mod container;
mod load;
mod suites;
mod twice;

use std::time::Duration;

use portkeep_tests::trials;

/// For other people's tests, which wait a lot.
const LONG: Duration = Duration::from_secs(600);

trials! {
    root:
        suites::of_sockets => LONG,
        suites::of_socket_servers => LONG,
        suites::of_asyncio => LONG,
        load::nginx,
        load::redis,
        burst::binds_of_many_processes,
        activation::a_service_gets_its_socket,
        container::with_namespaces_and_a_cgroup;
}
