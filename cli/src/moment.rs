//! Times as people write them: a moment, a day, or how long ago.

use evenkeel_runtime::duration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// `2026-11-20T03:12:00Z`, `2026-11-20` (from midnight UTC on), or `2h` (so long before `now`).
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let refuse = || format!("{text:?} is not a time: write 2h, 7d, 2026-11-20 or 2026-11-20T03:12:00Z");
    if let Ok(date) = text.parse::<Date>() {
        return date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| refuse());
    }
    let ago = duration::parse(text).map_err(|_| refuse())?;
    SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok()).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (text, moment) in [
            ("2h", "2026-11-22T08:00:00Z"),
            ("7d", "2026-11-15T10:00:00Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T03:12:00Z", "2026-11-20T03:12:00Z"),
            ("2026-11-20T03:12:00+02:00", "2026-11-20T01:12:00Z"),
        ] {
            assert_eq!(parse(text, now), Ok(moment.parse().unwrap()), "{text}");
        }
        assert_eq!(
            parse("soon", now).unwrap_err(),
            "\"soon\" is not a time: write 2h, 7d, 2026-11-20 or 2026-11-20T03:12:00Z"
        );
        assert!(parse("99999999d", now).is_err());
    }
}
