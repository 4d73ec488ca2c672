use std::fmt;

use serde::Deserialize;

use super::{
    Alive, Config, FORMAT, Have, Hold, Key, Name, Question, Record, Removed, Reply, Spec, Want,
};

/// Values are at most this long. etcd takes 1.5 MiB a request.
pub const MAX_VALUE: usize = 1024 * 1024;

/// A value of any key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Of [`Key::Config`]
    Config(Config),
    /// Of [`Key::Spec`]
    Spec(Spec),
    /// Of [`Key::Alive`]
    Alive(Alive),
    /// Of [`Key::Want`]
    Want(Want),
    /// Of [`Key::Have`]
    Have(Have),
    /// Of [`Key::Policy`] and [`Key::Grant`]
    Record(Box<Record>),
    /// Of [`Key::Members`]
    Members(Vec<Name>),
    /// Of [`Key::Question`]
    Question(Question),
    /// Of [`Key::Reply`]
    Reply(Box<Reply>),
    /// Of [`Key::Hold`]
    Hold(Hold),
    /// Of [`Key::Removed`]
    Removed(Removed),
}

/// A value that cannot be acted on. Whoever reads it does nothing about that key; in particular, it is no
/// evidence that anything may be released.
#[derive(Debug)]
pub enum DecodeError {
    /// It is longer than [`MAX_VALUE`].
    TooLong,
    /// A later version wrote it, in this format.
    Format(u64),
    /// It is not what this key holds.
    Json(serde_json::Error),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooLong => write!(f, "a value is longer than {MAX_VALUE} bytes"),
            DecodeError::Format(format) => write!(
                f,
                "a value has format {format}, this version knows {FORMAT}. Hint: update Portkeep"
            ),
            DecodeError::Json(error) => write!(f, "a value is damaged: {error}"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DecodeError::Json(error) => Some(error),
            DecodeError::TooLong | DecodeError::Format(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Head {
    format: u64,
}

impl Value {
    /// Reads what the engine holds under `key`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; never a panic, whatever the bytes are.
    pub fn decode(key: &Key, bytes: &[u8]) -> Result<Value, DecodeError> {
        if bytes.len() > MAX_VALUE {
            return Err(DecodeError::TooLong);
        }
        if !matches!(key, Key::Members(..)) {
            let head: Head = parse(bytes)?;
            if head.format == 0 || head.format > u64::from(FORMAT) {
                return Err(DecodeError::Format(head.format));
            }
        }
        Ok(match key {
            Key::Config => Value::Config(parse(bytes)?),
            Key::Spec(_) => Value::Spec(parse(bytes)?),
            Key::Alive(_) => Value::Alive(parse(bytes)?),
            Key::Want(..) => Value::Want(parse(bytes)?),
            Key::Have(..) => Value::Have(parse(bytes)?),
            Key::Policy(_) | Key::Grant(_) => Value::Record(parse(bytes)?),
            Key::Members(..) => Value::Members(parse(bytes)?),
            Key::Question(..) => Value::Question(parse(bytes)?),
            Key::Reply(..) => Value::Reply(parse(bytes)?),
            Key::Hold(_) => Value::Hold(parse(bytes)?),
            Key::Removed(_) => Value::Removed(parse(bytes)?),
        })
    }

    /// What the engine is to hold.
    pub fn encode(&self) -> Vec<u8> {
        let bytes = match self {
            Value::Config(config) => serde_json::to_vec(config),
            Value::Spec(spec) => serde_json::to_vec(spec),
            Value::Alive(alive) => serde_json::to_vec(alive),
            Value::Want(want) => serde_json::to_vec(want),
            Value::Have(have) => serde_json::to_vec(have),
            Value::Record(record) => serde_json::to_vec(record),
            Value::Members(names) => serde_json::to_vec(names),
            Value::Question(question) => serde_json::to_vec(question),
            Value::Reply(reply) => serde_json::to_vec(reply),
            Value::Hold(hold) => serde_json::to_vec(hold),
            Value::Removed(removed) => serde_json::to_vec(removed),
        };
        // Maps with string keys and no own Serialize that fails: serde_json has nothing to refuse.
        bytes.unwrap_or_default()
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(DecodeError::Json)
}
