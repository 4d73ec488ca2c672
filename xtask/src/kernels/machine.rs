//! An emulated machine, whose serial console is this program's output.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// What init.sh writes last, followed by the exit status.
const END: &str = "portkeep-kernels: exit status ";

/// A machine that writes nothing for so long hangs: init.sh lets a trial take ten minutes, some more.
const SILENCE: Duration = Duration::from_secs(45 * 60);

/// Boots and waits for the end; fails unless init.sh tells that everything passed.
///
/// With one processor: with several, QEMU's threads race with the kernel's changes of its own code, and
/// one boot in twelve panicked.
pub fn run(kernel: &Path, initramfs: &Path) -> Result<()> {
    let mut child = spawn(kernel, initramfs)?;
    let lines = lines(child.stdout.take().context("no output")?);
    let outcome = follow(&lines);
    // It powers off by itself, unless something is wrong.
    if outcome.is_err() {
        let _ = child.kill();
    }
    child.wait().context("waiting for the machine")?;
    match outcome? {
        Some(0) => Ok(()),
        Some(_) => bail!("FAILED"),
        None => bail!("FAILED: the machine stopped before the tests were over"),
    }
}

fn spawn(kernel: &Path, initramfs: &Path) -> Result<Child> {
    let mut command = Command::new("qemu-system-x86_64");
    command
        // Emulated even where /dev/kvm exists: it hangs on some virtual machines.
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        // Beside a busy machine, the kernel's check of the timer fails, and it panics.
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let die_with_parent = || Ok(prctl::set_pdeathsig(Signal::SIGKILL)?);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(die_with_parent) };
    command.spawn().context("running qemu-system-x86_64")
}

/// The lines as they come.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Shows the lines; gives the exit status that the last ones tell, if they do.
fn follow(lines: &Receiver<String>) -> Result<Option<i32>> {
    let mut status = None;
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => match line.strip_prefix(END) {
                Some(number) => status = number.parse().ok(),
                None => println!("{line}"),
            },
            Err(RecvTimeoutError::Disconnected) => return Ok(status),
            Err(RecvTimeoutError::Timeout) => {
                bail!("FAILED: nothing from the machine in {SILENCE:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{follow, lines};

    #[test]
    fn the_mark_tells_the_status() {
        let status = |text: &'static str| follow(&lines(text.as_bytes())).expect("no silence");
        assert_eq!(status("x\r\nportkeep-kernels: exit status 3\r\n"), Some(3));
        assert_eq!(status("portkeep-kernels: exit status 0\r\noff\n"), Some(0));
        assert_eq!(status("portkeep-kernels: exit status \r\n"), None);
        assert_eq!(status("Kernel panic\n"), None);
    }
}
