//! Calls that somebody else can keep waiting for ever.

use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, fork};

/// Somebody has kept us waiting: whoever does it once does it with a thousand processes.
static GAVE_UP: AtomicBool = AtomicBool::new(false);

/// What `call` gives, made by a child process; the first 4096 bytes, which a pipe has room for. `None`
/// if that takes longer than `patience`, and from then on.
pub fn in_child(patience: Duration, call: impl FnOnce() -> Vec<u8>) -> Option<Vec<u8>> {
    if GAVE_UP.load(Ordering::Relaxed) {
        return None;
    }
    let (mut reader, mut writer) = pipe().ok()?;
    // SAFETY: the command has one thread, so that the child may do what this process may.
    let child = match unsafe { fork() }.ok()? {
        ForkResult::Child => {
            drop(reader);
            let bytes = call();
            let _ = writer.write_all(&bytes[..bytes.len().min(4096)]);
            // SAFETY: it ends the process, and runs nothing of this one's.
            unsafe { libc::_exit(0) };
        }
        ForkResult::Parent { child } => child,
    };
    drop(writer);
    let is_done = wait(&reader, patience);
    let mut bytes = Vec::new();
    if is_done {
        reader.read_to_end(&mut bytes).ok()?;
    } else {
        GAVE_UP.store(true, Ordering::Relaxed);
        let _ = kill(child, Signal::SIGKILL);
    }
    // Of a child that cannot be killed nobody waits for the end.
    let _ = waitpid(child, (!is_done).then_some(WaitPidFlag::WNOHANG));
    is_done.then_some(bytes)
}

/// Whether the other end has written, or gone, in time. A child writes once.
fn wait(reader: &std::io::PipeReader, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut inputs = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        match poll(
            &mut inputs,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO),
        ) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_kept_waiting_once_does_not_wait_again() {
        let long = Duration::from_secs(600);
        assert_eq!(in_child(long, || b"done".to_vec()), Some(b"done".to_vec()));
        assert_eq!(in_child(long, Vec::new), Some(Vec::new()));
        let much = in_child(long, || vec![7; 1 << 20]);
        assert_eq!(much, Some(vec![7; 4096]));
        let never = || loop {
            nix::unistd::pause();
        };
        assert_eq!(in_child(Duration::from_millis(1), never), None);
        assert_eq!(in_child(long, never), None);
        assert_eq!(in_child(long, || b"done".to_vec()), None);
    }
}
