//! Starts of servers whose port somebody else has got in the meantime, by the way of getting the port.

use std::process::{Command, Stdio};

use portkeep_tests::{Sandbox, enable};

use crate::allocators::{self, ADDRESS};
use crate::page::{report, section};

const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/ratios/programs/collisions.py"
);
const SECONDS: &str = "9";
/// The package for Node.js.
const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/node/index.js");

/// The starts, and those that failed; `None` if somebody got no port.
fn trial(command: &mut Command, mode: &str, range: &str) -> Option<(u32, u32)> {
    command.args([PROGRAM, mode, SECONDS, range]);
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (starts, failed) = text.trim().split_once(' ')?;
    let numbers = (starts.parse().ok()?, failed.parse().ok()?);
    output.status.success().then_some(numbers)
}

fn row(what: &str, result: Option<(u32, u32)>, wanted: &str) {
    let measured = result.map_or_else(
        || "invalid: a port was not had".to_owned(),
        |(starts, failed)| format!("{failed} of {starts}"),
    );
    report(what, measured, wanted);
}

/// Sets the automatic range, and has it back when this is dropped.
struct Range(String);

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

impl Range {
    fn set(range: &str) -> Self {
        let before = std::fs::read_to_string(RANGE).expect("read the range");
        std::fs::write(RANGE, range.replace('-', " ")).expect("set the range");
        Self(before)
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        let _ = std::fs::write(RANGE, &self.0);
    }
}

pub fn measure(sandbox: &Sandbox) {
    enable::enable(sandbox);
    section(
        "Starts that failed: 64 workers, 50–250 ms from port to bind, strangers that connect and bind",
    );
    let python = || Command::new("python3");
    let portkeep = || Command::new(env!("CARGO_BIN_EXE_portkeep"));
    let narrow = "40000-42000";
    {
        let _range = Range::set(narrow);
        row(
            "pick a port, close it, bind later",
            trial(&mut python(), "pick", narrow),
            "",
        );
        match allocators::Server::start_with("40000-41999") {
            None => println!("portserver does not run; it is left out"),
            Some(_server) => {
                let mut command = Command::new(allocators::environment().join("bin/python"));
                command.env("PORTSERVER_ADDRESS", format!("@{ADDRESS}"));
                row(
                    "portpicker with portserver, its pool in the automatic range",
                    trial(&mut command, "portpicker", narrow),
                    "",
                );
            }
        }
        let mut kept = portkeep();
        kept.args(["run", "--serve", "python3"]);
        row(
            "`portkeep run --serve`, kernel part",
            trial(&mut kept, "server", narrow),
            "0",
        );
        if let Some(get_port) = allocators::get_port() {
            row(
                "get-port, in Node.js",
                trial(&mut python(), &get_port, narrow),
                "",
            );
        }
        let mut kept = portkeep();
        kept.args(["run", "--serve", "python3"]);
        row(
            "the package for Node.js under `portkeep run --serve`, kernel part",
            trial(&mut kept, OURS, narrow),
            "0",
        );
    }
    // The whole pool is automatic: the kernel part cannot keep it, and sockets do.
    let pool = "61000-65535";
    let _range = Range::set(pool);
    let mut held = portkeep();
    held.args(["run", "--serve=512", "python3"]);
    row(
        "`portkeep run --serve`, held by sockets, in the automatic range",
        trial(&mut held, "server", pool),
        "0",
    );
    row(
        "pick a port, close it, bind later, in the same range",
        trial(&mut python(), "pick", pool),
        "",
    );
}
