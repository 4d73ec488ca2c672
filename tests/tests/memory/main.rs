//! Kernel memory: what is given back, and what a full map does.

mod maps;

use portkeep_tests::trials;

trials! {
    root:
        maps::reservations_give_their_memory_back,
        maps::namespaces_that_end_give_their_memory_back,
        maps::namespaces_that_begin_at_once_do_not_meet,
        maps::a_namespace_that_lives_keeps_its_ports,
        maps::the_list_is_complete_however_long;
}
