//! What is told as a part of what else is said: of the same nodes nothing is told twice, and of no node nothing.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use crate::fold::Judged;
use crate::judge::Bench;
use crate::latent;
use crate::report::{Finding, Kind, Status};

/// Facts that follow from others: another zone has other clock changes, and so has another edition of the database.
const CONSEQUENCES: &[(&str, &[&str])] = &[
    ("time.transitions", &["time.zone", "tzdata.version"]),
    ("time.rule", &["time.zone", "tzdata.version", "time.transitions"]),
    ("tzdata.package", &["tzdata.version"]),
];

/// The facts of which this one is a consequence: what is itself a consequence stands last.
fn causes(path: &str) -> &'static [&'static str] {
    CONSEQUENCES.iter().find(|(consequence, _)| *consequence == path).map_or(&[], |(_, causes)| causes)
}

/// A finding of a fact as such, not of how cohorts differ in it: a violation, or what is latent.
pub(crate) struct Whole {
    pub(crate) finding: Finding,
    /// The nodes that it tells of, by place: of what is latent also those that it would name if something changed there.
    pub(crate) told: RoaringBitmap,
}

/// What another difference is listed under.
#[derive(Debug, Clone, Copy)]
enum Lead {
    /// By index.
    Whole(usize),
    /// By index.
    Judged(usize),
}

/// Lists open differences under what they are parts of: one at a fact that violates the policy, one that follows from
/// another, what sysctl.d says of a parameter under what is said of the parameter. Only where all of its nodes are told
/// of there: what one environment does hides no other. Only under what is at least as bad: nothing looks milder than it is.
/// What is under a part is under what that is a part of.
pub(crate) fn attach(bench: &Bench<'_>, judged: &mut [Judged<'_, '_>], whole: &mut [Whole]) {
    let is_open = |at: &usize| judged[*at].difference.status == Status::Open;
    let open: Vec<usize> = (0..judged.len()).filter(is_open).collect();
    let place: HashMap<&str, usize> = open.iter().map(|at| (judged[*at].row.path, *at)).collect();
    let mut leads: HashMap<usize, Lead> = HashMap::new();
    for &at in &open {
        let severity = judged[at].difference.severity;
        let mut candidates = candidates(judged[at].row.path, whole, &place);
        candidates.retain(|lead| match lead {
            Lead::Whole(lead) => whole[*lead].finding.severity >= severity,
            Lead::Judged(lead) => judged[*lead].difference.severity >= severity,
        });
        let Some(first) = candidates.first() else { continue };
        let mut left: RoaringBitmap = nodes(bench, &judged[at]);
        for lead in &candidates {
            match lead {
                Lead::Whole(lead) => left -= &whole[*lead].told,
                Lead::Judged(lead) => left -= nodes(bench, &judged[*lead]),
            }
        }
        if left.is_empty() {
            leads.insert(at, *first);
        }
    }
    for (&at, &lead) in &leads {
        let mut top = lead;
        while let Lead::Judged(lead) = top {
            let Some(above) = leads.get(&lead) else { break };
            top = *above;
        }
        match top {
            Lead::Whole(lead) => {
                let part = bench.part(judged[at].row, &judged[at].difference);
                whole[lead].finding.parts.push(part);
            }
            Lead::Judged(lead) => judged[lead].parts.push(at),
        }
        judged[at].is_part = true;
    }
    for Whole { finding, .. } in whole {
        finding.parts.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

/// What a difference at a path may be a part of, the nearest first.
fn candidates(path: &str, whole: &[Whole], place: &HashMap<&str, usize>) -> Vec<Lead> {
    let running = latent::running(path);
    let is_wanted = |Whole { finding, .. }: &Whole| {
        let is_cause = finding.path == path || causes(path).contains(&finding.path.as_str());
        let violates = finding.kind == Kind::Violates && is_cause;
        let is_whole = running.as_ref().map_or(violates, |running| finding.path == *running);
        // What is hidden hides nothing else.
        is_whole && finding.status == Status::Open
    };
    let of_whole = whole.iter().enumerate().filter(|(_, whole)| is_wanted(whole));
    let others = causes(path).iter().copied().chain(running.as_deref());
    let others = others.filter_map(|cause| place.get(cause).copied()).map(Lead::Judged);
    of_whole.map(|(at, _)| Lead::Whole(at)).chain(others).collect()
}

fn nodes(bench: &Bench<'_>, judged: &Judged<'_, '_>) -> RoaringBitmap {
    bench.nodes(judged.row, &judged.difference).into_iter().collect()
}
