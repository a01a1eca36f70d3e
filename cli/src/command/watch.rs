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
    let mut watcher = Watcher::new((*severity).into());
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
    /// What was told as ended since the collector came back. The collector holds an end back for a while, and still
    /// says that it stands.
    over: HashSet<String>,
}

impl Watcher {
    fn new(severity: Severity) -> Self {
        Self { severity, open: HashMap::new(), over: HashSet::new() }
    }

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
        for news in self.news(from_wire(transition)?, again) {
            if !console.show_seen(&news)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells what ended while nobody could see it: it was open and is not in the report.
    fn ended(&mut self, report: &Report, console: &Console) -> Result<bool, CliError> {
        let found = report.findings.iter().map(|finding| &*finding.id).collect();
        for news in self.missing(&found, report.as_of) {
            if !console.show_seen(&news)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn missing(&mut self, found: &HashSet<&str>, at: Timestamp) -> Vec<Seen> {
        let mut over: Vec<Finding> =
            self.open.extract_if(|id, _| !found.contains(&**id)).map(|(_, finding)| finding).collect();
        over.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)));
        self.over = over.iter().map(|finding| finding.id.clone()).collect();
        over.into_iter().map(|finding| seen(at, "resolved", finding)).collect()
    }

    /// What is to be told of it; nothing: it is no news.
    fn news(&mut self, seen: Seen, again: bool) -> Vec<Seen> {
        let Seen { at, change, finding, .. } = seen;
        let one = |change: &str, finding: Finding| self::seen(at, change, finding);
        let was_over = self.over.remove(&finding.id);
        if change == "resolved" {
            return self.open.remove(&finding.id).map(|_| one("resolved", finding)).into_iter().collect();
        }
        let is_standing = change == "standing";
        if is_standing && was_over {
            return Vec::new();
        }
        let before = self.open.insert(finding.id.clone(), finding.clone());
        match before {
            Some(before) if is_standing && before == finding => Vec::new(),
            Some(before) if is_standing && !began_anew(&before, &finding) => vec![one("changed", finding)],
            // It ended and began while nobody could see it.
            Some(before) if change != "changed" => vec![one("resolved", before), one("opened", finding)],
            None if is_standing && again || change == "changed" => vec![one("opened", finding)],
            _ => vec![one(&change, finding)],
        }
    }
}

/// Whether nothing but its beginning is another: then it was not there in between.
fn began_anew(before: &Finding, now: &Finding) -> bool {
    let same = (&before.values, &before.nodes, before.severity) == (&now.values, &now.nodes, now.severity);
    same && now.since > before.since
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
        let mut watcher = Watcher::new(Severity::Info);
        let mut told = |change: &str, finding: Finding, again: bool| {
            let seen = seen(Timestamp::UNIX_EPOCH, change, finding);
            let words: Vec<String> = watcher.news(seen, again).into_iter().map(|news| news.change).collect();
            words.join(", ")
        };
        assert_eq!(told("standing", finding("f-1", "x"), false), "standing");
        assert_eq!(told("opened", finding("f-2", "x"), false), "opened");
        assert_eq!(told("standing", finding("f-1", "x"), true), "", "it was told");
        assert_eq!(told("standing", finding("f-2", "y"), true), "changed");
        assert_eq!(told("standing", finding("f-3", "x"), true), "opened");
        assert_eq!(told("resolved", finding("f-3", "x"), true), "resolved");
        assert_eq!(told("resolved", finding("f-3", "x"), true), "", "its end was told");
        assert_eq!(told("reopened", finding("f-3", "x"), true), "reopened");
    }
    /// Promise: what ended while nobody could see it is told once, also while the collector holds the end back; what
    /// comes back is told.
    #[test]
    fn an_end_is_told_once() {
        let mut watcher = Watcher::new(Severity::Info);
        let told = |watcher: &mut Watcher, change: &str, finding: Finding| {
            let news = watcher.news(seen(Timestamp::UNIX_EPOCH, change, finding), true);
            news.into_iter().map(|news| news.change).collect::<Vec<_>>().join(", ")
        };
        told(&mut watcher, "opened", finding("f-1", "x"));
        told(&mut watcher, "opened", finding("f-2", "x"));
        let ended = watcher.missing(&["f-2"].into(), Timestamp::UNIX_EPOCH);
        let ended: Vec<String> = ended.into_iter().map(|news| news.finding.id).collect();
        assert_eq!(ended, ["f-1"]);
        assert_eq!(told(&mut watcher, "standing", finding("f-1", "x")), "", "it is held back");
        assert_eq!(told(&mut watcher, "resolved", finding("f-1", "x")), "", "its end was told");
        assert_eq!(told(&mut watcher, "reopened", finding("f-1", "x")), "reopened");
    }

    /// Promise: of what ended and began again while nobody could see it, the end is told first.
    #[test]
    fn an_end_is_told_before_it_opens_again() {
        let mut watcher = Watcher::new(Severity::Info);
        let later =
            |second| Finding { since: Timestamp::from_second(second).unwrap(), ..finding("f-1", "x") };
        let mut told = |change: &str, finding: Finding| {
            let news = watcher.news(seen(Timestamp::UNIX_EPOCH, change, finding), true);
            news.into_iter().map(|news| news.change).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(told("opened", later(0)), "opened");
        assert_eq!(told("standing", later(9)), "resolved, opened");
        assert_eq!(told("reopened", later(20)), "resolved, opened");
        assert_eq!(told("standing", Finding { severity: Severity::Info, ..later(30) }), "changed");
    }
}
