use std::time::Duration;

use portkeep_fleet_core::data::Name;
use tokio::time::sleep;

use crate::engine::{Engine, jitter};
use crate::operator::drive::hold_for;

/// As many seconds without its steward make a hold go.
const LEASE: u32 = 60;

/// Says on the engine that a grant is held, for as long as this runs. After an outage it says so again.
pub async fn keep(engine: Engine, id: Name, by: String) {
    loop {
        if let Ok(mut lease) = hold_for(&engine, &id, &by, LEASE).await {
            lease.lost().await;
        }
        sleep(jitter(Duration::from_secs(1))).await;
    }
}
