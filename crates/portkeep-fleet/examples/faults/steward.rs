//! The steward, which dies and starts again.

use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portkeep_fleet::testing::Network;

#[derive(Default)]
pub struct Steward(Option<Child>);

impl Steward {
    /// Starts it, perhaps to die at a point.
    pub fn start(&mut self, network: &Network, die: Option<&str>) {
        self.kill();
        let mut command = network.operator("root");
        command.args(["steward", "--grace=3"]).stdin(Stdio::null());
        command.stderr(Stdio::null());
        if let Some(point) = die {
            command.env("PORTKEEP_FLEET_DIE", point);
        }
        self.0 = Some(command.spawn().expect("a steward"));
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn is_dead(&mut self) -> bool {
        let child = self.0.as_mut();
        child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.0 {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        self.kill();
    }
}
