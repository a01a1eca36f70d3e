//! The policy, what is signed off, baselines, and findings as they come and go.

use std::collections::HashSet;
use std::pin::Pin;

use evenkeel_drift::acceptance::Subject;
use evenkeel_drift::explain::rules;
use evenkeel_drift::report::Severity;
use evenkeel_proto::{report as wire, reports, times};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{Reports, json};
use crate::access::Peer;
use crate::judgement::{Baseline, Signed};
use crate::scope::Scope;
use crate::transitions::{Change, Transition};

/// Transitions as they come.
pub(super) type Watched = Pin<Box<dyn Stream<Item = Result<wire::Transition, Status>> + Send>>;

impl Reports {
    pub(super) fn policy(&self, path: &str) -> Result<wire::GetPolicyResponse, Status> {
        let state = self.ledger.state();
        let judgement = state.judgement();
        let policy = judgement.policy();
        let json = if path.is_empty() { String::new() } else { json(&rules(policy, path))? };
        Ok(wire::GetPolicyResponse { label: policy.label(), text: judgement.policy_text().to_owned(), json })
    }

    /// Whoever is limited to some environments sees what holds in all of them, and its own: the findings of others may be
    /// of other environments.
    pub(super) fn acceptances(&self, caller: &Peer) -> wire::ListAcceptancesResponse {
        let sees_all = matches!(caller, Peer::User { scope: Scope::Everywhere, .. });
        let by = caller.to_string();
        let is_seen = |signed: &&Signed| {
            sees_all || signed.by == by || matches!(signed.acceptance.subject, Subject::Paths(_))
        };
        let (state, now) = self.ledger.now();
        let one = |signed: &Signed| {
            let Signed { acceptance, by, at } = signed.clone();
            let (findings, paths) = match acceptance.subject {
                Subject::Paths(glob) => (Vec::new(), glob.as_str().to_owned()),
                Subject::Findings(known) => {
                    let known = known.into_iter();
                    let one = known.map(|one| wire::AcceptedFinding { id: one.finding, path: one.path });
                    (one.collect(), String::new())
                }
            };
            wire::Acceptance {
                id: acceptance.id,
                findings,
                paths,
                owner: acceptance.owner,
                reason: acceptance.reason,
                expired: acceptance.until <= now,
                until: Some(times::to_wire(acceptance.until)),
                by,
                at: Some(times::to_wire(at)),
            }
        };
        wire::ListAcceptancesResponse {
            acceptances: state.judgement().signed().iter().filter(is_seen).map(one).collect(),
        }
    }

    pub(super) fn baselines(&self, scope: &Scope) -> wire::ListBaselinesResponse {
        let state = self.ledger.state();
        let seen =
            |baseline: &&Baseline| baseline.nodes.iter().all(|(environment, _)| scope.includes(environment));
        let one = |baseline: &Baseline| {
            let Baseline { name, from, as_of, created, by, nodes, .. } = baseline.clone();
            wire::Baseline {
                name,
                from,
                as_of: Some(times::to_wire(as_of)),
                created: Some(times::to_wire(created)),
                by,
                nodes: nodes.len() as u64,
            }
        };
        wire::ListBaselinesResponse {
            baselines: state.judgement().baselines().filter(seen).map(one).collect(),
        }
    }
}

/// What stands first, then what happens.
pub(super) fn watched(
    standing: Vec<Transition>,
    coming: BroadcastStream<Transition>,
    least: Severity,
) -> Watched {
    let mut told = Told { least, open: HashSet::new() };
    let standing: Vec<Transition> = standing.into_iter().filter_map(|one| told.news(one)).collect();
    let standing = tokio_stream::iter(standing).map(|one| Ok(to_wire(one)));
    let coming = coming.filter_map(move |received| match received {
        Ok(transition) => told.news(transition).map(|news| Ok(to_wire(news))),
        // Whoever reads more slowly than findings change has to look at the report.
        Err(_) => Some(Err(Status::data_loss("transitions were missed: ask for a report, then watch again"))),
    });
    Box::pin(standing.chain(coming))
}

/// What one who watches knows to be open.
struct Told {
    least: Severity,
    /// Ids; no more than are open.
    open: HashSet<String>,
}

impl Told {
    /// What a transition is to whoever sees nothing below the least severity: what falls below it is over.
    fn news(&mut self, Transition { at, change, finding }: Transition) -> Option<Transition> {
        let change = if change == Change::Resolved || finding.severity < self.least {
            self.open.remove(&finding.id).then_some(Change::Resolved)?
        } else if self.open.insert(finding.id.clone()) && change == Change::Changed {
            Change::Opened
        } else {
            change
        };
        Some(Transition { at, change, finding })
    }
}

fn to_wire(Transition { at, change, finding }: Transition) -> wire::Transition {
    let change = match change {
        Change::Standing => wire::transition::Change::Standing,
        Change::Opened => wire::transition::Change::Opened,
        Change::Changed => wire::transition::Change::Changed,
        Change::Resolved => wire::transition::Change::Resolved,
        Change::Reopened => wire::transition::Change::Reopened,
    };
    wire::Transition {
        at: Some(times::to_wire(at)),
        change: change.into(),
        finding: Some(reports::finding_to_wire(finding)),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_drift::report::{Finding, Kind, Names, Status};
    use jiff::Timestamp;

    use super::*;

    fn news(told: &mut Told, id: &str, change: Change, severity: Severity) -> Option<Change> {
        let finding = Finding {
            id: id.to_owned(),
            path: "go.version".to_owned(),
            kind: Kind::Differs,
            severity,
            status: Status::Open,
            role: String::new(),
            values: Vec::new(),
            nodes: Names::default(),
            since: Timestamp::UNIX_EPOCH,
            summary: String::new(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        };
        told.news(Transition { at: Timestamp::UNIX_EPOCH, change, finding }).map(|news| news.change)
    }

    /// Promise: whoever asks for a least severity is told that a finding is over when it falls below, once, and that it
    /// opens when it rises again; nothing is kept of what is over.
    #[test]
    fn what_falls_below_the_least_severity_is_over() {
        use Severity::{Critical, Info};
        let mut told = Told { least: Severity::Warning, open: HashSet::new() };
        assert_eq!(news(&mut told, "f-1", Change::Standing, Critical), Some(Change::Standing));
        assert_eq!(news(&mut told, "f-2", Change::Standing, Info), None);
        assert_eq!(news(&mut told, "f-1", Change::Changed, Info), Some(Change::Resolved));
        assert_eq!(news(&mut told, "f-1", Change::Changed, Info), None);
        assert!(told.open.is_empty());
        assert_eq!(news(&mut told, "f-1", Change::Changed, Critical), Some(Change::Opened));
        assert_eq!(news(&mut told, "f-1", Change::Changed, Critical), Some(Change::Changed));
        assert_eq!(news(&mut told, "f-1", Change::Resolved, Critical), Some(Change::Resolved));
        assert_eq!(news(&mut told, "f-2", Change::Resolved, Info), None);
    }
}
