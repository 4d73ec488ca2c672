//! What other users have prepared for the command: a bpf file system where they were first, and
//! names that a terminal would obey.

#[path = "../common/mod.rs"]
mod common;

mod bpffs;
mod names;

use std::time::Duration;

use portkeep_tests::trials;

/// Many commands, each of which loads the kernel part.
const LONG: Duration = Duration::from_secs(600);

trials! {
    root:
        bpffs::a_folder_of_a_user,
        bpffs::a_link_to_a_folder_of_root,
        bpffs::what_others_may_change,
        bpffs::a_plain_directory,
        bpffs::the_kernels_default_mode_will_do,
        bpffs::root_of_a_user_namespace_reads_the_list,
        bpffs::a_store_that_is_no_file,
        names::of_cgroups => LONG,
        names::of_processes,
        names::of_what_an_administrator_wrote => LONG,
        names::of_places => LONG;
}
