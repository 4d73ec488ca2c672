//! The points of the protocol at which a test kills an agent or a command:
//! `PORTKEEP_FLEET_DIE=coordinator.commit:after`.

use portkeep_fleet_core::points::Point;

/// When the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the effect.
    Before,
    /// After the effect, before its outcome is known.
    After,
}

/// Dies here, if a test says so. In other builds, nothing can say so.
pub fn pass(point: impl Into<Option<Point>>, when: When) {
    #[cfg(feature = "testing")]
    if let Some(point) = point.into()
        && let Ok(wanted) = std::env::var("PORTKEEP_FLEET_DIE")
    {
        let word = match when {
            When::Before => "before",
            When::After => "after",
        };
        if wanted == format!("{point}:{word}") {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }
    #[cfg(not(feature = "testing"))]
    let _ = (point, when);
}
