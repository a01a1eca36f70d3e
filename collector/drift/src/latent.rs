//! What runs against what the next restart or boot will bring, node by node.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use evenkeel_facts::Value;
use jiff::Timestamp;

use crate::compare::Compare;
use crate::judge::{Bench, id_of};
use crate::lead::Whole;
use crate::lookup::Lookup;
use crate::policy::Verdict;
use crate::report::{Finding, Kind, Severity, Status};
use crate::rows::{Look, Row};
use crate::since::{Became as _, FactBecame};
use crate::spread::{Outcome, Said, Spread, What};
use crate::summary::latent;

/// What the files of sysctl.d set: `sysctl.persisted[KEY].value`.
const PERSISTED: &str = "sysctl.persisted[";
/// A fact that says that something runs which is no longer what stands on the disk.
const RESTART_PENDING: &str = "restart_pending";

/// A fact as it runs, and the one that says what it will be.
struct Pair<'a> {
    path: String,
    /// The fact that tells what comes.
    next: &'a str,
    /// The fact that lists what this machine starts by itself; one that runs something else is started from outside.
    own: Option<&'static str>,
}

/// The kernel parameters that some node sets in a file of sysctl.d: by key the files.
pub(crate) type Persisted<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// What the nodes set.
pub(crate) fn persisted<'a>(lookup: &Lookup<'_, 'a>) -> Persisted<'a> {
    if lookup.contents.source != "sysctl" {
        return Persisted::new();
    }
    let keys = lookup.paths(PERSISTED, |_| true).into_iter().filter_map(key_of);
    keys.map(|key| (key, files(lookup, key))).collect()
}

/// The files that set a parameter, on whichever node: `/etc/sysctl.d/99-web.conf` of `/etc/sysctl.d/99-web.conf:12`.
fn files<'a>(lookup: &Lookup<'_, 'a>, key: &str) -> BTreeSet<&'a str> {
    let Some(row) = lookup.row(&format!("{PERSISTED}{key}].source")) else { return BTreeSet::new() };
    let looks = std::iter::once(row.base).chain(row.exceptions.iter().map(|(_, look)| *look));
    let lines = looks.filter_map(|look| match look {
        Look::Present(Value::Text(line)) => Some(line.as_str()),
        _ => None,
    });
    lines.map(|line| line.rsplit_once(':').map_or(line, |(file, _)| file)).collect()
}

fn key_of(path: &str) -> Option<&str> {
    path.strip_prefix(PERSISTED)?.strip_suffix("].value")
}

/// The running parameter that a path of sysctl.d speaks of: `sysctl.KEY`.
pub(crate) fn running(path: &str) -> Option<String> {
    let rest = path.strip_prefix(PERSISTED)?;
    let key = rest.strip_suffix("].value").or_else(|| rest.strip_suffix(']'))?;
    Some(format!("sysctl.{key}"))
}

/// A latent difference, before anybody asks for its details.
pub(crate) struct Latent<'a> {
    path: String,
    next: &'a str,
    spread: Spread,
    /// By outcome: whether the next boot brings something else.
    changes: Vec<bool>,
}

/// Everything of one source that the next restart or boot changes, by path.
pub(crate) fn latent_in<'a>(bench: &Bench<'_>, lookup: &Lookup<'_, 'a>) -> Vec<Latent<'a>> {
    let pairs: Vec<Pair<'a>> = match lookup.contents.source {
        "sysctl" => {
            let pair = |next| key_of(next).map(|key| Pair { path: format!("sysctl.{key}"), next, own: None });
            lookup.paths(PERSISTED, |_| true).into_iter().filter_map(pair).collect()
        }
        "kernel" => lookup
            .paths("kernel.next_release", |path| path == "kernel.next_release")
            .into_iter()
            .map(|next| Pair { path: "kernel.release".to_owned(), next, own: Some("kernel.installed") })
            .collect(),
        _ => Vec::new(),
    };
    let pending = lookup.paths("", is_pending);
    let pending = pending.into_iter().filter_map(|path| restart(bench, lookup, path));
    pairs.into_iter().filter_map(|pair| differs(bench, lookup, &pair)).chain(pending).collect()
}

/// `NAME.restart_pending`, or `restart_pending[KEY]` below anything.
fn is_pending(path: &str) -> bool {
    if !path.contains(RESTART_PENDING) {
        return false;
    }
    let last = match path.rfind(']') {
        Some(end) if end + 1 == path.len() => path.rfind('[').map_or(path, |open| &path[..open]),
        _ => path,
    };
    last.rsplit('.').next() == Some(RESTART_PENDING)
}

fn differs<'a>(bench: &Bench<'_>, lookup: &Lookup<'_, 'a>, pair: &Pair<'a>) -> Option<Latent<'a>> {
    let verdict = bench.policy.verdict(&pair.path);
    if !verdict.is_compared() {
        return None;
    }
    let (running, next) = (lookup.row(&pair.path)?, lookup.row(pair.next)?);
    let own = pair.own.and_then(|path| lookup.row(path));
    let say = |group: Option<usize>| {
        let look = |row: &Row<'a>| group.map_or(row.base, |at| row.look(at));
        // From one default to the other, as systemd raises what the kernel chose: nobody set either.
        let is_default = |look: Look<'_>| match look {
            Look::Present(value) => bench.hardware.gives(&pair.path, &value.to_string()),
            _ => false,
        };
        let by_nobody = is_default(look(&running)) && is_default(look(&next));
        let from_outside = match (own.as_ref().map(look), look(&running)) {
            (Some(Look::Present(own)), Look::Present(running)) => {
                let (own, running) = (own.to_string(), running.to_string());
                !own.split_whitespace().any(|one| one == running)
            }
            _ => false,
        };
        let next = if by_nobody || from_outside { Look::Absent } else { look(&next) };
        said(verdict.compare, look(&running), next)
    };
    let rows = [Some(&running), Some(&next), own.as_ref()];
    let exceptions: BTreeSet<usize> =
        rows.into_iter().flatten().flat_map(|row| &row.exceptions).map(|(at, _)| *at).collect();
    let (base, changes) = say(None);
    let mut changing = HashSet::new();
    changes.then(|| changing.insert(base.what.clone()));
    let exceptions = exceptions.into_iter().map(|at| {
        let (said, changes) = say(Some(at));
        changes.then(|| changing.insert(said.what.clone()));
        (at, said)
    });
    let exceptions: Vec<_> = exceptions.collect();
    let spread = Spread::of(base, exceptions, lookup.contents, bench.role);
    Latent::new(pair.path.clone(), pair.next, spread, &changing)
}

/// What a node runs, and, if that is another, what comes.
fn said(compare: Compare, running: Look<'_>, next: Look<'_>) -> (Said, bool) {
    let form = |value: &Value| compare.canonical(value).map(Cow::into_owned);
    let Look::Present(running) = running else {
        return (Said { what: What::Inapplicable, shown: None }, false);
    };
    let plain = || Said { what: What::Present(running.to_string()), shown: Some(running.to_string()) };
    match next {
        Look::Present(next) if form(next) != form(running) => {
            let text = format!("{running}, then {next}");
            (Said { what: What::Present(text.clone()), shown: Some(text) }, true)
        }
        _ => (plain(), false),
    }
}

fn restart<'a>(bench: &Bench<'_>, lookup: &Lookup<'_, 'a>, path: &'a str) -> Option<Latent<'a>> {
    let row = lookup.row(path)?;
    let mut changing = HashSet::new();
    let mut say = |look: Look<'_>| match look {
        Look::Present(value) => {
            let text = value.to_string();
            let what = What::Present(text.clone());
            if !matches!(text.trim(), "" | "0" | "false" | "no" | "none") {
                changing.insert(what.clone());
            }
            Said { what, shown: Some(text) }
        }
        _ => Said { what: What::Inapplicable, shown: None },
    };
    let base = say(row.base);
    let exceptions: Vec<_> = row.exceptions.iter().map(|(at, look)| (*at, say(*look))).collect();
    let spread = Spread::of(base, exceptions, lookup.contents, bench.role);
    Latent::new(path.to_owned(), path, spread, &changing)
}

impl<'a> Latent<'a> {
    fn new(path: String, next: &'a str, spread: Spread, changing: &HashSet<What>) -> Option<Self> {
        let changes: Vec<bool> =
            spread.outcomes.iter().map(|outcome| changing.contains(&outcome.what)).collect();
        let is_held = |outcome: &Outcome| outcome.counts.iter().any(|count| *count > 0);
        let somebody =
            spread.outcomes.iter().zip(&changes).any(|(outcome, changes)| *changes && is_held(outcome));
        somebody.then_some(Self { path, next, spread, changes })
    }

    /// The finding in full, of the nodes that change and of no others; `None`: the policy ignores it on all of them. Of the
    /// rules that hold for some of them the worst counts, and what all of them hide is no alarm.
    pub(crate) fn whole(self, bench: &Bench<'_>) -> Option<Whole> {
        let Self { path, next, mut spread, changes } = self;
        let by_node = bench.policy.limited().by_node;
        let said: Vec<Verdict> =
            bench.role.cohorts.iter().map(|cohort| bench.verdict_in(&path, cohort.name)).collect();
        let mut nodes = spread.nodes(bench.contents, bench.role, |cohort, outcome| {
            changes[outcome] && (by_node || !said[cohort].ignore)
        });
        let verdicts: Vec<Verdict> = if by_node {
            nodes.retain(|at| !bench.verdict_of(&path, *at).ignore);
            nodes.iter().map(|at| bench.verdict_of(&path, *at)).collect()
        } else {
            let is_held = |cohort: &usize| spread.held(*cohort).any(|(outcome, _)| changes[outcome]);
            let held = (0..said.len()).filter(is_held).map(|cohort| said[cohort]);
            held.filter(|verdict| !verdict.ignore).collect()
        };
        let severity = |verdict: &Verdict| match verdict.severity {
            None if is_pending(&path) => Severity::Warning,
            _ => bench.severity(&path, verdict),
        };
        spread.recount(bench.contents, bench.role, &nodes);
        let worst = *verdicts.iter().max_by_key(|verdict| severity(verdict))?;
        let is_hidden = verdicts.iter().all(|verdict| verdict.hide);
        let became = |at: &u32| {
            let of = |path: &str| FactBecame { role: bench.role, path }.became(*at);
            of(&path).max(of(next))
        };
        let [class, _, severity_rule] = bench.policy.deciding(&worst);
        let rule = if is_hidden {
            bench.policy.silencing(&worst)
        } else if is_pending(&path) {
            class
        } else {
            severity_rule
        };
        // Files that differ while the kernels do not are those that the next boot will make differ: that of a node nothing
        // changes is told, too, where it could be read what runs.
        let mut told = spread.nodes(bench.contents, bench.role, |cohort, outcome| {
            let is_read = matches!(spread.outcomes[outcome].what, What::Present(_));
            is_read && (by_node || !said[cohort].ignore)
        });
        if by_node {
            told.retain(|at| !bench.verdict_of(&path, *at).ignore);
        }
        let told = told.into_iter().collect();
        let finding = Finding {
            id: id_of(Kind::Latent, bench.role.name, &path),
            kind: Kind::Latent,
            severity: severity(&worst),
            status: if is_hidden { Status::Explained } else { Status::Open },
            role: bench.role.name.to_owned(),
            values: spread.values(bench.role),
            since: nodes.iter().map(became).min().unwrap_or(Timestamp::UNIX_EPOCH),
            summary: latent(&spread, bench.role, &changes, is_pending(&path)),
            nodes: bench.role.list(nodes),
            reason: rule.map(|rule| rule.reason.clone()).unwrap_or_default(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
            path,
        };
        Some(Whole { finding, told })
    }
}
