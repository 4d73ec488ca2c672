//! The port server beside portserver, with clients in C, over the same protocol.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use portkeep_tests::{Sandbox, enable};

use crate::allocators::{self, ADDRESS};
use crate::page::{report, section};
use crate::paired::rounds;

/// Ports that each client asks for in one round.
const EACH: [(u32, u32); 2] = [(1, 200), (8, 50)];

fn build_client() -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ask");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ratios/programs/ask.c");
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    assert!(status.expect("run cc").success(), "cc failed");
    program
}

/// Our server, at an abstract address.
struct Ours(Child);

impl Ours {
    fn start(address: &'static str, mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().expect("start the server"));
        while allocators::ask_at(address).is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long the clients took, and how many ports they got.
fn ask(client: &Path, address: &str, (clients, each): (u32, u32)) -> (Duration, u32) {
    let output = Command::new(client)
        .args([format!("@{address}"), clients.to_string(), each.to_string()])
        .process_group(0)
        .output()
        .expect("run the clients");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace();
    let mut next = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    (Duration::from_nanos(next()), next() as u32)
}

pub fn measure(sandbox: &Sandbox) {
    enable::enable(sandbox);
    section("Port servers: ports a second, each over a new connection, clients in C");
    let Some(_portserver) = allocators::Server::start() else {
        println!("portserver does not run; it is left out");
        return;
    };
    let client = build_client();
    let mut kept = Command::new(env!("CARGO_BIN_EXE_portkeep"));
    kept.args(["serve", "--address", "@bench-kept"]);
    let _kept = Ours::start("bench-kept", kept);
    for (load, aim) in EACH.into_iter().zip(["10", "8"]) {
        let mut missing = 0;
        let addresses = [ADDRESS, "bench-kept"];
        let times = rounds::<2>(30, |lane| {
            let (time, got) = ask(&client, addresses[lane], load);
            missing += load.0 * load.1 - got;
            time
        });
        let rate = |lane| f64::from(load.0 * load.1) / times.median(lane).as_secs_f64();
        let plural = if load.0 == 1 { "" } else { "s" };
        let what = |name| format!("{name}, {} client{plural}", load.0);
        report(&what("portserver"), format!("{:.0}", rate(0)), "");
        let ours = what("`portkeep serve` with the kernel part");
        report(&ours, format!("{:.0}", rate(1)), "");
        let times_faster = times.ratio(0, 1).to_string();
        report(
            "… times portserver's",
            times_faster,
            &format!("at least {aim}"),
        );
        if missing > 0 {
            report("… requests that got no port", missing.to_string(), "0");
        }
    }
}
