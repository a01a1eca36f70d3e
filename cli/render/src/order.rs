//! Names as people count: `web-2` before `web-11`. The engine and the collector keep plain order, which costs a large fleet
//! less; whatever is shown is put in this one first, in every format.

use std::cmp::Ordering;
use std::sync::Arc;

use evenkeel_drift::affected::{Affected, Found, Place};
use evenkeel_drift::explain::Explanation;
use evenkeel_drift::report::{Finding, Names, Report, Unknown};
use evenkeel_drift::values::{EnvironmentValues, Held, RoleValues, Values};
use evenkeel_facts::natural;

/// The nodes of a report, its findings and what it cannot tell.
pub(crate) fn report(report: &mut Report) {
    for environment in &mut report.environments {
        natural::sort(&mut environment.stale_nodes);
    }
    findings(&mut report.findings);
    unknowns(&mut report.unknowns);
}

/// The worst first, as the engine has them.
pub(crate) fn findings(findings: &mut [Finding]) {
    for finding in findings.iter_mut() {
        self::finding(finding);
    }
    stable(findings, |a, b| {
        let same = b.severity.cmp(&a.severity).then_with(|| natural::order(&a.path, &b.path));
        let same = same.then_with(|| natural::order(&a.role, &b.role));
        same.then(a.kind.cmp(&b.kind)).then_with(|| a.id.cmp(&b.id))
    });
}

/// The nodes of one finding, and its parts.
pub(crate) fn finding(finding: &mut Finding) {
    names(&mut finding.nodes);
    stable(&mut finding.parts, |a, b| {
        b.severity.cmp(&a.severity).then_with(|| natural::order(&a.path, &b.path))
    });
}

/// A list that others hold, too, stays what it is where it is in order already.
fn names(names: &mut Names) {
    if !natural::is_sorted(names) {
        natural::sort(Arc::make_mut(names));
    }
}

/// The worst first, as the engine has them.
pub(crate) fn unknowns(unknowns: &mut [Unknown]) {
    for unknown in unknowns.iter_mut() {
        names(&mut unknown.nodes);
    }
    stable(unknowns, |a, b| {
        let same = b.severity.cmp(&a.severity).then_with(|| natural::order(&a.path, &b.path));
        same.then_with(|| natural::order(&a.role, &b.role))
    });
}

/// Roles, and in each the nodes of every value.
pub(crate) fn values(values: &mut Values) {
    stable(&mut values.roles, |a, b| natural::order(&a.role, &b.role));
    for RoleValues { environments, .. } in &mut values.roles {
        for EnvironmentValues { values, stale, .. } in environments {
            for Held { nodes, .. } in values {
                natural::sort(nodes);
            }
            natural::sort(stale);
        }
    }
}

/// Everything that an explanation lists. Those that deviate and those that changed last stay in front.
pub(crate) fn explanation(explanation: &mut Explanation) {
    findings(&mut explanation.findings);
    unknowns(&mut explanation.unknowns);
    values(&mut explanation.values);
}

/// Programs, and in each the nodes.
pub(crate) fn affected(affected: &mut Affected) {
    let places = |places: &mut [Place]| {
        for Place { nodes, stale, .. } in places {
            natural::sort(nodes);
            natural::sort(stale);
        }
    };
    for advised in &mut affected.affected {
        for found in &mut advised.found {
            places(&mut found.places);
        }
        let same = |a: &Found, b: &Found| (&a.module, &a.version) == (&b.module, &b.version);
        for group in advised.found.chunk_by_mut(same) {
            stable(group, |a, b| natural::order(&a.thing, &b.thing));
        }
    }
    for unjudged in &mut affected.unknowns {
        places(&mut unjudged.places);
    }
}

/// Sorts; what is in order already costs one look.
pub(crate) fn stable<T>(list: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
    if !list.is_sorted_by(|a, b| order(a, b).is_le()) {
        list.sort_by(order);
    }
}
