//! One cause, one finding: by hand.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_drift::Policy;
use evenkeel_drift::report::{Finding, Kind, Part, Severity, Status};
use evenkeel_facts::{FactPath, Observation, Value};

use super::times::Times;
use super::{Role, View};

/// What sysctl.d says of a parameter goes under what is said of the parameter, else under its difference. What follows from
/// another fact goes under that, and what violates the policy stands above how it differs. But only what is said of the
/// same nodes there, and under nothing that is less bad.
pub(crate) fn beside(
    view: &View<'_>,
    policy: &Policy,
    mut whole: Vec<Finding>,
    findings: Vec<Finding>,
) -> (Vec<Finding>, Vec<Finding>) {
    let is_told = |lead: &Finding, node: &String| {
        lead.nodes.contains(node) || (lead.kind == Kind::Latent && view.would_name(policy, &lead.path, node))
    };
    let mut kept = Vec::new();
    let mut moved: Vec<(String, Part)> = Vec::new();
    for finding in &findings {
        let mut top = finding;
        while let Some(above) = above(top, &whole, &findings, &is_told) {
            top = above;
        }
        if top.id == finding.id {
            kept.push(finding.clone());
        } else {
            moved.push((top.id.clone(), part(finding)));
        }
    }
    for (lead, part) in moved {
        whole.iter_mut().chain(&mut kept).find(|one| one.id == lead).unwrap().parts.push(part);
    }
    for finding in &mut whole {
        finding.parts.sort_by_key(|part| part.path.clone());
    }
    (whole, kept)
}

/// What an open difference stands under, if all of its nodes are told of by what it may stand under.
fn above<'f>(
    finding: &Finding,
    whole: &'f [Finding],
    findings: &'f [Finding],
    is_told: &dyn Fn(&Finding, &String) -> bool,
) -> Option<&'f Finding> {
    let path = finding.path.as_str();
    if finding.status != Status::Open || whole.iter().any(|one| one.id == finding.id) {
        return None;
    }
    let causes: &[&str] = match path {
        "time.transitions" => &["time.zone", "tzdata.version"],
        "time.rule" => &["time.zone", "tzdata.version", "time.transitions"],
        _ => &[],
    };
    let key = path.strip_prefix("sysctl.persisted[");
    let running = key.map(|rest| format!("sysctl.{}", rest.replace(".value", "").replace(']', "")));
    // What is said of the whole fact first: of a parameter anything, else that it violates the policy.
    let of_whole = whole.iter().filter(|one| match &running {
        Some(running) => one.path == *running,
        None => one.kind == Kind::Violates && (one.path == path || causes.contains(&one.path.as_str())),
    });
    let causes = causes.iter().copied().chain(running.as_deref());
    let others = causes.filter_map(|cause| findings.iter().find(|other| other.path == cause));
    let leads = of_whole.chain(others).filter(|one| one.status == Status::Open);
    let leads: Vec<&Finding> = leads.filter(|one| one.severity >= finding.severity).collect();
    let is_told = |node: &String| leads.iter().any(|lead| is_told(lead, node));
    leads.first().copied().filter(|_| finding.nodes.iter().all(is_told))
}

fn part(finding: &Finding) -> Part {
    let Finding { id, path, kind, severity, .. } = finding.clone();
    Part { id, path, kind, severity, summary: String::new() }
}

/// Which nodes, since when, and who signed it off.
type Cause = (Vec<String>, jiff::Timestamp, Option<String>);

/// The findings of one source, with those that have one cause under the worst of them.
pub(crate) fn folded(role: &Role<'_>, view: &View<'_>, findings: Vec<Finding>) -> Vec<Finding> {
    let changed_then = |finding: &Finding| {
        let thing = view.is_thing(&finding.path).then_some(view);
        let times = Times { path: &finding.path, thing };
        role.nodes().any(|node| node.since < finding.since && times.became(node) == finding.since)
    };
    // What somebody signed off together stays together.
    let mut by_cause: BTreeMap<(Cause, BTreeSet<String>), Vec<usize>> = BTreeMap::new();
    for (at, finding) in findings.iter().enumerate() {
        let files = if changed_then(finding) { BTreeSet::new() } else { view.files(&finding.path) };
        let has_cause = changed_then(finding) || !files.is_empty();
        if matches!(finding.status, Status::Open | Status::Accepted) && has_cause {
            let signed = finding.acceptance.as_ref().map(|acceptance| acceptance.id.clone());
            let cause = (finding.nodes.to_vec(), finding.since, signed);
            by_cause.entry((cause, files)).or_default().push(at);
        }
    }
    let mut under: BTreeMap<usize, usize> = BTreeMap::new();
    for mut same in by_cause.into_values() {
        same.sort_by_key(|at| (std::cmp::Reverse(findings[*at].severity), findings[*at].path.clone()));
        let parts: Vec<usize> =
            same[1..].iter().copied().filter(|at| findings[*at].severity != Severity::Critical).collect();
        if parts.len() >= 2 {
            under.extend(parts.into_iter().map(|part| (part, same[0])));
        }
    }
    let mut whole = findings.clone();
    for (part, lead) in &under {
        // What stood under it stands beside it.
        let below = std::mem::take(&mut whole[*part].parts);
        whole[*lead].parts.push(self::part(&findings[*part]));
        whole[*lead].parts.extend(below);
    }
    for finding in &mut whole {
        finding.parts.sort_by_key(|part| (std::cmp::Reverse(part.severity), part.path.clone()));
    }
    let kept = |at: &usize| !under.contains_key(at);
    (0..whole.len()).filter(kept).map(|at| whole[at].clone()).collect()
}

impl View<'_> {
    /// The files of sysctl.d in which some node sets a parameter.
    fn files(&self, path: &str) -> BTreeSet<String> {
        let Some(key) = path.strip_prefix("sysctl.") else { return BTreeSet::new() };
        let (value, source) =
            (format!("sysctl.persisted[{key}].value"), format!("sysctl.persisted[{key}].source"));
        if !self.homes.contains_key(&value) {
            return BTreeSet::new();
        }
        let lines =
            self.role.nodes().flat_map(|node| self.noted(node)).filter(|(at, _)| at.as_str() == source);
        let text = lines.filter_map(|(_, seen)| match seen {
            Observation::Present(Value::Text(line)) => Some(line.as_str()),
            _ => None,
        });
        text.map(|line| line.rsplitn(2, ':').last().unwrap().to_owned()).collect()
    }

    /// Whether a path names a thing that is known by its facts alone.
    pub(crate) fn is_thing(&self, path: &str) -> bool {
        FactPath::known(path).entity() == Some(path)
            && (!self.homes.contains_key(path) || !self.is_readable(path))
    }
}
