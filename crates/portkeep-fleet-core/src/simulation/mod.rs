//! Simulated engines, machines and faults around the production state machines. The models walk through all
//! states of a small [`World`]; [`run`] plays a large one at random from a seed.

mod engine;
mod machine;
mod play;
mod random;
mod violation;
mod world;

pub use engine::Engine;
pub use machine::Machine;
pub use play::{Played, Settings, run};
pub use random::Random;
pub use violation::Violation;
pub use world::{Answered, World};
