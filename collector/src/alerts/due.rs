//! What a receiver has to be told: what is open, less what it was told. So nothing waits in a queue that could be lost or
//! grow: a message that did not arrive is made anew, from what is true by then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use evenkeel_drift::report::{Finding, Kind, Severity, Status};
use evenkeel_facts::{Digest, natural};
use evenkeel_store::entry::Told;
use serde::Serialize;

use super::config::{AlertsConfig, Receiver, Topic};
use super::told::{Known, Last};
use crate::transitions::{Gist, Judged};

/// For how long a finding has to be gone until it is over.
const HOLD: Duration = Duration::from_secs(10);
/// So many nodes are named.
const NAMED: usize = 16;

/// Something that a receiver has to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// What happened.
    pub change: Change,
    /// The finding; as it was told last if it is over.
    pub told: Told,
    /// Whether it cannot wait.
    pub is_urgent: bool,
}

/// What happened to a finding since the receiver was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The receiver has not heard of it.
    Opened,
    /// It was over, and is back.
    Reopened,
    /// Other values, nodes or severity.
    Changed,
    /// It is over.
    Resolved,
    /// It is there, and somebody has accepted it.
    Accepted,
}

/// What this receiver has to be told. `gone` is since when what it was told of is not there any more.
pub fn due(
    receiver: &Receiver,
    config: &AlertsConfig,
    known: &Known,
    judged: &Judged,
    gone: &mut HashMap<String, Instant>,
    now: Instant,
) -> Vec<News> {
    let mut news = Vec::new();
    for finding in judged.findings.iter().filter(|finding| finding.status == Status::Open) {
        gone.remove(&finding.id);
        let last = known.get(&finding.id);
        let told = describe(finding, &judged.reference);
        let Some((change, is_urgent)) = change(last, &told, finding.severity, config, judged) else {
            continue;
        };
        let topic = Topic {
            environments: &told.environments,
            role: &told.role,
            path: &told.path,
            severity: finding.severity,
        };
        // Who was told that it is there hears also that it is less severe now.
        let is_meant = receiver.wants(topic) || change == Change::Changed;
        if is_meant && !config.is_silent(topic, judged.at) {
            news.push(News { change, told, is_urgent });
        }
    }
    let there: HashMap<&str, Status> =
        judged.findings.iter().map(|finding| (finding.id.as_str(), finding.status)).collect();
    for (id, last) in known.iter().filter(|(_, last)| last.told.open) {
        let over = match there.get(id.as_str()) {
            Some(Status::Open) => continue,
            Some(Status::Accepted) => Some(Change::Accepted),
            Some(Status::Explained | Status::Resolved) => Some(Change::Resolved),
            // Not seen is not over.
            None if judged.doubts(&last.told.path, &last.told.role, &last.told.nodes) => {
                gone.remove(id);
                None
            }
            None => {
                let since = *gone.entry(id.clone()).or_insert(now);
                (now.duration_since(since) >= HOLD).then_some(Change::Resolved)
            }
        };
        if let Some(change) = over {
            news.push(News { change, told: Told { open: false, ..last.told.clone() }, is_urgent: false });
        }
    }
    gone.retain(|id, _| known.contains_key(id));
    news.sort_by(|a, b| {
        let rank = |news: &News| (!news.told.open, std::cmp::Reverse(severity(&news.told)));
        rank(a)
            .cmp(&rank(b))
            .then_with(|| a.told.path.cmp(&b.told.path))
            .then_with(|| a.told.id.cmp(&b.told.id))
    });
    news
}

/// What changed since it was told last, and whether that cannot wait.
fn change(
    last: Option<&Last>,
    told: &Told,
    now: Severity,
    config: &AlertsConfig,
    judged: &Judged,
) -> Option<(Change, bool)> {
    let is_critical = now == Severity::Critical;
    match last {
        None => Some((Change::Opened, is_critical)),
        Some(last) if !last.told.open => Some((Change::Reopened, is_critical)),
        Some(last) if last.told.print == told.print => None,
        // Nodes that fell silent are no news of what they differ in.
        Some(last) if now <= severity(&last.told) && is_silent_on(&last.told, told, judged) => None,
        Some(last) => {
            let is_worse = now > severity(&last.told);
            let is_time = last.at + config.changes_every <= judged.at;
            (is_worse || is_time).then_some((Change::Changed, is_worse && is_critical))
        }
    }
}

/// Whether a node of it is silent, and no more nodes are named than were.
fn is_silent_on(last: &Told, now: &Told, judged: &Judged) -> bool {
    now.node_count < last.node_count && last.nodes.iter().any(|node| judged.stale.contains(node))
}

/// How bad it was when it was told.
pub fn severity(told: &Told) -> Severity {
    match told.severity.as_str() {
        "critical" => Severity::Critical,
        "warning" => Severity::Warning,
        _ => Severity::Info,
    }
}

fn describe(finding: &Finding, reference: &str) -> Told {
    let Finding { id, path, kind, severity, role, nodes, since, summary, .. } = finding;
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let said = serde_json::to_vec(&Gist::of(finding)).unwrap_or_default();
    let mut print = [0; 8];
    print.copy_from_slice(&Digest::of(&said).as_bytes()[..8]);
    Told {
        id: id.clone(),
        print: u64::from_le_bytes(print),
        open: true,
        path: path.clone(),
        kind: word(serde_json::to_value(kind)),
        severity: word(serde_json::to_value(severity)),
        role: role.clone(),
        environments: deviating(finding, reference),
        nodes: first(nodes),
        node_count: nodes.len() as u64,
        since: *since,
        summary: summary.clone(),
    }
}

/// The first of them as people count: `web-2` before `web-11`.
fn first(nodes: &[String]) -> Vec<String> {
    let mut named: Vec<&String> = nodes.iter().collect();
    if named.len() > NAMED {
        named.select_nth_unstable_by(NAMED, |a, b| natural::order(a, b));
        named.truncate(NAMED);
    }
    named.sort_by(|a, b| natural::order(a, b));
    named.into_iter().cloned().collect()
}

/// The environments that hold anything else than the reference does mostly; all of them if there is no telling, as when
/// something else is expected than any of them may have: then the reference itself may be what is wrong.
fn deviating(finding: &Finding, reference: &str) -> Vec<String> {
    let expected = finding.values.iter().find(|value| value.environment == reference);
    let mut all: Vec<String> = Vec::new();
    let mut other: Vec<String> = Vec::new();
    for value in &finding.values {
        let is_expected = expected.is_some_and(|one| (&one.value, one.state) == (&value.value, value.state));
        for list in [Some(&mut all), (!is_expected).then_some(&mut other)].into_iter().flatten() {
            if !list.contains(&value.environment) {
                list.push(value.environment.clone());
            }
        }
    }
    if other.is_empty() || finding.kind == Kind::Violates { all } else { other }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use evenkeel_drift::report::{State, Unknown, ValueCount};
    use evenkeel_store::entry::Alerted;
    use jiff::Timestamp;

    use super::super::told::Log;
    use super::*;

    fn value(environment: &str, value: &str) -> ValueCount {
        let value = Some(value.to_owned());
        ValueCount { environment: environment.to_owned(), value, state: State::Present, nodes: 1 }
    }

    fn finding(id: &str, severity: Severity, nodes: &[&str]) -> Finding {
        Finding {
            id: id.to_owned(),
            path: format!("go.{id}"),
            kind: Kind::Differs,
            severity,
            status: Status::Open,
            role: String::new(),
            values: vec![value("prod", "1.21"), value("staging", "1.20")],
            nodes: nodes.iter().map(|name| (*name).to_owned()).collect(),
            since: Timestamp::UNIX_EPOCH,
            summary: "staging: 1.20, prod: 1.21".to_owned(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        }
    }

    /// A receiver, and what happens to it.
    struct Test {
        config: AlertsConfig,
        log: Log,
        gone: HashMap<String, Instant>,
        start: Instant,
    }

    impl Test {
        fn new(more: &str) -> Self {
            let text =
                format!("[[receivers]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"https://x\"\n{more}");
            let config = evenkeel_runtime::config::parse(&text).unwrap();
            Self { config, log: Log::default(), gone: HashMap::new(), start: Instant::now() }
        }

        fn due(&mut self, second: u64, findings: Vec<Finding>) -> Vec<News> {
            self.judge(second, Judged { findings, ..judged(second) })
        }

        fn judge(&mut self, second: u64, judged: Judged) -> Vec<News> {
            let (known, now) = (self.log.of("ops"), self.start + Duration::from_secs(second));
            due(&self.config.receivers[0], &self.config, &known, &judged, &mut self.gone, now)
        }

        /// The same, and the receiver takes it.
        fn tell(&mut self, second: u64, findings: Vec<Finding>) -> Vec<(Change, String)> {
            let news = self.due(second, findings);
            let told = news.iter().map(|news| news.told.clone()).collect();
            let alerted = Alerted { receiver: "ops".into(), told, forgotten: false };
            self.log.alerted(&alerted, at(second));
            changes(&news)
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    fn judged(second: u64) -> Judged {
        let reference = "prod".to_owned();
        Judged { at: at(second), reference, findings: vec![], stale: HashSet::new(), unknowns: vec![] }
    }

    fn changes(news: &[News]) -> Vec<(Change, String)> {
        news.iter().map(|news| (news.change, news.told.id.clone())).collect()
    }

    fn said(change: Change, id: &str) -> Vec<(Change, String)> {
        vec![(change, id.to_owned())]
    }

    /// Promise: a receiver that is new is told what stands; then transitions only, each once; what it did not take is
    /// said again, as it is by then.
    #[test]
    fn transitions_only_and_each_once() {
        let mut test = Test::new("");
        let (a, b) = (finding("a", Severity::Warning, &["n1"]), finding("b", Severity::Critical, &["n1"]));
        assert_eq!(changes(&test.due(0, vec![a.clone()])), said(Change::Opened, "a"), "not taken");
        assert_eq!(test.tell(1, vec![a.clone()]), said(Change::Opened, "a"), "so said again");
        assert_eq!(test.tell(2, vec![a.clone()]), []);
        let news = test.due(3, vec![a.clone(), b.clone()]);
        assert!(news[0].is_urgent, "critical at once");
        assert_eq!(test.tell(3, vec![a.clone(), b.clone()]), said(Change::Opened, "b"));
        assert_eq!(test.tell(4, vec![b.clone()]), [], "gone for a moment");
        assert_eq!(test.tell(5, vec![a.clone(), b.clone()]), [], "and back: it flaps");
        assert_eq!(test.tell(6, vec![b.clone()]), []);
        assert_eq!(test.tell(16, vec![b.clone()]), said(Change::Resolved, "a"));
        assert_eq!(test.tell(17, vec![b.clone()]), []);
        assert_eq!(test.tell(18, vec![a.clone(), b.clone()]), said(Change::Reopened, "a"));
        let accepted = Finding { status: Status::Accepted, ..b };
        assert_eq!(test.tell(19, vec![a, accepted]), said(Change::Accepted, "b"));
    }

    /// Promise: a rollout over many nodes is not a message a node; what gets worse is said at once.
    #[test]
    fn changes_have_a_rate() {
        let mut test = Test::new("");
        let nodes = ["n1", "n2", "n3"];
        test.tell(0, vec![finding("a", Severity::Warning, &nodes[..1])]);
        assert_eq!(test.tell(10, vec![finding("a", Severity::Warning, &nodes[..2])]), []);
        let worse = vec![finding("a", Severity::Critical, &nodes[..2])];
        assert!(test.due(11, worse.clone())[0].is_urgent);
        assert_eq!(test.tell(11, worse), said(Change::Changed, "a"));
        assert_eq!(test.tell(20, vec![finding("a", Severity::Critical, &nodes)]), []);
        assert_eq!(
            test.tell(611, vec![finding("a", Severity::Critical, &nodes)]),
            said(Change::Changed, "a")
        );
        let less = vec![finding("a", Severity::Info, &nodes)];
        assert_eq!(test.tell(1300, less), said(Change::Changed, "a"), "also who would not hear of it anew");
    }

    /// Promise: what cannot be seen any more is not said to be over.
    #[test]
    fn not_seen_is_not_over() {
        let mut test = Test::new("");
        test.tell(0, vec![finding("a", Severity::Warning, &["n1"])]);
        let stale = |second| Judged { stale: HashSet::from(["n1".to_owned()]), ..judged(second) };
        let unknown = |path: &str, nodes: &[&str]| Unknown {
            path: path.into(),
            severity: Severity::Warning,
            role: String::new(),
            reason: "permission".into(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        };
        let unreadable = |second, unknown| Judged { unknowns: vec![unknown], ..judged(second) };
        for second in [1, 60] {
            assert_eq!(test.judge(second, stale(second)), []);
            assert_eq!(test.judge(second, unreadable(second, unknown("go", &["n1"]))), []);
            assert_eq!(
                test.judge(second, unreadable(second, unknown("*", &["p1"]))),
                [],
                "the reference is silent"
            );
        }
        assert_eq!(test.tell(100, vec![]), []);
        let elsewhere = unreadable(111, unknown("go", &["n2"]));
        assert_eq!(changes(&test.judge(111, elsewhere)), said(Change::Resolved, "a"));
    }

    /// Promise: a node that falls silent is no news of what it differs in.
    #[test]
    fn silence_changes_nothing() {
        let mut test = Test::new("");
        test.tell(0, vec![finding("a", Severity::Warning, &["n1", "n2"])]);
        let one = |second, nodes: &[&str], stale: &[&str]| Judged {
            findings: vec![finding("a", Severity::Warning, nodes)],
            stale: stale.iter().map(|node| (*node).to_owned()).collect(),
            ..judged(second)
        };
        assert_eq!(test.judge(700, one(700, &["n1"], &["n2"])), []);
        assert_eq!(test.judge(1400, one(1400, &["n1", "n2"], &[])), []);
        assert_eq!(changes(&test.judge(2100, one(2100, &["n1"], &[]))), said(Change::Changed, "a"));
    }

    /// Promise: a silence holds back, and what still stands when it ends is said then.
    #[test]
    fn a_silence_holds_back() {
        let mut test = Test::new(
            "[[silences]]\nreason = \"rollout\"\nuntil = \"1970-01-01T00:01:00Z\"\nenvironments = [\"staging\"]",
        );
        let open = || vec![finding("a", Severity::Critical, &["n1"])];
        assert_eq!(test.tell(1, open()), []);
        assert_eq!(test.tell(60, open()), said(Change::Opened, "a"));
    }

    #[test]
    fn the_environments_that_deviate() {
        let one = finding("a", Severity::Warning, &[]);
        assert_eq!(deviating(&one, "prod"), ["staging"]);
        assert_eq!(deviating(&one, "dev"), ["prod", "staging"]);
        let split = Finding { values: vec![value("prod", "1"), value("prod", "2")], ..one.clone() };
        assert_eq!(deviating(&split, "prod"), ["prod"]);
        let alone = Finding { values: vec![value("prod", "1")], ..one };
        assert_eq!(deviating(&alone, "prod"), ["prod"]);
    }

    /// Promise: who asks for prod hears that prod is not what is expected, though it is the reference.
    #[test]
    fn a_violation_of_the_reference_is_one_of_its_environment() {
        let differs = finding("a", Severity::Critical, &["n1"]);
        assert_eq!(deviating(&differs, "prod"), ["staging"]);
        let violates = Finding { kind: Kind::Violates, ..differs };
        assert_eq!(deviating(&violates, "prod"), ["prod", "staging"]);
    }
}
