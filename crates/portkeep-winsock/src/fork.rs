//! `fork(2)`: the child begins with the library's state as it is between two calls.
//!
//! It has no part in what its parent holds: the holders are closed, so that the ports are free when the
//! parent releases them, and the tokens name nothing. Operations that other threads of the parent have
//! begun do not exist in the child.

use std::ffi::c_int;
#[cfg(target_env = "gnu")]
use std::ffi::c_void;
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
        socket.in_kernel.clear();
        socket.binding = false;
        socket.waiting.clear();
    }
    implicit::nobody_binds();
    world.held.close();
}

type Handler = unsafe extern "C" fn();

/// pthread_atfork(3), which glibc links into each library, as far as the linker has that part; this is what it
/// calls, since glibc 2.3.2. The last argument is the library whose end would take the handlers away.
#[cfg(target_env = "gnu")]
unsafe fn register(before: Handler, in_parent: Handler, in_child: Handler) -> c_int {
    unsafe extern "C" {
        fn __register_atfork(
            before: Handler,
            in_parent: Handler,
            in_child: Handler,
            library: *mut c_void,
        ) -> c_int;
    }
    // SAFETY: the caller vouches for the functions.
    unsafe { __register_atfork(before, in_parent, in_child, std::ptr::null_mut()) }
}

#[cfg(not(target_env = "gnu"))]
unsafe fn register(before: Handler, in_parent: Handler, in_child: Handler) -> c_int {
    // SAFETY: the caller vouches for the functions.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) }
}

/// Sees to it that a child is prepared, from the first call on.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the functions live as long as the library, which is never unloaded.
        let result = unsafe { register(before, in_parent, in_child) };
        assert_eq!(result, 0, "pthread_atfork failed");
    });
}
