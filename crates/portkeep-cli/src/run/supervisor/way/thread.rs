//! A thread that is traced for a moment, ptrace(2).
//!
//! All of it is done by one thread of ours, for only the one that traces another may.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;

use crate::run::quiet::Quiet;
use crate::run::reaper;
use crate::run::supervisor::way::registers::Registers;

/// A thread that is traced and runs.
#[derive(Debug)]
pub struct Seized(i32, Quiet);

/// One that is stopped on its way out of a call. Whatever becomes of us, it goes on.
#[derive(Debug)]
pub struct Stopped {
    thread: Seized,
    /// As it is to go on.
    registers: Box<Registers>,
    /// Its own mask, while it has another.
    signals: Option<u64>,
    /// Its process's, if it is to be had.
    memory: Option<File>,
}

/// What the kernel calls a set of signals.
const SIGNALS_SIZE: usize = size_of::<u64>();
/// Where a thread stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Where it was interrupted, or with all of its process.
    Event,
    /// At the entry or the end of a call.
    Call,
    /// Ahead of a signal, or at another event, which has none.
    Other(i32),
}

impl At {
    /// Of what waitid(2) gives for it.
    fn of(status: i32) -> Self {
        const EVENT_STOP: i32 = 128;
        const CALL: i32 = libc::SIGTRAP | 0x80;
        match (status >> 8, status & 0xff) {
            (EVENT_STOP, _) => Self::Event,
            (0, CALL) => Self::Call,
            (0, signal) => Self::Other(signal),
            _ => Self::Other(0),
        }
    }
}

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
        let quiet = Quiet::begin();
        ptrace(request::SEIZE, thread, 0, options)?;
        Ok(Self(thread, quiet))
    }

    /// Has it stop at the end of the call that it makes, which `answer` lets end. The kernel looks for
    /// stops before signals, so that none comes in between.
    pub fn stop(self, answer: impl FnOnce()) -> Result<Stopped, Errno> {
        {
            let _alone = reaper::keep_out();
            ptrace(request::INTERRUPT, self.0, 0, 0)?;
            answer();
            self.wait(At::Event)?;
            self.take_news()?;
        }
        let path = format!("/proc/{}/mem", self.0);
        let memory = File::options().read(true).write(true).open(path).ok();
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
            signals: Some(signals),
            memory,
        })
    }

    /// Waits for a stop, and lets the thread go on from others: they are those of SIGSTOP, which
    /// nobody can block. Its death is left to the reaper, who may be its parent.
    fn wait(&self, at: At) -> Result<(), Errno> {
        loop {
            let signal = match self.next_stop()? {
                stop if stop == at => return Ok(()),
                At::Other(signal) => signal,
                At::Event | At::Call => 0,
            };
            self.resume(signal)?;
        }
    }

    /// Waits for a stop, which stays news until it is taken or the thread goes on.
    fn next_stop(&self) -> Result<At, Errno> {
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
        match info.si_code {
            // SAFETY: the news is of a child, so it has a status.
            libc::CLD_TRAPPED | libc::CLD_STOPPED => Ok(At::of(unsafe { info.si_status() })),
            _ => Err(Errno::ESRCH),
        }
    }

    /// Takes the news of the stop, lest the reaper take it for one of the command.
    fn take_news(&self) -> Result<(), Errno> {
        let mut status = 0;
        let options = libc::WNOHANG | libc::__WALL;
        // SAFETY: the kernel writes the status, nothing else.
        let waited = Errno::result(unsafe { libc::waitpid(self.0, &raw mut status, options) })?;
        match waited != 0 && libc::WIFSTOPPED(status) {
            true => Ok(()),
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
        let entry = self.registers.entry();
        let memory = self.memory.as_ref();
        let read = memory.is_some_and(|it| it.read_exact_at(&mut instruction, entry).is_ok());
        read && instruction == Registers::SYSCALL
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
        let memory = self.memory.as_ref().ok_or(Errno::EACCES)?;
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
        {
            let _alone = reaper::keep_out();
            for _ in 0..2 {
                thread.resume(0)?;
                thread.wait(At::Call)?;
            }
            thread.take_news()?;
        }
        let result = Registers::get(thread.0)?.result();
        // From here on it would return from its own call.
        self.registers.set(thread.0)?;
        Ok(result)
    }

    /// No more calls: its signals may come.
    pub fn settle(&mut self) -> Result<(), Errno> {
        let Some(signals) = self.signals.take() else {
            return Ok(());
        };
        let signals = &raw const signals as usize;
        ptrace(request::SETSIGMASK, self.thread.0, SIGNALS_SIZE, signals)
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
            let stopped = interrupted.and_then(|()| self.wait(At::Event));
            if stopped.is_ok() {
                let _ = detach();
            }
        }
    }
}
