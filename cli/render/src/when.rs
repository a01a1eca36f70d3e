//! Moments for people.

use jiff::Timestamp;

/// `2026-11-22 10:00 UTC`.
pub(crate) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `2026-11-22 10:00`, always UTC: for columns of ends.
pub(crate) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// `2026-11-22 10:00:07`, always UTC: for columns of times.
pub(crate) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago, in the largest unit of which at least two have passed: `90 seconds ago`, `2 days ago`.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    if seconds < 2 {
        return "just now".into();
    }
    let (number, unit) = match seconds {
        172_800.. => (seconds / 86_400, "days"),
        7_200.. => (seconds / 3_600, "hours"),
        120.. => (seconds / 60, "minutes"),
        _ => (seconds, "seconds"),
    };
    format!("{number} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_largest_that_still_says_something() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (time, said) in [
            ("2026-11-22T10:00:05Z", "just now"),
            ("2026-11-22T09:59:58Z", "2 seconds ago"),
            ("2026-11-22T09:58:00Z", "2 minutes ago"),
            ("2026-11-22T08:01:00Z", "119 minutes ago"),
            ("2026-11-22T08:00:00Z", "2 hours ago"),
            ("2026-11-20T10:00:00Z", "2 days ago"),
            ("2025-11-22T10:00:00Z", "365 days ago"),
        ] {
            assert_eq!(ago(time.parse().unwrap(), now), said);
        }
        assert_eq!(moment(now), "2026-11-22 10:00 UTC");
        assert_eq!(minute(now), "2026-11-22 10:00");
        assert_eq!(stamp(now), "2026-11-22 10:00:00");
    }
}
