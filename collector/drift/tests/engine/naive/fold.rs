//! One cause, one finding: by hand.

use std::collections::BTreeMap;

use evenkeel_drift::report::{Finding, Part, Severity, Status};
use evenkeel_facts::FactPath;

use super::times::Times;
use super::{Role, View};

/// What sysctl.d says of a parameter goes under what is said of the parameter: what is latent, else its difference. What
/// follows from another fact goes under that.
pub(crate) fn beside(mut whole: Vec<Finding>, findings: Vec<Finding>) -> (Vec<Finding>, Vec<Finding>) {
    let open = |list: &[Finding], path: &str| {
        list.iter().any(|other| other.path == path && other.status == Status::Open)
    };
    let mut kept = Vec::new();
    let mut moved: Vec<(String, Part)> = Vec::new();
    for finding in findings.clone() {
        let key = finding.path.strip_prefix("sysctl.persisted[");
        let key = key.map(|rest| rest.replace(".value", "").replace(']', ""));
        let lead = match (key, finding.path.as_str()) {
            (Some(key), _) => {
                let running = format!("sysctl.{key}");
                (open(&whole, &running) || open(&findings, &running)).then_some(running)
            }
            (None, "time.transitions") => ["time.zone", "tzdata.version"]
                .into_iter()
                .find(|cause| open(&findings, cause))
                .map(str::to_owned),
            _ => None,
        };
        match lead.filter(|_| finding.status == Status::Open) {
            Some(lead) => {
                let Finding { id, path, kind, severity, .. } = finding;
                moved.push((lead, Part { id, path, kind, severity, summary: String::new() }));
            }
            None => kept.push(finding),
        }
    }
    for (lead, part) in moved {
        let of_whole = whole.iter_mut().find(|finding| finding.path == lead);
        let lead = of_whole.or_else(|| kept.iter_mut().find(|finding| finding.path == lead)).unwrap();
        lead.parts.push(part);
    }
    for finding in &mut whole {
        finding.parts.sort_by_key(|part| part.path.clone());
    }
    (whole, kept)
}

/// The findings of one source, with those that have one cause under the worst of them.
pub(crate) fn folded(role: &Role<'_>, view: &View<'_>, findings: Vec<Finding>) -> Vec<Finding> {
    let changed_then = |finding: &Finding| {
        let thing = view.is_thing(&finding.path).then_some(view);
        let times = Times { path: &finding.path, thing };
        role.nodes().any(|node| node.since < finding.since && times.became(node) == finding.since)
    };
    let mut by_cause: BTreeMap<(Vec<String>, jiff::Timestamp), Vec<usize>> = BTreeMap::new();
    for (at, finding) in findings.iter().enumerate() {
        if finding.status == Status::Open && changed_then(finding) {
            by_cause.entry((finding.nodes.clone(), finding.since)).or_default().push(at);
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
        let Finding { id, path, kind, severity, .. } = findings[*part].clone();
        whole[*lead].parts.push(Part { id, path, kind, severity, summary: String::new() });
    }
    for finding in &mut whole {
        finding.parts.sort_by_key(|part| (std::cmp::Reverse(part.severity), part.path.clone()));
    }
    let kept = |at: &usize| !under.contains_key(at);
    (0..whole.len()).filter(kept).map(|at| whole[at].clone()).collect()
}

impl View<'_> {
    /// Whether a path names a thing that is known by its facts alone.
    pub(crate) fn is_thing(&self, path: &str) -> bool {
        FactPath::known(path).entity() == Some(path)
            && (!self.homes.contains_key(path) || !self.is_readable(path))
    }
}
