//! One cause, one finding: differences of the same nodes from the same moment on, or by the same files, are listed under the
//! worst of them.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::judge::{Bench, Difference};
use crate::report::{Severity, Status};
use crate::rows::Row;

/// So many coincide because one thing was done; two may well coincide by chance.
const LEAST: usize = 3;

/// A difference of one source, with the row that it is of.
pub(crate) struct Judged<'r, 'a> {
    pub(crate) row: &'r Row<'a>,
    pub(crate) difference: Difference,
    pub(crate) is_thing: bool,
    /// Indices of the differences that are listed under this one.
    pub(crate) parts: Vec<usize>,
    /// It is listed under another.
    pub(crate) is_part: bool,
}

/// Finds what has one cause: what changed at one moment, or kernel parameters that the same files of sysctl.d set. Nodes
/// that differ from their first commit on differ for many reasons, so of moments only what was the same before counts.
/// Of what is critical each speaks for itself.
pub(crate) fn fold(bench: &Bench<'_>, judged: &mut [Judged<'_, '_>]) {
    let is_unchanged = bench.role.nodes.is_unchanged();
    if is_unchanged && bench.persisted.is_empty() {
        return;
    }
    let mut by_cause: HashMap<(Vec<u32>, Timestamp, Option<String>), Vec<usize>> = HashMap::new();
    for (at, one) in judged.iter().enumerate() {
        let Difference { status, acceptance, .. } = &one.difference;
        let is_candidate = !is_unchanged || files(bench, one.row).is_some();
        if one.is_part || !is_candidate || !matches!(status, Status::Open | Status::Accepted) {
            continue;
        }
        let (mut nodes, since) = bench.extent(one.row, &one.difference, one.is_thing);
        if let Some(since) = since {
            nodes.sort_unstable();
            let signed = acceptance.as_ref().map(|acceptance| acceptance.id.clone());
            by_cause.entry((nodes, since, signed)).or_default().push(at);
        }
    }
    for ((_, since, _), same) in by_cause {
        if same.len() < LEAST {
            continue;
        }
        let changed = |at: &usize| bench.changed_at(judged[*at].row, judged[*at].is_thing, since);
        let (changed, others): (Vec<usize>, Vec<usize>) = same.into_iter().partition(changed);
        let mut by_files: HashMap<&BTreeSet<&str>, Vec<usize>> = HashMap::new();
        for at in others {
            if let Some(files) = files(bench, judged[at].row) {
                by_files.entry(files).or_default().push(at);
            }
        }
        roll_up(changed, judged);
        for same in by_files.into_values() {
            roll_up(same, judged);
        }
    }
}

/// The files that set a kernel parameter, if some node sets it.
fn files<'b>(bench: &'b Bench<'_>, row: &Row<'_>) -> Option<&'b BTreeSet<&'b str>> {
    let files = bench.persisted.get(row.path.strip_prefix("sysctl.")?)?;
    (!files.is_empty()).then_some(files)
}

/// Lists what has one cause under the worst of it.
fn roll_up(mut same: Vec<usize>, judged: &mut [Judged<'_, '_>]) {
    if same.len() < LEAST {
        return;
    }
    let severity = |at: usize| judged[at].difference.severity;
    same.sort_by(|a, b| {
        severity(*b).cmp(&severity(*a)).then_with(|| judged[*a].row.path.cmp(judged[*b].row.path))
    });
    let (lead, rest) = (same[0], &same[1..]);
    let parts: Vec<usize> = rest.iter().copied().filter(|at| severity(*at) < Severity::Critical).collect();
    if parts.len() + 1 < LEAST {
        return;
    }
    for at in parts {
        judged[at].is_part = true;
        // What stood under it stands beside it.
        let below = std::mem::take(&mut judged[at].parts);
        judged[lead].parts.push(at);
        judged[lead].parts.extend(below);
    }
}
