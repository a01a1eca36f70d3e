//! `evenkeel watch`: findings as they open, change and end, also over restarts of the collector.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use evenkeel_drift::report::{Finding, Report, Severity};
use evenkeel_proto::report::{GetReportRequest, Transition, WatchRequest, transition};
use evenkeel_proto::{Malformed, reports, times};
use evenkeel_render::watch::{SCHEMA, Seen};
use evenkeel_runtime::backoff::Backoff;
use evenkeel_runtime::exit;
use jiff::Timestamp;

use super::Context;
use crate::args::Level;
use crate::console::{Console, reader_gone};
use crate::error::CliError;

/// The longest wait between two attempts to reach a collector that has gone away.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs until it is interrupted, also over restarts of the collector: what opened and ended meanwhile is told\n\
    when it is back. -o json prints one JSON object a line."
)]
pub struct Watch {
    /// The least severity to tell of
    #[arg(long, value_enum, value_name = "info|warning|critical", hide_possible_values = true, default_value_t = Level::Warning)]
    severity: Level,
}

pub(super) fn run(context: &Context, arguments: &Watch) -> Result<u8, CliError> {
    let Watch { severity } = arguments;
    let console = &context.console;
    let mut watcher = Watcher { severity: (*severity).into(), open: HashMap::new() };
    let client = context.client()?;
    let mut stream = client.wait(client.reports().watch(watcher.request()))?;
    let mut ended =
        client.follow(&mut stream, reader_gone(), |transition| watcher.take(transition, false, console));
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    let mut is_lost = false;
    loop {
        match ended {
            Ok(()) => return Ok(exit::DONE),
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) if !is_lost => {
                is_lost = true;
                console.note(&format!("{}; trying again until it is back.", exit::chain(&error)));
            }
            Err(_) => {}
        }
        if client.pause(backoff.next_wait(), reader_gone()) {
            return Ok(exit::DONE);
        }
        ended = context.client().and_then(|client| {
            let mut stream = client.wait(client.reports().watch(watcher.request()))?;
            // The stream began before the report is made: what ends in between is in one of the two.
            let report = client.wait(client.reports().get_report(watcher.question()))?;
            console.note("The collector is back.");
            (is_lost, backoff) = (false, Backoff::up_to(LONGEST_WAIT));
            if !watcher.ended(&reports::from_wire(report)?, console)? {
                return Ok(());
            }
            client.follow(&mut stream, reader_gone(), |transition| watcher.take(transition, true, console))
        });
    }
}

/// What was told, so that nothing is told twice and nothing is left out when the collector comes back.
struct Watcher {
    severity: Severity,
    /// What is open, as it was told, by id.
    open: HashMap<String, Finding>,
}

impl Watcher {
    fn request(&self) -> WatchRequest {
        WatchRequest { severity: reports::severity_to_wire(self.severity).into() }
    }

    fn question(&self) -> GetReportRequest {
        GetReportRequest {
            severity: reports::severity_to_wire(self.severity).into(),
            ..GetReportRequest::default()
        }
    }

    /// Tells what happened. `again`: what stands is told only where it is news. `false`: the reader has gone.
    fn take(&mut self, transition: Transition, again: bool, console: &Console) -> Result<bool, CliError> {
        let seen = from_wire(transition)?;
        self.news(seen, again).map_or(Ok(true), |news| console.show_seen(&news))
    }

    /// Tells what ended while nobody could see it: it was open and is not in the report.
    fn ended(&mut self, report: &Report, console: &Console) -> Result<bool, CliError> {
        let found: HashSet<&str> = report.findings.iter().map(|finding| &*finding.id).collect();
        let mut over: Vec<Finding> =
            self.open.extract_if(|id, _| !found.contains(&**id)).map(|(_, finding)| finding).collect();
        over.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)));
        for finding in over {
            if !console.show_seen(&seen(report.as_of, "resolved", finding))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is to be told of it; `None`: it is no news.
    fn news(&mut self, seen: Seen, again: bool) -> Option<Seen> {
        let Seen { at, change, finding, .. } = &seen;
        if change == "resolved" {
            return self.open.remove(&finding.id).is_some().then_some(seen);
        }
        let before = self.open.insert(finding.id.clone(), finding.clone());
        let change = match before {
            Some(before) if change == "standing" && before == *finding => return None,
            Some(_) if change == "standing" => "changed",
            None if change == "standing" && again => "opened",
            _ => change,
        };
        Some(self::seen(*at, change, finding.clone()))
    }
}

fn seen(at: Timestamp, change: &str, finding: Finding) -> Seen {
    Seen { schema: SCHEMA.to_owned(), at, change: change.to_owned(), finding }
}

fn from_wire(transition: Transition) -> Result<Seen, Malformed> {
    let Transition { at, change, finding } = transition;
    let change = match transition::Change::try_from(change) {
        Ok(transition::Change::Standing) => "standing",
        Ok(transition::Change::Opened) => "opened",
        Ok(transition::Change::Changed) => "changed",
        Ok(transition::Change::Resolved) => "resolved",
        Ok(transition::Change::Reopened) => "reopened",
        Ok(transition::Change::Unspecified) | Err(_) => return Err(Malformed::new("change", "not known")),
    };
    let finding = finding.ok_or_else(|| Malformed::new("finding", "not there"))?;
    Ok(seen(times::from_wire("at", at)?, change, reports::finding_from_wire(finding)?))
}

#[cfg(test)]
mod tests {
    use evenkeel_drift::report::{Kind, Names, Status};

    use super::*;

    fn finding(id: &str, summary: &str) -> Finding {
        Finding {
            id: id.into(),
            path: "go.version".into(),
            kind: Kind::Differs,
            severity: Severity::Critical,
            status: Status::Open,
            role: String::new(),
            values: Vec::new(),
            nodes: Names::default(),
            since: Timestamp::UNIX_EPOCH,
            summary: summary.into(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        }
    }

    /// Promise: after a restart of the collector nothing is told twice, and nothing that happened meanwhile is left out.
    #[test]
    fn what_stands_again_is_told_only_where_it_is_news() {
        let mut watcher = Watcher { severity: Severity::Info, open: HashMap::new() };
        let mut told = |change: &str, finding: Finding, again: bool| {
            let seen = seen(Timestamp::UNIX_EPOCH, change, finding);
            watcher.news(seen, again).map(|news| news.change)
        };
        let change = |word: &str| Some(word.to_owned());
        assert_eq!(told("standing", finding("f-1", "x"), false), change("standing"));
        assert_eq!(told("opened", finding("f-2", "x"), false), change("opened"));
        assert_eq!(told("standing", finding("f-1", "x"), true), None, "it was told");
        assert_eq!(told("standing", finding("f-2", "y"), true), change("changed"));
        assert_eq!(told("standing", finding("f-3", "x"), true), change("opened"));
        assert_eq!(told("resolved", finding("f-3", "x"), true), change("resolved"));
        assert_eq!(told("resolved", finding("f-3", "x"), true), None, "its end was told");
        assert_eq!(told("reopened", finding("f-3", "x"), true), change("reopened"));
    }
}
