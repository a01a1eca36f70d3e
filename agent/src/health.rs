//! `evenkeel-agent health`: whether the agent that runs here is as it should be. For images and pods, in which there is no
//! other program to ask with. It reads what the daemon writes at each sweep, and asks nobody.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::args;
use crate::config::AgentConfig;
use crate::error::AgentError;
use crate::status::Status;

/// A sweep may be missed by a machine that has no time for it: the third is not.
const MISSED: u32 = 3;
/// What looking and reporting may take besides.
const SLACK: Duration = Duration::from_secs(30);

/// Looks, and gives a line to print.
pub fn run(args: &args::Health) -> Result<String, AgentError> {
    let config = AgentConfig::load(args.config.as_deref())?;
    let state_dir = args.state_dir.clone().unwrap_or(config.state_dir);
    let status = Status::read(&state_dir);
    let status = status.ok_or_else(|| {
        let directory = state_dir.display();
        AgentError::Unwell(format!("it has said nothing of itself in {directory} yet"))
    })?;
    judge(&status, Timestamp::now(), args.reporting).map_err(AgentError::Unwell)
}

/// A line to print, or a sentence that says what is wrong.
fn judge(status: &Status, now: Timestamp, reporting: bool) -> Result<String, String> {
    let allowed = Duration::from_secs(status.again_in_s) * MISSED + SLACK;
    let allowed = SignedDuration::try_from(allowed).unwrap_or(SignedDuration::MAX);
    let is_over = |since: Timestamp| now.duration_since(since) > allowed;
    if is_over(status.at) {
        return Err(format!("it has not looked since {:.0}", status.at));
    }
    if let Some(why) = &status.waits {
        let waits = format!("it waits to be enrolled: {}", why.escape_debug());
        return if reporting { Err(waits) } else { Ok(format!("well; {waits}\n")) };
    }
    match status.acknowledged_at {
        None if reporting => Err("the collector has acknowledged nothing yet".to_owned()),
        Some(at) if reporting && is_over(at) => {
            Err(format!("the collector has acknowledged nothing since {at:.0}"))
        }
        None => Ok(format!("well; looked at {:.0}, acknowledged nothing yet\n", status.at)),
        Some(at) => Ok(format!("well; looked at {:.0}, acknowledged at {at:.0}\n", status.at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-22T{text}Z").parse().unwrap()
    }

    fn status(looked: &str, acknowledged: Option<&str>) -> Status {
        Status {
            at: at(looked),
            watched: None,
            refused: Vec::new(),
            missed: 0,
            acknowledged_at: acknowledged.map(at),
            again_in_s: 60,
            waits: None,
        }
    }

    /// Promise: a collector that is away makes no agent unwell; an agent that looks no more is.
    #[test]
    fn who_looks_is_well() {
        let now = at("10:03:30");
        let well = status("10:00:00", Some("09:00:00"));
        let said = "well; looked at 2026-11-22T10:00:00Z, acknowledged at 2026-11-22T09:00:00Z\n";
        assert_eq!(judge(&well, now, false).unwrap(), said);
        let late = judge(&well, at("10:03:31"), false).unwrap_err();
        assert_eq!(late, "it has not looked since 2026-11-22T10:00:00Z");
        // A clock that was set back.
        assert!(judge(&well, at("08:00:00"), true).is_ok());
    }

    /// Promise: an agent counts as reporting only while the collector acknowledges what it sees.
    #[test]
    fn who_is_not_acknowledged_does_not_report() {
        let now = at("10:03:30");
        let cases = [
            (Some("10:00:00"), Ok("acknowledged at 2026-11-22T10:00:00Z\n")),
            (Some("09:59:59"), Err("the collector has acknowledged nothing since 2026-11-22T09:59:59Z")),
            (None, Err("the collector has acknowledged nothing yet")),
        ];
        for (acknowledged, expected) in cases {
            match (judge(&status("10:03:00", acknowledged), now, true), expected) {
                (Ok(said), Ok(end)) => assert!(said.ends_with(end), "{said}"),
                (said, expected) => assert_eq!(said.unwrap_err(), expected.unwrap_err()),
            }
        }
        let waiting = Status { waits: Some("no way\n".to_owned()), ..status("10:03:00", None) };
        assert_eq!(judge(&waiting, now, false).unwrap(), "well; it waits to be enrolled: no way\\n\n");
        assert_eq!(judge(&waiting, now, true).unwrap_err(), "it waits to be enrolled: no way\\n");
    }
}
