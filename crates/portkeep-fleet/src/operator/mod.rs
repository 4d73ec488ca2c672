//! What operators' commands are made of: the fleet as they see it, questions to nodes, and the driver of
//! [`Coordinator`](portkeep_fleet_core::coordinator::Coordinator).

pub mod ask;
pub mod choice;
pub mod drive;
pub mod fleet;
pub mod leftovers;
pub mod policy;
pub mod report;
pub mod reserve;
pub mod rollout;
pub mod said;
pub mod standing;
pub mod waves;
