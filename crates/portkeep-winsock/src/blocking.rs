//! Blocking hooks, and calls that are made while the library is in the middle of one.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use crate::code::Code;
use crate::last_error;
use crate::user_memory;

/// `FARPROC` as a blocking hook has it: returns whether to call it again at once.
pub type Hook = unsafe extern "C" fn() -> c_int;

/// A function of the program that the library has called and that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    None,
    BlockingHook,
    CompletionRoutine,
}

thread_local! {
    static HOOK: Cell<Option<Hook>> = const { Cell::new(None) };
    static CALLBACK: Cell<Callback> = const { Cell::new(Callback::None) };
    static CANCELLED: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as inside a callback until it is dropped.
pub(crate) struct Inside(Callback);

pub(crate) fn enter(callback: Callback) -> Inside {
    Inside(CALLBACK.replace(callback))
}

impl Drop for Inside {
    fn drop(&mut self) {
        CALLBACK.set(self.0);
    }
}

/// Refuses calls on sockets inside a blocking hook. Completion routines may make them.
pub(crate) fn check_call() -> Result<(), Code> {
    match CALLBACK.get() {
        Callback::BlockingHook => Err(Code::INPROGRESS),
        _ => Ok(()),
    }
}

/// The code of a call that had nothing to do yet: on a socket that blocks its time has passed, as
/// `SO_RCVTIMEO` or `SO_SNDTIMEO` limits it.
pub(crate) fn timed_out(socket: c_int, flags: c_int, code: Code) -> Code {
    if !matches!(code, Code::WOULDBLOCK | Code::INPROGRESS) || flags & libc::MSG_DONTWAIT != 0 {
        return code;
    }
    // SAFETY: fcntl(2) takes no pointers for this.
    match unsafe { libc::fcntl(socket, libc::F_GETFL) } {
        flags if flags >= 0 && flags & libc::O_NONBLOCK == 0 => Code::TIMEDOUT,
        _ => code,
    }
}

/// Whether this thread has a blocking hook.
pub(crate) fn has_hook() -> bool {
    HOOK.get().is_some()
}

/// Calls the blocking hook, if there is one, as long as it says that it has more to do.
///
/// Fails with `WSAEINTR` if it cancelled the call.
pub(crate) fn run_hook() -> Result<(), Code> {
    let Some(hook) = HOOK.get() else {
        return Ok(());
    };
    let _inside = enter(Callback::BlockingHook);
    CANCELLED.set(false);
    // SAFETY: the program set the hook to be called during blocking calls.
    while unsafe { hook() } != 0 && !CANCELLED.get() {}
    if CANCELLED.replace(false) {
        return Err(Code::INTR);
    }
    Ok(())
}

/// `WSASetBlockingHook`: the function that blocking control calls of this thread call while they
/// wait; returns the previous one, null if there was none. A bad pointer is `WSAEFAULT`, and the
/// result null. A null pointer unhooks.
///
/// The hook is called at least once, before the operation is made, so that it can cancel it.
#[unsafe(no_mangle)]
pub extern "C" fn WSASetBlockingHook(hook: Option<Hook>) -> Option<Hook> {
    let readable = |hook: Hook| user_memory::check_readable(hook as *const c_void, 1);
    match check_call().and_then(|()| hook.map_or(Ok(()), readable)) {
        Ok(()) => HOOK.replace(hook),
        Err(code) => {
            last_error::set(code);
            None
        }
    }
}

/// `WSAUnhookBlockingHook`
#[unsafe(no_mangle)]
pub extern "C" fn WSAUnhookBlockingHook() -> c_int {
    HOOK.set(None);
    0
}

/// `WSAIsBlocking`: whether this thread is inside its blocking hook.
#[unsafe(no_mangle)]
pub extern "C" fn WSAIsBlocking() -> c_int {
    c_int::from(CALLBACK.get() == Callback::BlockingHook)
}

/// `WSACancelBlockingCall`: the blocking call whose hook this is fails with `WSAEINTR`, and nothing
/// is done. Outside a hook it is `WSAEINVAL`.
#[unsafe(no_mangle)]
pub extern "C" fn WSACancelBlockingCall() -> c_int {
    let result = match CALLBACK.get() {
        Callback::BlockingHook => {
            CANCELLED.set(true);
            Ok(0)
        }
        _ => Err(Code::INVAL),
    };
    last_error::or_socket_error(result)
}
