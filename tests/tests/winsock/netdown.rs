//! A control call that fails with `ENETDOWN`: by a BPF program of somebody else's, for nothing in
//! Linux itself does that.

use portkeep_tests::foreign::{SETSOCKOPT, attach, fail};
use portkeep_tests::libc::ENETDOWN;
use portkeep_tests::raw::SOL_PORTKEEP;
use portkeep_tests::{Sandbox, enable, reservations};

use crate::program::passes;

pub(crate) fn is_told(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let program = fail(SOL_PORTKEEP, ENETDOWN);
    let _attached = attach(SETSOCKOPT, &program, &sandbox.inside_cgroup());
    passes(sandbox, "netdown");
    assert_eq!(reservations::list(sandbox), []);
}
