//! Findings as they open, change, end and come back.
//!
//! The fleet is judged again whenever the journal went on, and now and then because time does. What has ended is held
//! back for a while: a finding that flaps neither ends nor opens again and again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_drift::report::{Finding, Kind, Report, Severity, State, Status, Unknown, ValueCount};
use evenkeel_drift::unknown::EVERYTHING;
use evenkeel_drift::{Query, evaluate};
use evenkeel_runtime::shutdown::Shutdown;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::BroadcastStream;

use crate::archive::{Archive, View};
use crate::scope::Scope;

/// How often is looked whether the journal went on.
const PERIOD: Duration = Duration::from_millis(500);
/// How often the fleet is judged because time goes on: sign-offs end, deadlines come.
const IDLE: Duration = Duration::from_secs(30);
/// For how long a finding has to be gone until it has ended.
const HOLD: Duration = Duration::from_secs(10);
/// For how long a finding has to stay as it is until it is said that it changed: a roll-out changes it node by node.
const SETTLE: Duration = Duration::from_secs(5);
/// How long it may go on changing without a word.
const UNSETTLED: Duration = Duration::from_secs(60);
/// For how long one that has ended is known, to say that it came back.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many transitions may wait for who watches.
const WAITING: usize = 1024;

/// What happened to a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// When it was seen.
    pub at: Timestamp,
    /// What.
    pub change: Change,
    /// The finding as it is now; as it was last if it has ended.
    pub finding: Finding,
}

/// What can happen to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was open when somebody began to watch.
    Standing,
    /// It was not there before.
    Opened,
    /// Other values, nodes or severity.
    Changed,
    /// It is over.
    Resolved,
    /// It was over, and is back.
    Reopened,
}

/// Who wants to know of transitions asks here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transitions {
    shared: Arc<Mutex<Watch>>,
    sender: broadcast::Sender<Transition>,
    judged: watch::Sender<Option<Arc<Judged>>>,
}

/// The fleet as it was judged last.
#[derive(Debug, Default)]
pub struct Judged {
    /// The moment that it speaks of.
    pub at: Timestamp,
    /// The environment that the others are held against.
    pub reference: String,
    /// Every finding, whatever its status.
    pub findings: Vec<Finding>,
    /// The names of nodes that are silent.
    pub stale: HashSet<String>,
    /// What could not be judged.
    pub unknowns: Vec<Unknown>,
}

impl Judged {
    /// Whether a finding that is gone may still be there, and cannot be seen: its nodes are silent, or the fact cannot be
    /// read on them now.
    pub fn doubts(&self, path: &str, role: &str, nodes: &[String]) -> bool {
        let is_below = |above: &str| {
            path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        nodes.iter().any(|node| self.stale.contains(node))
            || self.unknowns.iter().filter(|unknown| unknown.role == role).any(|unknown| {
                unknown.path == EVERYTHING
                    || is_below(&unknown.path) && unknown.nodes.iter().any(|node| nodes.contains(node))
            })
    }

    /// Whether all that is new is that nodes fell silent: nothing is worse, and no node and no value is named that was not.
    fn misses(&self, before: &Finding, now: &Finding) -> bool {
        let was_held = |value: &ValueCount| {
            let same = |other: &ValueCount| {
                (&other.environment, &other.value, other.state)
                    == (&value.environment, &value.value, value.state)
            };
            value.state == State::Unreadable || before.values.iter().any(same)
        };
        now.severity <= before.severity
            && before.nodes.iter().any(|node| self.stale.contains(node))
            && now.nodes.iter().all(|node| before.nodes.contains(node))
            && now.values.iter().all(was_held)
    }
}

impl Default for Transitions {
    fn default() -> Self {
        Self { shared: Arc::default(), sender: broadcast::channel(WAITING).0, judged: watch::channel(None).0 }
    }
}

impl Transitions {
    /// What is open now, and what happens from now on: nothing is missed in between. Judges the fleet, as nobody does
    /// while nobody watches: not for a thread that has to answer others.
    pub fn follow(&self, archive: &Archive) -> (Vec<Transition>, BroadcastStream<Transition>) {
        self.judge(archive);
        let watch = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = BroadcastStream::new(self.sender.subscribe());
        (watch.standing(), coming)
    }

    /// The fleet as it was judged last, for as long as somebody holds it; `None` until it was.
    pub fn judged(&self) -> watch::Receiver<Option<Arc<Judged>>> {
        self.judged.subscribe()
    }

    /// Judges the fleet until the end.
    pub async fn run(self, archive: Archive, shutdown: Shutdown) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut judged: Option<(u64, Instant)> = None;
        let mut took = Duration::ZERO;
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                _ = ticks.tick() => {}
            }
            // Judging costs, and takes at most a tenth of a core.
            let now = Instant::now();
            let nobody = self.sender.receiver_count() + self.judged.receiver_count() == 0;
            if nobody || judged.is_some_and(|(_, at)| now - at < took * 10) {
                continue;
            }
            let journal = archive.ledger().state().journal;
            let is_due = judged.is_none_or(|(position, at)| position != journal || now - at >= IDLE);
            let is_held = self.shared.lock().unwrap_or_else(PoisonError::into_inner).holds();
            if !is_due && !is_held {
                continue;
            }
            judged = Some((journal, now));
            let (this, archive) = (self.clone(), archive.clone());
            // An engine that fails is said where somebody asks for a report; the watch goes on.
            let _ = tokio::task::spawn_blocking(move || this.judge(&archive)).await;
            took = now.elapsed();
        }
    }

    fn judge(&self, archive: &Archive) {
        let View { fleet, policy, now, .. } = archive.view(&Scope::Everywhere);
        let query = Query { min_severity: None, all: true, ..Query::default() };
        let report = evaluate(&fleet, &policy, &query, now);
        let Report { reference, environments, findings, unknowns, .. } = report;
        let stale = environments.into_iter().flat_map(|environment| environment.stale_nodes).collect();
        let judged = Arc::new(Judged { at: now, reference, findings, stale, unknowns });
        if self.judged.receiver_count() > 0 {
            self.judged.send_replace(Some(Arc::clone(&judged)));
        }
        let mut watch = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        for transition in watch.see(&judged, Instant::now()) {
            // Nobody listens: nothing is lost, whoever comes is told what stands.
            let _ = self.sender.send(transition);
        }
    }
}

/// What is known of findings.
#[derive(Debug, Default)]
struct Watch {
    /// By id.
    known: HashMap<String, Known>,
    begun: bool,
}

#[derive(Debug)]
struct Known {
    /// As it was said last.
    finding: Finding,
    /// As it is, if that is something else.
    changing: Option<Changing>,
    /// Since when it is gone.
    gone: Option<Instant>,
    /// Whether its end was said.
    ended: bool,
}

/// A change that was not said yet.
#[derive(Debug)]
struct Changing {
    finding: Finding,
    /// Since when it is another than was said.
    began: Instant,
    /// Since when it is as it is.
    settled: Instant,
}

impl Changing {
    /// What is open now beside what was said. `true`: now is the time to say it.
    fn see(before: Option<Self>, said: &Finding, finding: Finding, now: Instant) -> (Self, bool) {
        let is_worse = finding.severity > said.severity;
        let (began, settled) = match before {
            Some(before) if is_another(&before.finding, &finding) => (before.began, now),
            Some(before) => (before.began, before.settled),
            None => (now, now),
        };
        let is_due = is_worse || now - settled >= SETTLE || now - began >= UNSETTLED;
        (Self { finding, began, settled }, is_due)
    }
}

impl Known {
    fn of(finding: Finding) -> Self {
        Self { finding, changing: None, gone: None, ended: false }
    }
}

impl Watch {
    /// Takes in what is open now, and says what that changes. What is open when it begins is no news.
    fn see(&mut self, judged: &Judged, now: Instant) -> Vec<Transition> {
        let mut said = Vec::new();
        let mut say = |change, finding: &Finding| {
            said.push(Transition { at: judged.at, change, finding: finding.clone() });
        };
        let open = judged.findings.iter().filter(|finding| finding.status == Status::Open);
        let mut seen: HashMap<String, Finding> =
            open.map(|finding| (finding.id.clone(), finding.clone())).collect();
        for (id, known) in &mut self.known {
            let Some(finding) = seen.remove(id) else {
                let Finding { path, role, nodes, .. } = &known.finding;
                if !known.ended && judged.doubts(path, role, nodes) {
                    known.gone = None;
                    continue;
                }
                let since = *known.gone.get_or_insert(now);
                if !known.ended && now - since >= HOLD {
                    (known.ended, known.changing) = (true, None);
                    say(Change::Resolved, &known.finding);
                }
                continue;
            };
            if known.ended {
                say(Change::Reopened, &finding);
                *known = Known::of(finding);
            } else if judged.misses(&known.finding, &finding) {
                // It stands as it was said: its nodes may come back as they were.
                (known.changing, known.gone) = (None, None);
            } else if is_another(&known.finding, &finding) {
                let (changing, is_due) = Changing::see(known.changing.take(), &known.finding, finding, now);
                if is_due {
                    say(Change::Changed, &changing.finding);
                    *known = Known::of(changing.finding);
                } else {
                    (known.changing, known.gone) = (Some(changing), None);
                }
            } else {
                *known = Known::of(finding);
            }
        }
        for (id, finding) in seen {
            if self.begun {
                say(Change::Opened, &finding);
            }
            self.known.insert(id, Known::of(finding));
        }
        self.known.retain(|_, known| !known.ended || known.gone.is_none_or(|gone| now - gone < MEMORY));
        self.begun = true;
        said.sort_by(|a, b| {
            let (a, b) = (&a.finding, &b.finding);
            b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)).then_with(|| a.id.cmp(&b.id))
        });
        said
    }

    /// Whether something is gone or changed, and that was not said yet.
    fn holds(&self) -> bool {
        self.known.values().any(|known| !known.ended && (known.gone.is_some() || known.changing.is_some()))
    }

    fn standing(&self) -> Vec<Transition> {
        let standing = self.known.values().filter(|known| !known.ended);
        let one = |known: &Known| {
            let now = known.changing.as_ref().map_or(&known.finding, |changing| &changing.finding);
            Transition { at: now.since, change: Change::Standing, finding: now.clone() }
        };
        let mut standing: Vec<Transition> = standing.map(one).collect();
        standing.sort_by(|a, b| {
            let (a, b) = (&a.finding, &b.finding);
            b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)).then_with(|| a.id.cmp(&b.id))
        });
        standing
    }
}

/// What makes a finding another one. Since when, in which words and on how many nodes what leads is held, does not; nor
/// does what could not be read.
#[derive(PartialEq, Serialize)]
pub struct Gist<'a> {
    severity: Severity,
    kind: Kind,
    values: Vec<(&'a str, Option<&'a str>, State)>,
    nodes: &'a [String],
    parts: Vec<(&'a str, Kind, Severity)>,
}

impl<'a> Gist<'a> {
    /// The gist of a finding.
    pub fn of(finding: &'a Finding) -> Self {
        let Finding { severity, kind, values, nodes, parts, .. } = finding;
        let told = values.iter().filter(|value| value.state != State::Unreadable);
        Self {
            severity: *severity,
            kind: *kind,
            values: told
                .map(|value| (value.environment.as_str(), value.value.as_deref(), value.state))
                .collect(),
            nodes,
            parts: parts.iter().map(|part| (part.id.as_str(), part.kind, part.severity)).collect(),
        }
    }
}

fn is_another(before: &Finding, now: &Finding) -> bool {
    Gist::of(before) != Gist::of(now)
}

#[cfg(test)]
mod tests {
    use evenkeel_drift::report::Part;

    use super::*;

    fn finding(path: &str, nodes: &[&str]) -> Finding {
        Finding {
            id: format!("f-{path}"),
            path: path.to_owned(),
            kind: Kind::Differs,
            severity: Severity::Warning,
            status: Status::Open,
            role: String::new(),
            values: Vec::new(),
            nodes: nodes.iter().map(|name| (*name).to_owned()).collect(),
            since: Timestamp::UNIX_EPOCH,
            summary: String::new(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        }
    }

    fn judged(findings: Vec<Finding>) -> Judged {
        Judged { findings, ..Judged::default() }
    }

    /// Promise: a node that falls silent ends no finding and changes none; what is new beside it is said.
    #[test]
    fn silence_is_no_news() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut see = |nodes: &[&str], stale: &[&str], second: u64| -> Vec<Change> {
            let findings = if nodes.is_empty() { vec![] } else { vec![finding("a", nodes)] };
            let stale = stale.iter().map(|node| (*node).to_owned()).collect();
            let judged = Judged { findings, stale, ..Judged::default() };
            watch
                .see(&judged, start + Duration::from_secs(second))
                .into_iter()
                .map(|one| one.change)
                .collect()
        };
        assert_eq!(see(&["n1", "n2"], &[], 0), []);
        for second in [1, 20, 90] {
            assert_eq!(see(&["n1"], &["n2"], second), [], "one is silent");
            assert_eq!(see(&[], &["n1", "n2"], second + 10), [], "both are");
            assert_eq!(see(&["n1"], &["n2"], second + 12), [], "one is back");
        }
        for second in [120, 130, 190] {
            assert_eq!(see(&["n1", "n2"], &[], second), [], "both are, as they were");
        }
        assert_eq!(see(&["n1", "n3"], &["n2"], 200), []);
        assert_eq!(see(&["n1", "n3"], &["n2"], 206), [Change::Changed], "another one differs");
        assert_eq!(see(&[], &[], 210), []);
        assert_eq!(see(&[], &[], 221), [Change::Resolved]);
    }

    /// Promise: on how many nodes a value is held, and what cannot be read, is no change.
    #[test]
    fn counts_are_no_change() {
        let with = |values: &[(&str, State, u64)]| {
            let count = |(value, state, nodes): &(&str, State, u64)| ValueCount {
                environment: "prod".to_owned(),
                value: (*state == State::Present).then(|| (*value).to_owned()),
                state: *state,
                nodes: *nodes,
            };
            Finding { values: values.iter().map(count).collect(), ..finding("a", &["n1"]) }
        };
        let one = with(&[("1", State::Present, 9)]);
        assert!(!is_another(&one, &with(&[("1", State::Present, 8), ("", State::Unreadable, 1)])));
        assert!(is_another(&one, &with(&[("2", State::Present, 9)])));
        assert!(is_another(&one, &with(&[("1", State::Present, 8), ("", State::Absent, 1)])));
    }

    /// Promise: a finding is the same however its parts are worded, and another when it has others.
    #[test]
    fn words_are_no_change() {
        let with = |path: &str, summary: &str| {
            let (kind, severity) = (Kind::Differs, Severity::Info);
            let (id, path, summary) = (format!("f-{path}"), path.to_owned(), summary.to_owned());
            Finding { parts: vec![Part { id, path, kind, severity, summary }], ..finding("a", &["n1"]) }
        };
        assert!(!is_another(
            &with("b", "staging has 1, prod has 2"),
            &with("b", "staging has 1, prod has 3")
        ));
        assert!(is_another(&with("b", "staging has 1, prod has 2"), &with("c", "staging has 1, prod has 2")));
        assert!(is_another(&with("b", "staging has 1, prod has 2"), &finding("a", &["n1"])));
    }

    /// Promise: a finding opens, changes, ends once it stays away, and comes back; what flaps is said once.
    #[test]
    fn findings_come_and_go() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut see = |open: Vec<Finding>, second: u64| -> Vec<(Change, String)> {
            let now = start + Duration::from_secs(second);
            let said = watch.see(&judged(open), now);
            said.into_iter().map(|one| (one.change, one.finding.path)).collect()
        };
        let said = |change, path: &str| vec![(change, path.to_owned())];
        assert_eq!(see(vec![finding("a", &["n1"])], 0), [], "what stands when it begins is no news");
        assert_eq!(see(vec![finding("a", &["n1"]), finding("b", &["n1"])], 1), said(Change::Opened, "b"));
        assert_eq!(see(vec![finding("b", &["n1"])], 3), [], "gone for a moment");
        assert_eq!(see(vec![finding("a", &["n1"]), finding("b", &["n1"])], 5), [], "and back: it flaps");
        assert_eq!(see(vec![finding("b", &["n1"])], 6), []);
        assert_eq!(see(vec![finding("b", &["n1"])], 16), said(Change::Resolved, "a"));
        assert_eq!(see(vec![finding("a", &["n1"]), finding("b", &["n1"])], 20), said(Change::Reopened, "a"));
        let standing: Vec<String> = watch.standing().into_iter().map(|one| one.finding.path).collect();
        assert_eq!(standing, ["a", "b"]);
    }

    /// Promise: a finding that ends before its last change was said leaves nothing to judge the fleet again and again for.
    #[test]
    fn what_has_ended_is_waited_for_no_more() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut see = |open: Vec<Finding>, second: u64| {
            let now = start + Duration::from_secs(second);
            let said = watch.see(&judged(open), now);
            (said.into_iter().map(|one| one.change).collect::<Vec<_>>(), watch.holds())
        };
        assert_eq!(see(vec![finding("a", &["n1"])], 0), (vec![], false));
        assert_eq!(see(vec![finding("a", &["n1", "n2"])], 1), (vec![], true), "it changes");
        assert_eq!(see(vec![], 2), (vec![], true), "it is gone, for a moment or for good");
        assert_eq!(see(vec![], 12), (vec![Change::Resolved], false));
    }

    /// Promise: a roll-out that changes a finding node by node is one change, said when it is over, or after a minute;
    /// what becomes worse is said at once, and what is as before was no change.
    #[test]
    fn a_change_is_said_when_it_has_settled() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut see = |nodes: usize, severity: Severity, second: u64| -> Vec<(Change, usize)> {
            let names: Vec<String> = (0..nodes).map(|node| format!("n{node}")).collect();
            let one = Finding { nodes: names.into(), severity, ..finding("a", &[]) };
            let said = watch.see(&judged(vec![one]), start + Duration::from_secs(second));
            assert_eq!(watch.standing()[0].finding.nodes.len(), nodes, "whoever comes is told what is now");
            said.into_iter().map(|one| (one.change, one.finding.nodes.len())).collect()
        };
        for second in 0..4 {
            assert_eq!(see(second + 1, Severity::Warning, second as u64), [], "one node more each second");
        }
        assert_eq!(see(4, Severity::Warning, 7), []);
        assert_eq!(see(4, Severity::Warning, 8), [(Change::Changed, 4)]);
        assert_eq!(see(5, Severity::Warning, 9), []);
        assert_eq!(see(4, Severity::Warning, 10), [], "as it was said");
        assert_eq!(see(4, Severity::Warning, 30), []);
        assert_eq!(see(4, Severity::Critical, 31), [(Change::Changed, 4)], "worse, so at once");
        let said: Vec<_> =
            (32..100).flat_map(|second| see(second, Severity::Critical, second as u64)).collect();
        assert_eq!(said, [(Change::Changed, 92)], "it does not settle");
    }
}
