use portkeep_fleet_core::data::{FORMAT, Hold, Key, Name, Unknown, Value};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use tokio::time::sleep;

use crate::engine::{Engine, jitter};

/// As many seconds without its steward make a hold go.
const LEASE: u32 = 60;

/// Says on the engine that a grant is held, for as long as this runs. After an outage it says so again.
pub async fn keep(engine: Engine, id: Name, by: String) {
    loop {
        let made = async {
            let mut lease = engine.lease(LEASE).await?;
            let hold = Value::Hold(Hold {
                format: FORMAT,
                by: by.clone(),
                unknown: Unknown::new(),
            });
            let transaction = Transaction::default().put(Key::Hold(id.clone()), hold);
            let outcome = engine.transact_with(&transaction, &lease).await?;
            if outcome != Outcome::Unknown {
                lease.lost().await;
            }
            Ok::<_, crate::engine::EngineError>(())
        };
        let _ = made.await;
        sleep(jitter(std::time::Duration::from_secs(1))).await;
    }
}
