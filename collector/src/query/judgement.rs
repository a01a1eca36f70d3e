//! The policy, what is signed off, baselines, and findings as they come and go.

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
    let wanted = move |transition: &Transition| transition.finding.severity >= least;
    let standing = tokio_stream::iter(standing).filter(wanted).map(|one| Ok(to_wire(one)));
    let coming = coming.filter_map(move |received| match received {
        Ok(transition) => wanted(&transition).then(|| Ok(to_wire(transition))),
        // Whoever reads more slowly than findings change has to look at the report.
        Err(_) => Some(Err(Status::data_loss("transitions were missed: ask for a report, then watch again"))),
    });
    Box::pin(standing.chain(coming))
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
