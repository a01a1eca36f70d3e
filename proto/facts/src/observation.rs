//! What was seen at a fact path.

use std::fmt;

use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest text value, in bytes. Longer ones are `Unreadable(truncated)`, never cut silently.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// What was seen at a fact path. "Cannot tell" is never the same as "equal", "different" or "not there".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observation {
    /// It is there, and this is its value.
    Present(Value),
    /// It was looked for and is not there.
    Absent,
    /// It could not be seen, and this is why.
    Unreadable(Reason),
}

/// A plain value. Numbers are for what is a number by nature (counts, bytes); a sysctl stays the text that the
/// kernel prints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text, at most [`MAX_VALUE_BYTES`] long.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Value {
    /// Numbers beyond `i64::MAX` are kept as text.
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::Text(number.to_string()), Self::Integer)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The cause of an input/output error: it is not the system that refuses, but the agent's own sandbox that hides what was
/// asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenBySandbox;

impl fmt::Display for HiddenBySandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden by the agent's own sandbox")
    }
}

impl std::error::Error for HiddenBySandbox {}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        /// Why an observation could not be made. A closed list: it may be a metric label. Codes and texts are
        /// stable; new reasons get new codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of their codes.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The word for it, as written in JSON and tables.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The number for it in the canonical encoding.
            pub fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// The agent's user may not read it.
    Permission = 1 "permission",
    /// It lives in another namespace than the agent.
    Namespace = 2 "namespace",
    /// Where the agent stands it is hidden (`PrivateTmp=`, `ProtectHome=`, a container's mount, a root without /proc): there,
    /// but not to be seen from here.
    Sandbox = 3 "sandbox",
    /// It is there but is not what its format promises.
    Malformed = 4 "malformed",
    /// A budget (size, count) ended before it was read whole.
    Truncated = 5 "truncated",
    /// A deadline passed before it was read.
    Timeout = 6 "timeout",
    /// The system answered with an input/output error.
    Io = 7 "io",
    /// This host has nothing of the kind, or nobody has a way to see it there.
    Unsupported = 8 "unsupported",
    /// The source itself failed (a fault of evenkeel, fenced).
    Failed = 9 "failed",
    /// The node's agent does not send it: switched off there, or an older agent. Never sent, only concluded.
    NotCollected = 10 "not_collected",
    /// Some of it was seen, but not all: what was not seen may be there all the same.
    Partial = 11 "partial",
}

impl Reason {
    /// The reason with this code in the canonical encoding.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The reason with this word.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }

    /// What an error of the operating system means for an observation; `None` when it means "not there".
    pub fn of_io(error: &std::io::Error) -> Option<Self> {
        use std::io::ErrorKind as Kind;
        if error.get_ref().and_then(|cause| cause.downcast_ref::<HiddenBySandbox>()).is_some() {
            return Some(Self::Sandbox);
        }
        match error.kind() {
            Kind::NotFound | Kind::NotADirectory => None,
            Kind::PermissionDenied => Some(Self::Permission),
            Kind::TimedOut => Some(Self::Timeout),
            Kind::InvalidData => Some(Self::Malformed),
            Kind::FileTooLarge => Some(Self::Truncated),
            Kind::Unsupported => Some(Self::Unsupported),
            _ => Some(Self::Io),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In JSON a plain value is present; anything else is an object that says what it is: `{"absent": true}` or
/// `{"unreadable": "permission"}`.
impl Serialize for Observation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Present(value) => value.serialize(serializer),
            Self::Absent => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("absent", &true)?;
                map.end()
            }
            Self::Unreadable(reason) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("unreadable", reason.as_str())?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Observation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(truth) => Ok(Self::Present(Value::Boolean(truth))),
            serde_json::Value::String(text) if text.len() > MAX_VALUE_BYTES => Err(D::Error::custom(
                format_args!("a value has {} bytes, the limit is {MAX_VALUE_BYTES}", text.len()),
            )),
            serde_json::Value::String(text) => Ok(Self::Present(Value::Text(text))),
            serde_json::Value::Number(number) => number
                .as_i64()
                .map(|number| Self::Present(Value::Integer(number)))
                .ok_or_else(|| D::Error::custom(format_args!("{number} is not a whole number of 64 bits"))),
            serde_json::Value::Object(map) if map.len() == 1 => match map.iter().next() {
                Some((key, serde_json::Value::Bool(true))) if key == "absent" => Ok(Self::Absent),
                Some((key, serde_json::Value::String(text))) if key == "unreadable" => {
                    Reason::from_text(text).map(Self::Unreadable).ok_or_else(|| {
                        D::Error::custom(format_args!("unknown reason {text:?} of an unreadable fact"))
                    })
                }
                _ => {
                    Err(D::Error::custom("expected a value, {\"absent\": true} or {\"unreadable\": REASON}"))
                }
            },
            _ => Err(D::Error::custom("expected a value, {\"absent\": true} or {\"unreadable\": REASON}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_tells_the_three_states_apart() {
        for (json, observation) in [
            ("\"65535\"", Observation::Present("65535".into())),
            ("0", Observation::Present(Value::Integer(0))),
            ("true", Observation::Present(Value::Boolean(true))),
            ("{\"absent\":true}", Observation::Absent),
            ("{\"unreadable\":\"permission\"}", Observation::Unreadable(Reason::Permission)),
        ] {
            assert_eq!(serde_json::to_string(&observation).unwrap(), json);
            assert_eq!(serde_json::from_str::<Observation>(json).unwrap(), observation);
        }
        for json in ["null", "[]", "1.5", "{}", "{\"absent\":false}", "{\"unreadable\":\"x\"}"] {
            assert!(serde_json::from_str::<Observation>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn codes_and_words_name_one_reason_each() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(Reason::from_text(reason.as_str()), Some(*reason));
        }
    }
}
