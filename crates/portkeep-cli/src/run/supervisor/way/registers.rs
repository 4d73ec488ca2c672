//! The registers of a stopped thread, and the calls it is made to make.

use nix::errno::Errno;

/// Of x86-64, the one processor whose threads are made to make calls.
#[derive(Debug, Clone, Copy)]
pub struct Registers(libc::user_regs_struct);

/// `ERESTARTSYS` of `include/linux/errno.h`: the call was broken off and will be made again.
const RESTART: i64 = -512;

impl Registers {
    pub fn get(thread: i32) -> Result<Self, Errno> {
        // SAFETY: integers.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes the registers, nothing else.
        Errno::result(unsafe {
            libc::ptrace(
                libc::PTRACE_GETREGS as _,
                thread,
                0_usize,
                &raw mut registers,
            )
        })?;
        Ok(Self(registers))
    }

    pub fn set(&self, thread: i32) -> Result<(), Errno> {
        // SAFETY: the kernel reads the registers.
        let result = unsafe {
            libc::ptrace(
                libc::PTRACE_SETREGS as _,
                thread,
                0_usize,
                &raw const self.0,
            )
        };
        Errno::result(result).map(drop)
    }

    /// Where the instruction is that entered the kernel, if it is this one.
    pub fn entry(&self) -> u64 {
        self.0.rip.wrapping_sub(Self::SYSCALL.len() as u64)
    }

    /// The instruction `syscall`.
    pub const SYSCALL: [u8; 2] = [0x0f, 0x05];

    /// So many bytes of the stack that nobody uses, at the multiple of 16: below the 128 bytes that
    /// functions use without a word ("The red zone" of the ABI), and no further than needed, for the stacks
    /// of goroutines end there soon.
    pub fn unused_stack(&self, length: u64) -> u64 {
        self.0.rsp.wrapping_sub(128 + length) & !15
    }

    /// With another result of the call that it returns from. None is made again.
    pub fn returning(mut self, result: i64) -> Self {
        self.0.rax = result.cast_unsigned();
        self.0.orig_rax = u64::MAX;
        self
    }

    /// Ahead of making the call once more.
    pub fn repeating(self, number: i64) -> Self {
        let was_broken_off = self.result() == RESTART;
        if was_broken_off {
            self
        } else {
            self.calling(number, None)
        }
    }

    /// Ahead of making a call, with its own arguments or these.
    pub fn calling(mut self, number: i64, arguments: Option<[u64; 3]>) -> Self {
        self.0.rip = self.entry();
        self.0.rax = number.cast_unsigned();
        self.0.orig_rax = u64::MAX;
        if let Some([one, two, three]) = arguments {
            (self.0.rdi, self.0.rsi, self.0.rdx) = (one, two, three);
        }
        self
    }

    /// What the call has returned.
    pub fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }
}
