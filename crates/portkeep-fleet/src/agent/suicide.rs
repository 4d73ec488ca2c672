//! For tests: the agent kills itself at a point, as `kill -9` at that instant.

use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use portkeep_fleet_core::points::Point;

/// Names the point, as `agent.create:before` or `agent.vote:after`.
const VARIABLE: &str = "PORTKEEP_FLEET_DIE";

/// Kills this process, if this is the point.
pub fn at(point: Option<Point>, when: &str) {
    let Some(point) = point else { return };
    if std::env::var(VARIABLE).is_ok_and(|wanted| wanted == format!("{point}:{when}")) {
        let _ = kill(getpid(), Signal::SIGKILL);
    }
}
