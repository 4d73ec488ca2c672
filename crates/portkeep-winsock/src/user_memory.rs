//! The caller's pointers, checked as Windows' kernel checks them: a bad one is `WSAEFAULT` and no
//! crash.
//!
//! The kernel is asked by `process_vm_readv(2)` on the process itself, which needs no privilege.
//! Where a sandbox forbids that call, a pointer that is not null is taken for good.

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

/// Copies between `local` and the memory at `remote` of this process.
fn transfer(way: Way, local: &mut [MaybeUninit<u8>], remote: *mut c_void) -> Result<(), Code> {
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
        Ok(moved) if moved == local.len() => Ok(()),
        // At the edge of what is mapped the call moves the part that is.
        Ok(_) => Err(Code::FAULT),
        Err(_) => match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EFAULT) => Err(Code::FAULT),
            _ => Ok(()),
        },
    }
}

/// Whether `length` bytes can be read there.
pub(crate) fn check_readable(pointer: *const c_void, length: usize) -> Result<(), Code> {
    let mut bytes = [MaybeUninit::uninit(); LIMIT];
    transfer(Way::Read, &mut bytes[..length], pointer.cast_mut())
}

/// Whether `length` bytes can be written there: what is there is written back.
pub(crate) fn check_writable(pointer: *mut c_void, length: usize) -> Result<(), Code> {
    let mut bytes = [MaybeUninit::uninit(); LIMIT];
    let bytes = &mut bytes[..length];
    transfer(Way::Read, bytes, pointer)?;
    transfer(Way::Write, bytes, pointer)
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
    transfer(Way::Write, bytes, pointer.cast())?;
    // Once more without the kernel: tools that watch memory see this write, and not the other.
    // SAFETY: the kernel has just written it.
    unsafe { pointer.write_unaligned(value) };
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
}
