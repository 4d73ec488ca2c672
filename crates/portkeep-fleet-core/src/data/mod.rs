//! What the engine holds: keys, and values in JSON with a format number.

mod decode;
mod fleet;
mod key;
mod name;
mod ports;
mod question;
mod record;
mod report;
mod want;

pub use decode::{DecodeError, MAX_VALUE, Value};
pub use fleet::{Config, Spec};
pub use key::{Key, Kind, ParseKeyError};
pub use name::{Name, ParseNameError};
pub use ports::{ParsePortsError, Ports};
pub use question::{Ask, Question, Reply};
pub use record::{Members, Mode, Phase, Record, Selector};
pub use report::{Alive, Boot, Have, Hold, MAX_OBSTACLES, Obstacle, Removed, Report};
pub use want::{Want, WantState};

/// The format of the values that this version writes. It reads this one and earlier ones.
pub const FORMAT: u32 = 1;

/// Fields that this version does not know. It writes them back as they were.
pub type Unknown = std::collections::BTreeMap<String, serde_json::Value>;
