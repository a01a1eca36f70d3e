//! Moments as they travel.

use jiff::Timestamp;

use crate::Malformed;

/// A moment on the wire.
pub fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// A moment from the wire; absent or out of range is malformed.
pub fn from_wire(field: &'static str, time: Option<prost_types::Timestamp>) -> Result<Timestamp, Malformed> {
    let time = time.ok_or_else(|| Malformed::new(field, "no time"))?;
    Timestamp::new(time.seconds, time.nanos).map_err(|error| Malformed::new(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_round_trip_also_before_1970() {
        for text in ["2026-11-22T10:00:00.123456789Z", "1969-12-31T23:59:58.5Z"] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(from_wire("at", Some(to_wire(time))), Ok(time));
        }
        let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(from_wire("at", Some(far)).is_err());
    }
}
