//! The library's state, all of it behind one lock with one condition.
//!
//! Operations on sockets run outside the lock, so that it is held for moments only. Whatever a
//! thread waits for, an event, a completion, its turn at a socket, every change wakes all that
//! wait: programs wait with a few threads, and one lock is easy to get right.
//!
//! Lock and condition are those of pthreads, not of Rust's standard library, since
//! ThreadSanitizer and Valgrind know these, and programs are to be checked with them.

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

use crate::engine::Engine;
use crate::handle::Handles;
use crate::held;
use crate::socket::Sockets;
use crate::thread::{ThreadId, Threads};

/// What the threads of the process share.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) handles: Handles,
    pub(crate) held: held::Blocks,
    pub(crate) sockets: Sockets,
    pub(crate) threads: Threads,
    /// The operations that have not completed: the address of the `WSAOVERLAPPED`, and the thread
    /// that asked for it.
    pub(crate) pending: BTreeMap<usize, ThreadId>,
    condition_made: bool,
    /// Conditions that are in nobody's use. None is ever destroyed: a thread may be about to leave it.
    spare_conditions: Vec<Condition>,
}

/// A condition for those who wait for one thing only. Whatever else changes wakes none of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition(NonNull<libc::pthread_cond_t>);

struct Monitor {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    /// Made under the lock when it is first needed: a static one could not have the clock.
    condition: UnsafeCell<MaybeUninit<libc::pthread_cond_t>>,
    world: UnsafeCell<World>,
}

// SAFETY: `world` and the making of `condition` are under `mutex`; the rest is made for threads.
unsafe impl Sync for Monitor {}

static MONITOR: Monitor = Monitor {
    mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
    condition: UnsafeCell::new(MaybeUninit::uninit()),
    world: UnsafeCell::new(World {
        engine: Engine::new(),
        handles: Handles::new(),
        held: held::Blocks::new(),
        sockets: Sockets::new(),
        threads: Threads::new(),
        pending: BTreeMap::new(),
        condition_made: false,
        spare_conditions: Vec::new(),
    }),
};

/// The state, locked by this thread.
pub(crate) struct Guard(PhantomData<*const ()>);

/// A moment at which a wait ends (`CLOCK_MONOTONIC`); `None` is never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    pub(crate) const NEVER: Deadline = Deadline(None);

    pub(crate) fn after(milliseconds: u32) -> Deadline {
        const INFINITE: u32 = u32::MAX;
        Deadline((milliseconds != INFINITE).then(|| {
            let mut now = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: `now` is a timespec to write to, and the clock exists.
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
            Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), now.tv_nsec as u32)
                + Duration::from_millis(milliseconds.into())
        }))
    }
}

pub(crate) fn lock() -> Guard {
    // SAFETY: the mutex is static and never destroyed.
    assert_done(unsafe { libc::pthread_mutex_lock(MONITOR.mutex.get()) });
    Guard(PhantomData)
}

/// Keeps the state as it is while the process forks.
pub(crate) fn acquire_for_fork() {
    std::mem::forget(lock());
}

pub(crate) fn release_after_fork() {
    drop(Guard(PhantomData));
}

/// The state in the child, whose only thread has it locked. Nobody waits any more at the conditions.
pub(crate) fn renew_after_fork() -> Guard {
    let mut world = Guard(PhantomData);
    world.condition_made = false;
    world.renew_conditions();
    world
}

impl Guard {
    /// Tells all threads that wait that something has changed.
    pub(crate) fn changed(&mut self) {
        if self.condition_made {
            // SAFETY: it has been made, and is never destroyed.
            assert_done(unsafe { libc::pthread_cond_broadcast(MONITOR.condition.get().cast()) });
        }
    }

    /// Lets others in while `action` runs.
    pub(crate) fn unlocked<T>(&mut self, action: impl FnOnce() -> T) -> T {
        // SAFETY: this thread has locked the mutex, and nothing borrows from the guard.
        assert_done(unsafe { libc::pthread_mutex_unlock(MONITOR.mutex.get()) });
        let result = action();
        // SAFETY: the mutex is static and never destroyed.
        assert_done(unsafe { libc::pthread_mutex_lock(MONITOR.mutex.get()) });
        result
    }

    /// Lets others in until one of them changes something; false when the deadline has passed.
    pub(crate) fn wait(&mut self, deadline: Deadline) -> bool {
        let condition = MONITOR.condition.get().cast();
        if !self.condition_made {
            // SAFETY: this thread has the lock, and nobody has used the condition yet.
            unsafe { make_condition(condition) };
            self.condition_made = true;
        }
        self.wait_for(condition, deadline)
    }

    /// A condition of the caller's own.
    pub(crate) fn condition(&mut self) -> Condition {
        self.spare_conditions.pop().unwrap_or_else(|| {
            let condition = Box::leak(Box::new(MaybeUninit::uninit()));
            // SAFETY: it is new, and stays where it is.
            unsafe { make_condition(condition.as_mut_ptr()) };
            Condition(NonNull::from(condition).cast())
        })
    }

    /// Ends the use of a condition: whoever waits there is woken, and finds that.
    pub(crate) fn give_back(&mut self, condition: Condition) {
        // SAFETY: conditions are made, and never destroyed.
        assert_done(unsafe { libc::pthread_cond_broadcast(condition.0.as_ptr()) });
        self.spare_conditions.push(condition);
    }

    /// In a child of fork(2): threads of the parent, which are not here, wait at the conditions, and would
    /// be woken in the place of those that are.
    fn renew_conditions(&self) {
        let spare = self.spare_conditions.iter().copied();
        for condition in spare.chain(self.handles.conditions()) {
            // SAFETY: it stays where it is, and the only thread of the process is not at it.
            unsafe { make_condition(condition.0.as_ptr()) };
        }
    }

    /// Wakes one of those who wait at the condition.
    pub(crate) fn signal(&mut self, condition: Condition) {
        // SAFETY: as above.
        assert_done(unsafe { libc::pthread_cond_signal(condition.0.as_ptr()) });
    }

    /// Lets others in until one of them signals the condition; false when the deadline has passed.
    pub(crate) fn wait_at(&mut self, condition: Condition, deadline: Deadline) -> bool {
        self.wait_for(condition.0.as_ptr(), deadline)
    }

    fn wait_for(&mut self, condition: *mut libc::pthread_cond_t, deadline: Deadline) -> bool {
        let mutex = MONITOR.mutex.get();
        let result = match deadline.0 {
            // SAFETY: the condition has been made, and this thread has locked the mutex.
            None => unsafe { libc::pthread_cond_wait(condition, mutex) },
            Some(time) => {
                let time = libc::timespec {
                    tv_sec: time.as_secs() as libc::time_t,
                    tv_nsec: time.subsec_nanos() as libc::c_long,
                };
                // SAFETY: as above.
                unsafe { libc::pthread_cond_timedwait(condition, mutex, &raw const time) }
            }
        };
        if result == libc::ETIMEDOUT {
            return false;
        }
        assert_done(result);
        true
    }
}

/// # Safety
///
/// The condition is not in use.
unsafe fn make_condition(condition: *mut libc::pthread_cond_t) {
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: the attributes are made before they are used; the caller vouches for the condition.
    unsafe {
        assert_done(libc::pthread_condattr_init(attributes.as_mut_ptr()));
        let clock = libc::CLOCK_MONOTONIC;
        assert_done(libc::pthread_condattr_setclock(
            attributes.as_mut_ptr(),
            clock,
        ));
        assert_done(libc::pthread_cond_init(condition, attributes.as_ptr()));
    }
}

/// These calls only fail for what this module does not do, such as unlocking an unlocked mutex.
fn assert_done(result: c_int) {
    assert_eq!(result, 0, "a pthread call failed");
}

impl Deref for Guard {
    type Target = World;

    fn deref(&self) -> &World {
        // SAFETY: this thread has the lock as long as the guard lives.
        unsafe { &*MONITOR.world.get() }
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut World {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *MONITOR.world.get() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: this thread has locked the mutex.
        assert_done(unsafe { libc::pthread_mutex_unlock(MONITOR.mutex.get()) });
    }
}
