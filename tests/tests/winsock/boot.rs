//! Persistent reservations outlive a boot: the kernel part goes, comes again and is restored.

use portkeep_tests::enable::{enable, installation};
use portkeep_tests::{Sandbox, reservations};

use crate::program::{COMPILERS, assert_passed, command, compile, output, sources};

#[track_caller]
fn boot(sandbox: &Sandbox) {
    portkeep_admin::remove(&installation(sandbox)).expect("remove the kernel part");
    enable(sandbox);
    let keeper = installation(sandbox).keeper();
    let report = keeper.restore(None).expect("restore the reservations");
    assert!(report.failures.is_empty(), "{report:?}");
}

/// The program finds the sandbox's store in the environment, as the command does.
pub(crate) fn reservations_come_back(sandbox: &Sandbox) {
    enable(sandbox);
    let program = sandbox.state_dir().join("boot");
    let source = sources().join("boot.c");
    for compiler in COMPILERS {
        let flags = ["-Wall", "-Wextra", "-Werror", "-pthread"];
        assert_eq!(compile(compiler, &flags, &source, &program), "");
        assert_passed("before", &output(command(&program).arg("before")));
        boot(sandbox);
        assert_passed("after", &output(command(&program).arg("after")));
        boot(sandbox);
        assert_eq!(reservations::list(sandbox), []);
    }
}
