//! Waiting for calls of connect(2) that have looked at `ip_local_reserved_ports` before it was written.
//!
//! The kernel looks at the list, and some instructions later takes the lock of the port's hash bucket
//! and the port (`__inet_hash_connect` in net/ipv4/inet_hashtables.c). A caller may be interrupted in
//! between. A grace period of RCU is over when every processor has scheduled, or was in user space, or
//! idle: where the kernel is not preemptible no caller is in between any more. For UDP the list is
//! looked at with the lock held, which such a period waits for on every kernel. Where the kernel is
//! preemptible a caller can stay in between as long as others have its processor; so it is looked for
//! once more, after the ports are reserved.

/// `MEMBARRIER_CMD_GLOBAL` of linux/membarrier.h, which is synchronize_rcu() (kernel/sched/membarrier.c).
const GLOBAL: libc::c_int = 1;

/// Takes some milliseconds. Where the call is missing or forbidden there is less to rely on, and nothing
/// better to do.
pub fn wait() {
    // SAFETY: takes numbers alone.
    unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}
