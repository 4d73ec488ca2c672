//! A job on eight nodes gets one UDP port, the same on all of them, and binds it after a tenth of a second: by a formula,
//! by asking one node's kernel, and by the fleet. Strangers bind at random meanwhile.

use std::thread;
use std::time::Duration;

use portkeep_fleet::testing::{Network, Probe};

use crate::report;

const JOBS: u16 = 30;
const PORTS: (u16, u16) = (50000, 50999);
const OWNER: u32 = 4001;
const STRANGER: u32 = 65534;

pub fn measure(network: &mut Network) {
    let machines = network.machines.iter();
    let strangers: Vec<Probe> = machines
        .map(|machine| Probe::crowd(machine, STRANGER, PORTS))
        .collect();
    let ports = || (0..JOBS).map(|job| PORTS.0 + job * 37 % 1000);
    let formula = ports().filter(|port| !starts(network, *port)).count();
    let broadcast = ports().filter(|port| {
        // The first that the head node's kernel has free from there on.
        let head = &network.machines[0];
        let mut free = (*port..).filter(|port| Probe::hold(head, OWNER, *port).is_ok());
        let port = free.next().expect("a free port");
        thread::sleep(Duration::from_millis(100));
        !starts(network, port)
    });
    let broadcast = broadcast.count();
    let mut retried = 0;
    let fleet = ports().filter(|port| {
        let port = (*port..).find(|port| reserve(network, *port, &mut retried));
        thread::sleep(Duration::from_millis(100));
        let failed = !starts(network, port.expect("a port"));
        crate::done(network.operator("root").args(["unreserve", "job"]));
        failed
    });
    let fleet = fleet.count();
    drop(strangers);
    let of = |failed: usize| format!("{failed} of {JOBS}");
    report(
        "starts on 8 nodes that failed: `BASE + job_id % n`",
        &of(formula),
        "",
    );
    report(
        "… one node picks a free port and tells the others",
        &of(broadcast),
        "",
    );
    let what = format!("… the fleet, which chose another port {retried} times before it said yes");
    report(&what, &of(fleet), "0");
}

fn reserve(network: &Network, port: u16, retried: &mut u32) -> bool {
    let port = format!("{port}/udp");
    let mut command = network.operator("root");
    command.args(["reserve", "job", &port, "--on=all", "--user=4001"]);
    let status = command.output().expect("reserve").status;
    *retried += u32::from(!status.success());
    status.success()
}

/// All of the job's processes bind.
fn starts(network: &Network, port: u16) -> bool {
    let machines = network.machines.iter();
    let bound: Vec<_> = machines
        .map(|machine| Probe::hold(machine, OWNER, port))
        .collect();
    bound.iter().all(Result::is_ok)
}
