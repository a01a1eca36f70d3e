//! The one sentence of a finding: `staging: 9 of 12 nodes have 4096, prod has 65535`.

use std::cmp::Ordering;

use crate::compare::Compare;
use crate::report::Kind;
use crate::scope::Role;
use crate::spread::{Outcome, Spread, What};

/// The longest value in a sentence, in characters.
const MAX_SHOWN: usize = 60;
/// How many values of one environment a sentence names.
const MAX_NAMED: usize = 3;

/// The sentence. `deviates` says which outcomes of a cohort the finding speaks of.
pub(crate) fn sentence(
    spread: &Spread,
    role: &Role<'_>,
    kind: Kind,
    compare: Compare,
    deviates: impl Fn(usize, usize) -> bool,
) -> String {
    let reference = if kind == Kind::Split { None } else { spread.consensus(0) };
    let mut clauses = Vec::new();
    for (at, cohort) in role.cohorts.iter().enumerate() {
        let mut deviating: Vec<(usize, &Outcome)> =
            spread.held(at).filter(|(outcome, _)| deviates(at, *outcome)).collect();
        if deviating.is_empty() || (reference.is_some() && at == 0) {
            continue;
        }
        sort(&mut deviating, at);
        let nodes = cohort.size as usize;
        let mut clause = match deviating[..] {
            [(_, only)] if only.counts[at] as usize == nodes => whole(cohort.name, only),
            _ => part(cohort.name, &deviating, at, nodes),
        };
        if let (Some(reference), [(_, only)]) = (reference, &deviating[..])
            && let Some(order) = order(compare, only, &spread.outcomes[reference])
        {
            clause.push_str(&order);
            clause.push_str(&possessive(role.cohorts[0].name, &spread.outcomes[reference]));
            clauses.push((clause, true));
            continue;
        }
        if reference.is_none()
            && let Some(agreed) = spread.consensus(at).filter(|agreed| !deviates(at, *agreed))
        {
            let outcome = &spread.outcomes[agreed];
            clause = format!("{clause}, {}", counted(outcome, outcome.counts[at]));
        }
        clauses.push((clause, false));
    }
    let mut text = clauses.iter().map(|(clause, _)| clause.as_str()).collect::<Vec<_>>().join("; ");
    if let Some(reference) = reference
        && !clauses.iter().all(|(_, said)| *said)
    {
        let (all, said) = of_reference(role, spread, reference);
        text.push_str(if all && clauses.len() == 1 { ", " } else { "; " });
        text.push_str(&said);
    }
    match &role.note {
        Some(note) => format!("{text} ({note})"),
        None => text,
    }
}

/// What is not as it should be: `staging has 1.20.14; dev: 2 of 3 nodes have 1.19.8; 1.21.6 is expected`. `wrong` says
/// how many nodes of a cohort hold an outcome that they should not.
pub(crate) fn unwanted(spread: &Spread, role: &Role<'_>, wrong: &[Vec<u32>], wanted: &str) -> String {
    let mut clauses = Vec::new();
    for (at, cohort) in role.cohorts.iter().enumerate() {
        let mut held: Vec<(usize, Outcome)> = spread
            .held(at)
            .filter(|(outcome, _)| wrong[at][*outcome] > 0)
            .map(|(outcome, held)| {
                let mut counts = held.counts.clone();
                counts[at] = wrong[at][outcome];
                (outcome, Outcome { what: held.what.clone(), shown: held.shown.clone(), counts })
            })
            .collect();
        held.sort_by(|(a, _), (b, _)| wrong[at][*b].cmp(&wrong[at][*a]).then(a.cmp(b)));
        let mut held: Vec<(usize, &Outcome)> = held.iter().map(|(outcome, held)| (*outcome, held)).collect();
        sort(&mut held, at);
        match held[..] {
            [] => {}
            [(_, only)] if only.counts[at] as usize == cohort.size as usize => {
                clauses.push(whole(cohort.name, only));
            }
            _ => clauses.push(part(cohort.name, &held, at, cohort.size as usize)),
        }
    }
    format!("{}; {wanted}", clauses.join("; "))
}

/// What comes with the next restart or boot: `staging: 3 of 4 nodes change at the next boot: 4096, then 65535`.
pub(crate) fn latent(spread: &Spread, role: &Role<'_>, changes: &[bool], is_restart: bool) -> String {
    let mut clauses = Vec::new();
    for (at, cohort) in role.cohorts.iter().enumerate().rev() {
        let mut changing: Vec<(usize, &Outcome)> =
            spread.held(at).filter(|(outcome, _)| changes[*outcome]).collect();
        sort(&mut changing, at);
        let Some((_, first)) = changing.first() else { continue };
        let count: u32 = changing.iter().map(|(_, outcome)| outcome.counts[at]).sum();
        let nodes = cohort.size as usize;
        let who = if count as usize == nodes && nodes == 1 {
            cohort.name.to_owned()
        } else if count as usize == nodes {
            format!("{}: all {nodes} nodes", cohort.name)
        } else {
            format!("{}: {count} of {nodes} nodes", cohort.name)
        };
        let one = count == 1;
        let more = match changing.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        clauses.push(match (is_restart, one) {
            (true, true) => format!("{who} runs what is no longer on the disk: a restart is pending"),
            (true, false) => format!("{who} run what is no longer on the disk: a restart is pending"),
            (false, true) => format!("{who} changes at the next boot: {}{more}", shown(first)),
            (false, false) => format!("{who} change at the next boot: {}{more}", shown(first)),
        });
    }
    clauses.join("; ")
}

/// Whether all of its nodes hold it, and `prod has 65535` or `prod: 400 of 412 nodes have 65535`.
fn of_reference(role: &Role<'_>, spread: &Spread, consensus: usize) -> (bool, String) {
    let (cohort, outcome) = (&role.cohorts[0], &spread.outcomes[consensus]);
    let nodes = cohort.size as usize;
    if outcome.counts[0] as usize == nodes {
        (true, whole(cohort.name, outcome))
    } else {
        (false, part(cohort.name, &[(consensus, outcome)], 0, nodes))
    }
}

/// All nodes of an environment.
fn whole(environment: &str, outcome: &Outcome) -> String {
    match &outcome.what {
        What::Absent => format!("missing in {environment}"),
        _ => format!("{environment} has {}", shown(outcome)),
    }
}

/// Some of them: the first with the total, the others by their count.
fn part(environment: &str, outcomes: &[(usize, &Outcome)], cohort: usize, nodes: usize) -> String {
    let (_, first) = outcomes[0];
    let count = first.counts[cohort];
    let mut text = match &first.what {
        What::Absent => format!("{environment}: missing on {count} of {nodes} nodes"),
        _ => format!("{environment}: {count} of {nodes} nodes {} {}", have(count), shown(first)),
    };
    for (_, outcome) in outcomes.iter().take(MAX_NAMED).skip(1) {
        text = format!("{text}, {}", counted(outcome, outcome.counts[cohort]));
    }
    match outcomes.len().saturating_sub(MAX_NAMED) {
        0 => text,
        1 => format!("{text}, and one other value"),
        more => format!("{text}, and {more} other values"),
    }
}

/// `9 have 65535`.
fn counted(outcome: &Outcome, count: u32) -> String {
    match &outcome.what {
        What::Absent => format!("missing on {count}"),
        _ => format!("{count} {} {}", have(count), shown(outcome)),
    }
}

fn have(count: u32) -> &'static str {
    if count == 1 { "has" } else { "have" }
}

/// `, older than `, when the versions have an order.
fn order(compare: Compare, own: &Outcome, reference: &Outcome) -> Option<String> {
    let (What::Present(own), What::Present(reference)) = (&own.what, &reference.what) else { return None };
    match compare.order(own, reference)? {
        Ordering::Less => Some(", older than ".to_owned()),
        Ordering::Greater => Some(", newer than ".to_owned()),
        Ordering::Equal => None,
    }
}

/// `prod's 1.21.6`.
fn possessive(environment: &str, outcome: &Outcome) -> String {
    format!("{environment}'s {}", shown(outcome))
}

/// The value, cut after 60 characters.
fn shown(outcome: &Outcome) -> String {
    let text = match outcome.shown.as_deref() {
        None => return "it".to_owned(),
        Some("") => return "an empty value".to_owned(),
        Some(text) => text,
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The most frequent first; of equally frequent ones what is there before what is missing, then by text.
fn sort(outcomes: &mut [(usize, &Outcome)], cohort: usize) {
    let absent = |outcome: &Outcome| outcome.what == What::Absent;
    outcomes.sort_by(|(_, a), (_, b)| {
        let count = b.counts[cohort].cmp(&a.counts[cohort]);
        count.then_with(|| absent(a).cmp(&absent(b))).then_with(|| a.shown.cmp(&b.shown))
    });
}
