//! `fork(2)`: the child begins with the library's state as it is between two calls.
//!
//! It has no part in what its parent holds: the holders are closed, so that the ports are free when the
//! parent releases them, and the tokens name nothing. Operations that other threads of the parent have
//! begun do not exist in the child.

use std::sync::Once;

use crate::engine;
use crate::implicit;
use crate::monitor;

unsafe extern "C" fn before() {
    monitor::acquire_for_fork();
}

unsafe extern "C" fn in_parent() {
    monitor::release_after_fork();
}

unsafe extern "C" fn in_child() {
    let mut world = monitor::renew_after_fork();
    world.pending.clear();
    engine::begin_in_child(&mut world);
    for socket in world.sockets.iter_mut() {
        socket.busy = false;
        socket.executing = false;
        socket.binding = false;
        socket.waiting.clear();
    }
    implicit::nobody_binds();
    world.held.close();
}

/// Sees to it that a child is prepared, from the first call on.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the functions live as long as the library, which the C library knows when it is
        // unloaded. That there is no memory for them is told by nothing but this call.
        let result = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        assert_eq!(result, 0, "pthread_atfork failed");
    });
}
