//! One cause, one finding: differences of the same nodes from the same moment on are listed under the worst of them.

use std::collections::HashMap;

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

/// Finds what has one cause. Nodes that differ from their first commit on differ for many reasons, so only what was the
/// same before counts. Of what is critical each speaks for itself.
pub(crate) fn fold(bench: &Bench<'_>, judged: &mut [Judged<'_, '_>]) {
    if bench.role.nodes.is_unchanged() {
        return;
    }
    let mut by_cause: HashMap<(Vec<u32>, Timestamp, Option<String>), Vec<usize>> = HashMap::new();
    for (at, one) in judged.iter().enumerate() {
        let Difference { status, acceptance, .. } = &one.difference;
        if one.is_part || !matches!(status, Status::Open | Status::Accepted) {
            continue;
        }
        let (mut nodes, since) = bench.extent(one.row, &one.difference, one.is_thing);
        if let Some(since) = since {
            nodes.sort_unstable();
            let signed = acceptance.as_ref().map(|acceptance| acceptance.id.clone());
            by_cause.entry((nodes, since, signed)).or_default().push(at);
        }
    }
    for ((_, since, _), mut same) in by_cause {
        if same.len() >= LEAST {
            same.retain(|at| bench.changed_at(judged[*at].row, judged[*at].is_thing, since));
        }
        if same.len() < LEAST {
            continue;
        }
        let severity = |at: usize| judged[at].difference.severity;
        same.sort_by(|a, b| {
            severity(*b).cmp(&severity(*a)).then_with(|| judged[*a].row.path.cmp(judged[*b].row.path))
        });
        let (lead, rest) = (same[0], &same[1..]);
        let parts: Vec<usize> =
            rest.iter().copied().filter(|at| severity(*at) < Severity::Critical).collect();
        if parts.len() + 1 < LEAST {
            continue;
        }
        for at in parts {
            judged[at].is_part = true;
            let below = std::mem::take(&mut judged[at].parts);
            judged[lead].parts.push(at);
            judged[lead].parts.extend(below);
        }
    }
}
