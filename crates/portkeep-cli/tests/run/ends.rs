//! How a run with ports ends.

use nix::sys::signal::Signal;
use portkeep_tests::{Protocol, Sandbox, enable};

use crate::common::kernel_part::{assert_free, assert_kept, assert_nothing_reserved};
use crate::common::{Running, outcome};
use crate::{run_python, run_shell};

const UDP: [&str; 2] = ["--udp", "20000-20001"];

pub fn the_exit_status_is_the_commands(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -SEGV $$", 128 + 11),
    ] {
        let outcome = outcome(&mut run_shell(
            &UDP,
            &format!("echo out; echo err >&2; {script}"),
        ));
        assert_eq!(outcome.code, Some(code), "{script}: {outcome:?}");
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert_nothing_reserved(sandbox);
    }
}

pub fn a_terminated_command_frees_its_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        let mut running = Running::start(run_python(&UDP, "say('ready')\nsignal.pause()"));
        assert_eq!(running.line(), "ready");
        assert_kept(Protocol::Udp, 20000..=20001);
        running.signal(signal);
        assert_eq!(running.code(), 128 + signal as i32);
        assert_nothing_reserved(sandbox);
        assert_free(Protocol::Udp, 20000..=20001);
    }
}

pub fn a_command_that_handles_the_signal_keeps_them_meanwhile(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let mut running = Running::start(run_python(
        &UDP,
        "signal.signal(signal.SIGTERM, lambda *_: say('handled', attempts()))
say('ready')
wait()
sys.exit(5)",
    ));
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.line(), "handled 20000/udp:bound 20001/udp:bound");
    assert_kept(Protocol::Udp, 20000..=20001);
    running.go_on();
    assert_eq!(running.code(), 5);
    assert_nothing_reserved(sandbox);
}
