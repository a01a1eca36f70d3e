//! Durations as people write them: `15m`, `24h`, `30d`, `1h 30m`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Unit};
use serde::{Deserialize as _, Deserializer};

/// Reads a duration. A day has 24 hours; months and years are refused, since they have no one length.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration: write 90s, 15m, 24h or 30d");
    let span: Span = text.trim().parse().map_err(|_| refuse())?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| refuse())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| refuse())
}

/// `15 minutes`, in the largest unit of which there are at least two, or exactly one; what is left over is dropped.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fits = |(length, _): &&(u64, &str)| seconds >= 2 * length || seconds == *length;
    let (length, unit) = units.iter().find(fits).unwrap_or(&units[3]);
    let number = seconds / length;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// For a field of a configuration file: `#[serde(deserialize_with = "duration::deserialize")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("1h 30m", 5_400)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn times_in_words() {
        for (seconds, words) in [
            (900, "15 minutes"),
            (86_400, "1 day"),
            (90, "90 seconds"),
            (7_200, "2 hours"),
            (2_678_403, "31 days"),
            (0, "0 seconds"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn what_has_no_length() {
        for text in ["", "15", "1mo", "1y", "-5m", "soon"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
