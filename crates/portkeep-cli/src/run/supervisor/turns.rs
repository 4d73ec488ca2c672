//! One call about a port after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Who makes calls about a port takes turns: the next one finds no copy of a socket of ours, for which the
/// port would be bound still when the command has closed its own, or has died of it.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<u16, Arc<Mutex<()>>>>);

impl Turns {
    /// Does something in turn.
    pub fn take<T>(&self, port: u16, act: impl FnOnce() -> T) -> T {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(port).or_default())
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        act()
    }
}
