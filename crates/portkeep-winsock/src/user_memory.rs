//! The caller's pointers, checked as Windows' kernel checks them: a bad one is `WSAEFAULT` and no
//! crash.
//!
//! The kernel is asked by `process_vm_readv(2)` and `process_vm_writev(2)` on the process itself,
//! which needs no privilege. Where a sandbox forbids one of them, a pointer that is not null is taken
//! for good as far as that one would have told.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use crate::code::Code;

/// The bytes checked at once: more than any structure here has.
const LIMIT: usize = 64;

#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

/// Whether the kernel was asked.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It has copied every byte.
    Copied,
    /// A sandbox forbids that; nothing was copied.
    Forbidden,
}

/// Copies between `local` and the memory at `remote` of this process.
fn transfer(way: Way, local: &mut [MaybeUninit<u8>], remote: *mut c_void) -> Result<Asked, Code> {
    if remote.is_null() {
        return Err(Code::FAULT);
    }
    let here = libc::iovec {
        iov_base: local.as_mut_ptr().cast(),
        iov_len: local.len(),
    };
    let there = libc::iovec {
        iov_base: remote,
        iov_len: local.len(),
    };
    // SAFETY: `here` describes `local`; the kernel checks `there`, whatever it is. With `Write`
    // the caller of this function has asked for these bytes to be written.
    let moved = unsafe {
        let process = libc::getpid();
        match way {
            Way::Read => {
                libc::process_vm_readv(process, &raw const here, 1, &raw const there, 1, 0)
            }
            Way::Write => {
                libc::process_vm_writev(process, &raw const here, 1, &raw const there, 1, 0)
            }
        }
    };
    match usize::try_from(moved) {
        Ok(moved) if moved == local.len() => Ok(Asked::Copied),
        // At the edge of what is mapped the call moves the part that is.
        Ok(_) => Err(Code::FAULT),
        Err(_) => match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EFAULT) => Err(Code::FAULT),
            _ => Ok(Asked::Forbidden),
        },
    }
}

/// Whether `length` bytes can be read there.
pub(crate) fn check_readable(pointer: *const c_void, length: usize) -> Result<(), Code> {
    let mut bytes = [MaybeUninit::uninit(); LIMIT];
    transfer(Way::Read, &mut bytes[..length], pointer.cast_mut()).map(drop)
}

/// Whether `length` bytes can be written there: what is there is written back.
pub(crate) fn check_writable(pointer: *mut c_void, length: usize) -> Result<(), Code> {
    let mut bytes = [MaybeUninit::uninit(); LIMIT];
    let bytes = &mut bytes[..length];
    match transfer(Way::Read, bytes, pointer)? {
        Asked::Copied => transfer(Way::Write, bytes, pointer).map(drop),
        // There is nothing to write back.
        Asked::Forbidden => Ok(()),
    }
}

/// Reads a value, wherever it lies.
pub(crate) fn read<T: Copy>(pointer: *const T) -> Result<T, Code> {
    check_readable(pointer.cast(), size_of::<T>())?;
    // SAFETY: the kernel has just read it; the callers' types are made of integers.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Writes a value, wherever it lies.
pub(crate) fn write<T: Copy>(pointer: *mut T, value: T) -> Result<(), Code> {
    let mut value = value;
    // SAFETY: the bytes of `value`, which is not used while they are borrowed.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut((&raw mut value).cast::<MaybeUninit<u8>>(), size_of::<T>())
    };
    let _ = transfer(Way::Write, bytes, pointer.cast())?;
    // Once more without the kernel: tools that watch memory see this write, and not the other.
    // SAFETY: the kernel has just written it.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}

/// Fills `bytes` from there.
pub(crate) fn read_bytes(pointer: *const c_void, bytes: &mut [u8]) -> Result<(), Code> {
    for (index, chunk) in bytes.chunks_mut(LIMIT).enumerate() {
        let from = pointer.wrapping_byte_add(index * LIMIT);
        check_readable(from, chunk.len())?;
        // SAFETY: the kernel has just read it.
        unsafe { std::ptr::copy(from.cast(), chunk.as_mut_ptr(), chunk.len()) };
    }
    Ok(())
}

/// Writes `bytes` there.
pub(crate) fn write_bytes(pointer: *mut c_void, bytes: &[u8]) -> Result<(), Code> {
    for (index, chunk) in bytes.chunks(LIMIT).enumerate() {
        let to = pointer.wrapping_byte_add(index * LIMIT);
        check_writable(to, chunk.len())?;
        // SAFETY: the kernel has just written there.
        unsafe { std::ptr::copy(chunk.as_ptr(), to.cast(), chunk.len()) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn good_pointers() {
        let mut bytes = [1_u8, 2, 3, 4, 5];
        // Unaligned.
        let inside = (&raw mut bytes[1]).cast::<u32>();
        assert_eq!(read(inside), Ok(u32::from_ne_bytes([2, 3, 4, 5])));
        assert_eq!(check_writable(inside.cast(), 4), Ok(()));
        assert_eq!(bytes, [1, 2, 3, 4, 5]);
        assert_eq!(write(inside, 0), Ok(()));
        assert_eq!(bytes, [1, 0, 0, 0, 0]);
    }

    #[test]
    fn bad_pointers() {
        for address in [0_usize, 8, usize::MAX - 3] {
            let pointer = ptr::without_provenance_mut::<u32>(address);
            assert_eq!(read(pointer), Err(Code::FAULT), "{address}");
            assert_eq!(write(pointer, 5), Err(Code::FAULT), "{address}");
            assert_eq!(check_writable(pointer.cast(), 4), Err(Code::FAULT));
        }
        static CONSTANT: u32 = 5;
        let constant = (&raw const CONSTANT).cast_mut();
        assert_eq!(read(constant), Ok(5));
        assert_eq!(write(constant, 6), Err(Code::FAULT));
        assert_eq!(check_writable(constant.cast(), 4), Err(Code::FAULT));
    }

    /// Makes these system calls fail with `EPERM` in this thread, for as long as it lives.
    fn forbid(calls: &[libc::c_long]) {
        let operation = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        let (load, equal, ret) = (
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::BPF_RET | libc::BPF_K,
        );
        let mut program = vec![operation(load, 0, 0, 0)];
        for &call in calls {
            program.push(operation(equal, 0, 1, call as u32));
            let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
            program.push(operation(ret, 0, 0, refuse));
        }
        program.push(operation(ret, 0, 0, libc::SECCOMP_RET_ALLOW));
        let filter = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: the filter is as long as it says and outlives the calls, which change this thread.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    0,
                    &raw const filter,
                ) != 0
        };
        assert!(!refused, "{}", std::io::Error::last_os_error());
    }

    /// Leaves bytes on the stack that nobody has a use for.
    #[inline(never)]
    fn litter() {
        std::hint::black_box([0xAA_u8; 16 * LIMIT]);
    }

    #[test]
    fn nothing_is_changed_where_a_sandbox_forbids_to_look() {
        let (readv, writev) = (libc::SYS_process_vm_readv, libc::SYS_process_vm_writev);
        for forbidden in [vec![readv], vec![writev], vec![readv, writev]] {
            let thread = std::thread::spawn(move || {
                forbid(&forbidden);
                let mut bytes: [u8; LIMIT] = std::array::from_fn(|index| index as u8);
                let before = bytes;
                let pointer = (&raw mut bytes).cast::<c_void>();
                for length in 1..=LIMIT {
                    litter();
                    assert_eq!(check_writable(pointer, length), Ok(()));
                    assert_eq!(check_readable(pointer, length), Ok(()));
                    assert_eq!(bytes, before, "{forbidden:?} {length}");
                }
                // What is read and written is the caller's all the same.
                let number = pointer.cast::<u32>();
                assert_eq!(read(number), Ok(u32::from_ne_bytes([0, 1, 2, 3])));
                assert_eq!(write(number, 0), Ok(()));
                assert_eq!(bytes[..5], [0, 0, 0, 0, 4]);
                assert_eq!(check_writable(ptr::null_mut(), 4), Err(Code::FAULT));
            });
            thread.join().expect("the thread");
        }
    }
}
