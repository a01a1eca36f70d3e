//! Promotions under way: a change that came to an earlier environment has to reach the later ones within a deadline.

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::judge::Bench;
use crate::policy::Verdict;
use crate::since::{Became as _, FactBecame, Moments};
use crate::spread::{Spread, What};

/// A change on its way through the environments.
pub(crate) struct Promotion {
    /// When it has to be everywhere.
    pub(crate) deadline: Timestamp,
    /// The cohorts that do not have it yet, by cohort.
    pub(crate) behind: Vec<bool>,
    /// The deadline as the policy writes it, and the reason of its rule.
    pub(crate) reason: String,
    /// The value that is promoted.
    pub(crate) value: Option<String>,
}

/// The promotion that a difference is part of, if a rule sets a deadline and all of it is one: the earliest environment
/// has something newer, and everybody else has either that or what was before.
pub(crate) fn promotion(
    bench: &Bench<'_>,
    path: &str,
    spread: &Spread,
    verdict: &Verdict,
) -> Option<Promotion> {
    let (within, rule) = bench.policy.deadline(verdict)?;
    let cohorts = &bench.role.cohorts;
    let agreed_on: Vec<usize> = (0..cohorts.len())
        .filter(|at| spread.held(*at).any(|(_, outcome)| outcome.what.is_readable()))
        .collect();
    if agreed_on.iter().any(|at| spread.disagrees(*at)) {
        return None;
    }
    let first = *agreed_on.iter().min_by_key(|at| cohorts[**at].environment)?;
    let new = spread.consensus(first)?;
    let became = FactBecame { role: bench.role, path };
    let since = |cohort: usize| {
        let consensus = spread.consensus(cohort)?;
        Moments::new(spread, bench.contents, bench.role, &became, cohort).agreed(consensus)
    };
    let came = since(first)?;
    let mut behind = vec![false; cohorts.len()];
    for at in agreed_on {
        let own = spread.consensus(at)?;
        if own == new {
            continue;
        }
        let is_older = match (&spread.outcomes[own].what, &spread.outcomes[new].what) {
            (What::Present(own), What::Present(new)) => verdict.compare.order(own, new),
            _ => None,
        };
        let older = match is_older {
            Some(order) => order == Ordering::Less,
            None => since(at)? < came,
        };
        if !older {
            return None;
        }
        behind[at] = true;
    }
    // Whoever came with it has not changed: that is a difference, and nothing was promoted.
    let of_first = bench.role.cohorts[first].fresh() & &*became.moved();
    let changed = of_first.into_iter().any(|node| {
        spread.outcome_of(bench.contents.group_of(node)) == new
            && became.became(node) > bench.role.node(node).since
    });
    if !changed {
        return None;
    }
    Some(Promotion {
        deadline: came.saturating_add(within).ok()?,
        behind,
        reason: rule.reason.clone(),
        value: spread.outcomes[new].shown.clone(),
    })
}
