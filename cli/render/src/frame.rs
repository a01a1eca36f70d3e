//! What stands around the findings of a report: what was compared, and the counts.

use evenkeel_drift::report::{Environment, Finding, Noise, Report, Severity, Status, Summary};

use crate::page::Page;
use crate::screen::Ink;
use crate::text::{count, escape, names};
use crate::when::moment;
use crate::words::percent;

/// At least so many columns for the names of nodes.
const ROOM_FOR_NAMES: usize = 20;
/// So many facts in quarantine are named; `--all` names them all.
const MOST_QUARANTINED: usize = 3;

/// What was compared, and which nodes had no say.
pub(crate) fn header(page: &mut Page, report: &Report) {
    page.ends(0, (Ink::Strong, &scope(report)), (Ink::Faint, &moment(report.as_of)));
    if is_empty(report) {
        return;
    }
    for environment in &report.environments {
        if let Some(trouble) = trouble(environment, page.room(40)) {
            page.line(2, Ink::Of(Severity::Warning), &trouble);
        }
    }
    let partly = |environment: &&Environment| environment.coverage < 1.0 && environment.fresh > 0;
    let read: Vec<String> = report.environments.iter().filter(partly).map(coverage).collect();
    if !read.is_empty() {
        page.line(2, Ink::Faint, &format!("facts that could be read: {}", read.join(", ")));
    }
}

/// `staging 99.8 %`.
fn coverage(environment: &Environment) -> String {
    format!("{} {}", escape(&environment.name), percent(environment.coverage))
}

/// `4 environments, 14 nodes (1 stale), reference prod`.
pub(crate) fn scope(report: &Report) -> String {
    let reference = escape(&report.reference);
    let names: Vec<_> = report.environments.iter().map(|e| escape(&e.name)).collect();
    let stale: u64 = report.environments.iter().map(|e| e.stale).sum();
    let nodes = count(report.environments.iter().map(|e| e.nodes).sum(), "node");
    let nodes = if stale > 0 { format!("{nodes} ({stale} stale)") } else { nodes };
    match &names[..] {
        [one, other] | [other, one] if *other == reference => format!("{one} held against {other}, {nodes}"),
        _ => format!("{}, {nodes}, reference {reference}", count(names.len() as u64, "environment")),
    }
}

/// What leaves an environment, or a part of it, out of the answer.
fn trouble(environment: &Environment, room: usize) -> Option<String> {
    let Environment { name, nodes, stale, stale_nodes, .. } = environment;
    let name = escape(name);
    match (nodes, stale) {
        (0, _) => Some(format!("{name}: no nodes")),
        (_, 0) => None,
        _ => {
            let who = names(stale_nodes, room.max(ROOM_FOR_NAMES));
            Some(format!("{name}: {stale} of {} stale: {who}", count(*nodes, "node")))
        }
    }
}

/// The counts, and what to do next.
pub(crate) fn footer(page: &mut Page, report: &Report) {
    page.blank();
    if is_empty(report) {
        let next = "No node has reported yet. `evenkeel token create --env ENV` makes a token to enrol one.";
        return page.line(0, Ink::Plain, next);
    }
    let ink = match &report.summary {
        Summary { critical: 1.., .. } => Ink::Of(Severity::Critical),
        Summary { warning: 1.., .. } => Ink::Of(Severity::Warning),
        Summary { unknown: 1.., .. } => Ink::Plain,
        _ => Ink::Good,
    };
    if let Some(noise) = &report.noise {
        page.line(0, Ink::Faint, &restless(noise, page.screen().all));
    }
    let hint = if page.screen().all { None } else { Some(" (see --all)") };
    page.line(0, ink, &counts(report, hint));
    if let Some(first) = report.findings.first()
        && page.screen().hints
    {
        page.line(0, Ink::Faint, &format!("next: evenkeel explain {}", escape(&first.id)));
    }
}

/// `Quarantined, as they keep changing (24 of 30 changes in a day): sysctl.vm.dirty_ratio, and 2 more (see --all)`.
fn restless(noise: &Noise, all: bool) -> String {
    let Noise { changes, quarantined_changes, quarantined } = noise;
    let shown = if all { quarantined.len() } else { MOST_QUARANTINED };
    let paths: Vec<_> = quarantined.iter().take(shown).map(|one| escape(&one.path)).collect();
    let more = match quarantined.len().saturating_sub(shown) {
        0 => String::new(),
        more => format!(", and {more} more (see --all)"),
    };
    let they = if quarantined.len() == 1 { "it keeps" } else { "they keep" };
    format!(
        "Quarantined, as {they} changing ({quarantined_changes} of {changes} changes in a day): {}{more}",
        paths.join(", ")
    )
}

/// `3 critical, 2 warnings; hidden: 41 explained, 2 accepted, 5 info (see --all); 3 facts cannot be told`. `hidden` is
/// how to see what is not listed; `None`: it is listed.
pub(crate) fn counts(report: &Report, hidden: Option<&str>) -> String {
    let Summary { critical, warning, info, explained, accepted, unknown } = report.summary;
    let mut parts = vec![match (critical + warning, unknown, accepted) {
        (0, 0, 0) => "Consistent: no critical difference, no warning".to_owned(),
        (0, _, 0) => "No critical difference and no warning in what could be read".to_owned(),
        // What is signed off is still different.
        (0, 0, _) => "Consistent: no open difference is critical or a warning".to_owned(),
        (0, _, _) => "No open difference is critical or a warning in what could be read".to_owned(),
        _ => format!("{critical} critical, {}", count(warning, "warning")),
    }];
    let grave = |severity, status| severity >= Severity::Warning && status == Status::Open;
    let listed = report.findings.iter().filter(|f| grave(f.severity, f.status)).count() as u64;
    if listed < critical + warning {
        parts.push(format!("{listed} of them listed"));
    }
    let is_info = |finding: &&Finding| finding.severity == Severity::Info && finding.status == Status::Open;
    let listed = report.findings.iter().filter(is_info).count() as u64;
    // With `--severity info` it is listed like the rest.
    let info = if hidden.is_some() { info.saturating_sub(listed) } else { info };
    if hidden.is_some() && listed > 0 {
        parts.push(format!("{listed} info"));
    }
    let quiet: Vec<String> = [(explained, "explained"), (accepted, "accepted"), (info, "info")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    if !quiet.is_empty() {
        let quiet = quiet.join(", ");
        parts.push(hidden.map_or_else(|| quiet.clone(), |hint| format!("hidden: {quiet}{hint}")));
    }
    if let Some(noise) = &report.noise {
        parts.push(format!("{} in quarantine", count(noise.quarantined.len() as u64, "fact")));
    }
    if unknown > 0 {
        parts.push(format!("{} cannot be told", count(unknown, "fact")));
    }
    parts.join("; ")
}

fn is_empty(report: &Report) -> bool {
    report.environments.iter().all(|environment| environment.nodes == 0)
}
