//! Runs beside and inside each other.

use std::collections::BTreeSet;

use portkeep_tests::{Protocol, Sandbox, enable};

use crate::common::kernel_part::{
    PROTOCOLS, assert_free, assert_kept, assert_nothing_reserved, reserved,
};
use crate::common::python::python;
use crate::common::{PORTKEEP, Running, done};
use crate::{run, run_python};

pub fn several_at_once_have_distinct_ports(sandbox: &Sandbox) {
    const RUNS: usize = 16;
    enable::enable(sandbox);
    let program = "say(*own('tcp'), *own('udp'))
say(attempts())
wait()";
    // All are started before the first is asked.
    let start = |_| Running::start(run_python(&["--tcp", "5", "--udp", "3"], program));
    let mut runs: Vec<_> = (0..RUNS).map(start).collect();
    let (mut tcp, mut udp) = (BTreeSet::new(), BTreeSet::new());
    for run in &mut runs {
        let line = run.line();
        let ports: Vec<u16> = line
            .split(' ')
            .map(|port| port.parse().expect("a port"))
            .collect();
        tcp.extend(&ports[..5]);
        udp.extend(&ports[5..]);
        let attempts = run.line();
        assert_eq!(attempts.matches(":bound").count(), 8, "{attempts}");
    }
    assert_eq!((tcp.len(), udp.len()), (RUNS * 5, RUNS * 3));
    assert_eq!(reserved(sandbox).len(), RUNS * 2);
    for (protocol, ports) in PROTOCOLS.into_iter().zip([&tcp, &udp]) {
        for port in ports {
            assert_kept(protocol, *port..=*port);
        }
    }
    for mut run in runs {
        run.go_on();
        assert_eq!(run.code(), 0);
    }
    assert_nothing_reserved(sandbox);
}

/// The outer command starts the inner run, and attempts the inner ports itself meanwhile.
pub fn an_inner_run_has_ports_of_its_own(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let inner = python(
        "say('inner', os.environ['PORT'], os.environ.get('PORTKEEP_TCP', 'none'), attempts())
wait()
sys.exit(7)",
    );
    let outer = python(
        "import subprocess
run = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
say(run.stdout.readline().strip())
say('outer', attempts(), attempt('udp', 30000))
wait()
run.stdin.close()
sys.exit(run.wait())",
    );
    let words: Vec<String> = outer
        .into_iter()
        .chain([PORTKEEP, "run", "--udp", "30000-30000", "--"].map(str::to_owned))
        .chain(inner)
        .collect();
    let mut running = Running::start(run(&["--tcp", "20000-20000"], &words));
    assert_eq!(running.line(), "inner 30000 none 30000/udp:bound");
    assert_eq!(running.line(), "outer 20000/tcp:bound EADDRINUSE");
    let both = [
        (Protocol::Tcp, 20000..=20000),
        (Protocol::Udp, 30000..=30000),
    ];
    assert_eq!(reserved(sandbox), both);
    running.go_on();
    assert_eq!(running.code(), 7);
    assert_nothing_reserved(sandbox);
    assert_free(Protocol::Udp, 30000..=30000);
}

pub fn an_inner_run_may_bind_the_outer_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let inner = python("say(attempt('tcp', 20000), attempts())");
    let words: Vec<String> = [PORTKEEP, "run", "--tcp", "20001-20001", "--"]
        .map(str::to_owned)
        .into_iter()
        .chain(inner)
        .collect();
    let text = done(&mut run(&["--tcp", "20000-20000"], &words));
    assert_eq!(text, "bound 20001/tcp:bound\n");
    assert_nothing_reserved(sandbox);
}
