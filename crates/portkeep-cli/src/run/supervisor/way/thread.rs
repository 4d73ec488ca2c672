//! A thread that is traced for a moment, ptrace(2).
//!
//! All of it is done by one thread of ours, for only the one that traces another may.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;

use crate::run::reaper;
use crate::run::supervisor::way::registers::Registers;

/// A thread that is traced and runs.
#[derive(Debug)]
pub struct Seized(i32);

/// One that is stopped on its way out of a call. Whatever becomes of us, it goes on.
#[derive(Debug)]
pub struct Stopped {
    thread: Seized,
    /// As it is to go on.
    registers: Box<Registers>,
    signals: u64,
}

/// What the kernel calls a set of signals.
const SIGNALS_SIZE: usize = size_of::<u64>();
/// `PTRACE_EVENT_STOP`, in the status.
const EVENT_STOP: i32 = 128;
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// Of `linux/ptrace.h`; C libraries disagree on their type.
mod request {
    pub const SYSCALL: u32 = 24;
    pub const DETACH: u32 = 17;
    pub const SEIZE: u32 = 0x4206;
    pub const INTERRUPT: u32 = 0x4207;
    pub const GETSIGMASK: u32 = 0x420a;
    pub const SETSIGMASK: u32 = 0x420b;
}

fn ptrace(request: u32, thread: i32, address: usize, data: usize) -> Result<(), Errno> {
    // SAFETY: the requests given here take numbers, or a set of signals that outlives the call.
    Errno::result(unsafe { libc::ptrace(request as _, thread, address, data) }).map(drop)
}

impl Seized {
    /// Fails if a debugger has it, or where it is forbidden.
    pub fn new(thread: i32) -> Result<Self, Errno> {
        let options = libc::PTRACE_O_TRACESYSGOOD as usize;
        ptrace(request::SEIZE, thread, 0, options)?;
        Ok(Self(thread))
    }

    /// Has it stop at the end of the call that it makes, which `answer` lets end. The kernel looks for
    /// stops before signals, so that none comes in between.
    pub fn stop(self, answer: impl FnOnce()) -> Result<Stopped, Errno> {
        {
            let _alone = reaper::keep_out();
            ptrace(request::INTERRUPT, self.0, 0, 0)?;
            answer();
            self.wait(|status| status >> 16 == EVENT_STOP)?;
        }
        let mut signals = 0_u64;
        let set = |request, signals: &mut u64| {
            let address = std::ptr::from_mut(signals) as usize;
            ptrace(request, self.0, SIGNALS_SIZE, address)
        };
        set(request::GETSIGMASK, &mut signals)?;
        let registers = Box::new(Registers::get(self.0)?);
        set(request::SETSIGMASK, &mut { u64::MAX })?;
        Ok(Stopped {
            thread: self,
            registers,
            signals,
        })
    }

    /// Waits for a stop, and lets the thread go on from others: they are those of SIGSTOP, which
    /// nobody can block. Its death is left to the reaper, who may be its parent.
    fn wait(&self, is_it: impl Fn(i32) -> bool) -> Result<(), Errno> {
        loop {
            let status = self.next_stop()?;
            if is_it(status) {
                return Ok(());
            }
            let signal = match status >> 16 {
                0 => libc::WSTOPSIG(status),
                _ => 0,
            };
            self.resume(signal)?;
        }
    }

    fn next_stop(&self) -> Result<i32, Errno> {
        // SAFETY: integers and pointers that nobody follows.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        let id = self.0.cast_unsigned();
        // SAFETY: the kernel writes the information, nothing else.
        while unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) } < 0 {
            if Errno::last() != Errno::EINTR {
                return Err(Errno::last());
            }
        }
        if !matches!(info.si_code, libc::CLD_TRAPPED | libc::CLD_STOPPED) {
            return Err(Errno::ESRCH);
        }
        let mut status = 0;
        let options = libc::WNOHANG | libc::__WALL;
        // SAFETY: the kernel writes the status, nothing else.
        let waited = Errno::result(unsafe { libc::waitpid(self.0, &raw mut status, options) })?;
        match waited != 0 && libc::WIFSTOPPED(status) {
            true => Ok(status),
            false => Err(Errno::ESRCH),
        }
    }

    /// Lets it run to the next stop, with a signal.
    fn resume(&self, signal: i32) -> Result<(), Errno> {
        ptrace(request::SYSCALL, self.0, 0, signal as usize)
    }
}

impl Stopped {
    /// Whether it can be made to make calls: it came by the instruction that this processor has for it.
    pub fn can_call(&self) -> bool {
        let mut instruction = [0; Registers::SYSCALL.len()];
        let memory = self.memory(false);
        let read = memory
            .and_then(|memory| memory.read_exact_at(&mut instruction, self.registers.entry()));
        read.is_ok() && instruction == Registers::SYSCALL
    }

    /// Has it make a call, with these bytes on its stack while it does. The arguments are given where
    /// the bytes are.
    pub fn call_with(
        &self,
        number: i64,
        bytes: impl FnOnce(u64) -> Vec<u8>,
        arguments: impl FnOnce(u64) -> [u64; 3],
        length: usize,
    ) -> Result<i64, Errno> {
        let error =
            |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        let base = self.registers.unused_stack(length as u64);
        let bytes = bytes(base);
        let memory = self.memory(true).map_err(error)?;
        let mut before = vec![0; bytes.len()];
        memory.read_exact_at(&mut before, base).map_err(error)?;
        memory.write_all_at(&bytes, base).map_err(error)?;
        let result = self.call(number, arguments(base));
        memory.write_all_at(&before, base).map_err(error)?;
        result
    }

    /// Has it make a call.
    pub fn call(&self, number: i64, arguments: [u64; 3]) -> Result<i64, Errno> {
        let thread = &self.thread;
        self.registers
            .calling(number, Some(arguments))
            .set(thread.0)?;
        // It stops at the entry and at the end.
        for _ in 0..2 {
            let _alone = reaper::keep_out();
            thread.resume(0)?;
            thread.wait(|status| status >> 16 == 0 && libc::WSTOPSIG(status) == SYSCALL_STOP)?;
        }
        let result = Registers::get(thread.0)?.result();
        // From here on it would return from its own call.
        self.registers.set(thread.0)?;
        Ok(result)
    }

    /// No more calls: its signals may come.
    pub fn settle(&self) -> Result<(), Errno> {
        let signals = &raw const self.signals as usize;
        ptrace(request::SETSIGMASK, self.thread.0, SIGNALS_SIZE, signals)
    }

    fn memory(&self, write: bool) -> std::io::Result<File> {
        let path = format!("/proc/{}/mem", self.thread.0);
        File::options().read(true).write(write).open(path)
    }

    /// Lets it go on, with this as the result of its call.
    pub fn finish(mut self, result: i64) {
        *self.registers = self.registers.returning(result);
    }

    /// Lets it make its call once more.
    pub fn repeat(mut self, number: i64) {
        *self.registers = self.registers.repeating(number);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It fails only if the thread is dead.
        let _ = self.registers.set(self.thread.0);
        let _ = self.settle();
    }
}

impl Drop for Seized {
    fn drop(&mut self) {
        // A thread that is stopped is let go. Another one must be stopped for it.
        let detach = || ptrace(request::DETACH, self.0, 0, 0);
        if detach().is_err() {
            let _alone = reaper::keep_out();
            let interrupted = ptrace(request::INTERRUPT, self.0, 0, 0);
            let stopped = interrupted.and_then(|()| self.wait(|status| status >> 16 == EVENT_STOP));
            if stopped.is_ok() {
                let _ = detach();
            }
        }
    }
}
