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
    if text == "yesterday" {
        return parse("24h", now);
    }
    let refuse = || format!("{text:?} is not a time: write 2h, 7d, 2026-11-20 or 2026-11-20T03:12:00Z");
    if let Ok(date) = text.parse::<Date>() {
        return date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| refuse());
    }
    let ago = duration::parse(text).map_err(|_| refuse())?;
    let then = SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok());
    // Nobody means, or wants to read, nanoseconds.
    then.and_then(|then| Timestamp::from_second(then.as_second()).ok()).ok_or_else(refuse)
}

/// The same for what is to come: `30d` is so long after `now`.
pub fn until(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let refuse = || format!("{text:?} is not a time: write 12h, 30d, 2026-12-31 or 2026-12-31T18:00:00Z");
    let later = match duration::parse(text) {
        Ok(span) => SignedDuration::try_from(span).ok().and_then(|span| now.checked_add(span).ok()),
        Err(_) => parse(text, now).ok(),
    };
    let moment = later.ok_or_else(refuse)?;
    if moment <= now { Err(format!("{moment:.0} is over: name a time to come")) } else { Ok(moment) }
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
        let within = "2026-11-22T10:00:00.123456789Z".parse().unwrap();
        assert_eq!(parse("2h", within), Ok("2026-11-22T08:00:00Z".parse().unwrap()), "whole seconds");
        assert_eq!(parse("yesterday", now), Ok("2026-11-21T10:00:00Z".parse().unwrap()));
        assert_eq!(until("2h", now), Ok("2026-11-22T12:00:00Z".parse().unwrap()));
        assert_eq!(until("2026-12-01", now), Ok("2026-12-01T00:00:00Z".parse().unwrap()));
        assert_eq!(
            until("2026-11-01", now).unwrap_err(),
            "2026-11-01T00:00:00Z is over: name a time to come"
        );
    }
}
