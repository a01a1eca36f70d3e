//! `time.transitions`: when the local clock jumps within the next two years, as this machine's copy of the zone has it.
//! Equal names and equal editions do not say that the files are equal.

use evenkeel_facts::{Observation, Reason};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

/// Whole years, beginning with the current one: so the fact changes at New Year only, and the next two years are in it.
const YEARS: i16 = 3;
/// Morocco has four a year.
const MAX_TRANSITIONS: usize = 64;

/// `2026-03-29T01:00:00Z +02:00 CEST` and so on, separated by `; `; `none` for a zone that stays as it is.
pub(crate) fn of(zone: &[u8], now: Timestamp) -> Observation {
    let Ok(zone) = TimeZone::tzif("local", zone) else { return Observation::Unreadable(Reason::Malformed) };
    let year = now.to_zoned(TimeZone::UTC).year();
    let begin = |year| date(year, 1, 1).to_zoned(TimeZone::UTC).map(|begin| begin.timestamp());
    let (Ok(from), Ok(to)) = (begin(year), begin(year.saturating_add(YEARS))) else {
        return Observation::Unreadable(Reason::Unsupported);
    };
    let following = zone.following(from).take_while(|transition| transition.timestamp() < to);
    let told: Vec<_> = following
        .take(MAX_TRANSITIONS)
        .map(|transition| {
            let seconds = transition.offset().seconds();
            let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
            let offset = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
            format!("{} {offset} {}", transition.timestamp(), transition.abbreviation())
        })
        .collect();
    Observation::Present(if told.is_empty() { "none".to_owned() } else { told.join("; ") }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: two copies of one zone that disagree about the next DST change are told apart, whatever their names.
    #[test]
    fn the_next_jumps_of_a_zone() {
        let now: Timestamp = "2026-07-01T00:00:00Z".parse().unwrap();
        // A zone without a table: everything follows from the rule in its last line.
        let zone = |rule: &str| {
            let header = |version: u8| {
                let counts = [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
                [b"TZif", &[version][..], &[0; 15], &counts].concat()
            };
            let body = [&0_u32.to_be_bytes()[..], &[0, 0], b"LMT\0"].concat();
            [&header(b'2')[..], &body, &header(b'2'), &body, format!("\n{rule}\n").as_bytes()].concat()
        };
        let told = |rule: &str| match of(&zone(rule), now) {
            Observation::Present(value) => value.to_string(),
            other => panic!("{other:?}"),
        };
        let berlin = told("CET-1CEST,M3.5.0,M10.5.0/3");
        assert!(
            berlin
                .starts_with("2026-03-29T01:00:00Z +02:00 CEST; 2026-10-25T01:00:00Z +01:00 CET; 2027-03-28"),
            "{berlin}"
        );
        assert_eq!(berlin.split("; ").count(), 6);
        assert_ne!(berlin, told("CET-1CEST,M3.5.0,M10.4.0/3"));
        assert_eq!(told("UTC0"), "none");
        assert_eq!(told("<-0330>3:30"), "none");
        assert_eq!(of(b"TZif2\0\0", now), Observation::Unreadable(Reason::Malformed));
        assert_eq!(of(b"", now), Observation::Unreadable(Reason::Malformed));
    }
}
