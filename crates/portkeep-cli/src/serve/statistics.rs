//! What the server counts.

use std::fmt;

/// The lines that SIGUSR1 prints, with the names that portserver gives them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Statistics {
    pub errors: u64,
    pub denied: u64,
    pub managed: usize,
    pub checked: u64,
    pub total: u64,
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "client-request-errors {}", self.errors)?;
        writeln!(f, "denied-allocations {}", self.denied)?;
        writeln!(f, "num-ports-managed {}", self.managed)?;
        writeln!(f, "num-ports-checked-for-last-request {}", self.checked)?;
        writeln!(f, "total-allocations {}", self.total)
    }
}
