//! Programs after the patterns of real ones, with the kernel part and without. (Clients that
//! associate and never bind are in `implicit`, persistent reservations in `persistent`.)

use portkeep_tests::enable::enable;
use portkeep_tests::{Sandbox, reservations};

use crate::program::{assert_passed, command, compile, output, passes, passes_with, sources};

/// A port, a socket for each processor, receives on a completion port.
pub(crate) fn quic(sandbox: &Sandbox) {
    passes_with(sandbox, "quic", &["held"]);
    enable(sandbox);
    passes(sandbox, "quic");
    assert_eq!(reservations::list(sandbox), []);
}

/// `FIONBIO` by `WSAIoctl` beside the control codes of reservations.
pub(crate) fn sampler(sandbox: &Sandbox) {
    passes(sandbox, "sampler");
    enable(sandbox);
    passes(sandbox, "sampler");
    assert_eq!(reservations::list(sandbox), []);
}

/// A server in C++ with a wide main.
pub(crate) fn server(sandbox: &Sandbox) {
    serves(sandbox);
    enable(sandbox);
    serves(sandbox);
    assert_eq!(reservations::list(sandbox), []);
}

#[track_caller]
fn serves(sandbox: &Sandbox) {
    let program = sandbox.state_dir().join("server");
    let source = sources().join("server.cpp");
    let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];
    let flags = [&flags[..], &["-std=c++17", "-DUNICODE", "-D_UNICODE"]].concat();
    for compiler in ["g++", "clang++"] {
        assert_eq!(compile(compiler, &flags, &source, &program), "");
        let mut command = command(&program);
        command.args(["3", "é"]).env("LC_ALL", "C.UTF-8");
        let said = output(&mut command);
        assert_passed(compiler, &said);
        assert_eq!(String::from_utf8_lossy(&said.stdout), "é: 3 ports\n");
    }
}
