//! Waiting for another process.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a wait for another process of the test may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Something that happens in one process and is waited for in another: a pipe. Make it before
/// the fork; both processes then have it.
#[derive(Debug)]
pub struct Event {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Event {
    /// An event that has not happened.
    #[must_use]
    pub fn new() -> Self {
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        Self { reader, writer }
    }

    /// Lets one [`wait`](Self::wait) go on, now or when it comes.
    pub fn set(&self) {
        (&self.writer).write_all(&[1]).expect("write to the pipe");
    }

    /// Waits for one [`set`](Self::set). Panics after 30 seconds: the other process is lost.
    pub fn wait(&self) {
        let timeout = PollTimeout::try_from(PATIENCE).expect("a poll timeout");
        let mut fds = [PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, timeout).expect("poll the pipe");
        assert_ne!(
            ready, 0,
            "the other process did not set the event in {PATIENCE:?}"
        );
        (&self.reader)
            .read_exact(&mut [0])
            .expect("read from the pipe");
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}
