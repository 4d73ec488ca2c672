//! `WSAGetLastError`: each thread has a last error of its own.

use std::cell::Cell;
use std::ffi::c_int;

use crate::code::Code;

thread_local! {
    static LAST: Cell<c_int> = const { Cell::new(0) };
}

/// What most functions return on failure.
pub(crate) const SOCKET_ERROR: c_int = -1;

/// `WSAGetLastError`: the error code of the calling thread.
#[unsafe(no_mangle)]
pub extern "C" fn WSAGetLastError() -> c_int {
    LAST.get()
}

/// `GetLastError`: the same.
#[unsafe(no_mangle)]
pub extern "C" fn GetLastError() -> u32 {
    LAST.get().cast_unsigned()
}

/// `SetLastError`
#[unsafe(no_mangle)]
pub extern "C" fn SetLastError(error: u32) {
    LAST.set(error.cast_signed());
}

/// `WSASetLastError`
#[unsafe(no_mangle)]
pub extern "C" fn WSASetLastError(error: c_int) {
    LAST.set(error);
}

pub(crate) fn get() -> Code {
    Code(LAST.get())
}

pub(crate) fn set(code: Code) {
    LAST.set(code.0);
}

/// The value to return, or `SOCKET_ERROR` with the last error set. Success leaves that alone.
pub(crate) fn or_socket_error<T: From<i8>>(result: Result<T, Code>) -> T {
    result.unwrap_or_else(|code| {
        set(code);
        T::from(-1)
    })
}

/// `BOOL`: 1, or 0 with the last error set.
pub(crate) fn true_or_last_error(result: Result<(), Code>) -> c_int {
    match result {
        Ok(()) => 1,
        Err(code) => {
            set(code);
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_of_the_thread() {
        WSASetLastError(10022);
        let other = std::thread::spawn(|| WSAGetLastError())
            .join()
            .expect("a thread");
        assert_eq!((WSAGetLastError(), other), (10022, 0));
        let failed: c_int = or_socket_error(Err(Code::FAULT));
        assert_eq!((failed, WSAGetLastError()), (SOCKET_ERROR, 10014));
        let done: c_int = or_socket_error(Ok(7));
        assert_eq!((done, WSAGetLastError()), (7, 10014));
    }
}
