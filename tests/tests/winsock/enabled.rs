//! Portkeep is enabled while a program holds ports.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use portkeep_tests::enable::enable;
use portkeep_tests::{Sandbox, reservations};

use crate::program::{assert_passed, command, compile, sources};

pub(crate) fn in_the_middle_of_a_programs_life(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = sandbox.state_dir().join("enabled");
    let source = sources().join("enabled.c");
    let flags = ["-g", "-Wall", "-Wextra", "-Werror", "-pthread"];
    assert_eq!(compile("gcc", &flags, &source, &program), "");
    let mut running = command(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run the program");
    let mut byte = [0];
    let told = running.stdout.as_mut().expect("its output").read(&mut byte);
    assert_eq!(told.expect("read"), 1);
    enable(sandbox);
    let input = running.stdin.as_mut().expect("its input");
    input.write_all(b"\n").expect("write");
    assert_passed("enabled", &running.wait_with_output().expect("wait"));
    assert_eq!(reservations::list(sandbox), []);
}
