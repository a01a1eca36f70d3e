//! What operators say of drift: the policy, sign-off, baselines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use evenkeel_drift::acceptance::{Known, Subject};
use evenkeel_drift::policy::Checked;
use evenkeel_drift::report::Finding;
use evenkeel_drift::{Policy, Query, evaluate, open_findings};
use evenkeel_facts::{Glob, Section, SectionDigest};
use evenkeel_proto::{admin as wire, times};
use evenkeel_runtime::label;
use evenkeel_store::entry::{
    Accepted, AcceptedFinding, BaselineCreated, BaselineDeleted, FrozenNode, PolicyApplied, Unaccepted,
};
use evenkeel_store::{Content, Entry};
use jiff::Timestamp;
use tonic::Status;
use uuid::Uuid;

use super::{Actor, Admin};
use crate::archive::View;
use crate::ledger::{Decision, Key};
use crate::operand::selected;
use crate::scope::Scope;
use crate::state::State;

/// The longest owner, reason or glob, in bytes.
const MAX_TEXT: usize = 1024;
/// The most findings in one acceptance.
const MAX_FINDINGS: usize = 100_000;
/// The most baselines: each is kept in memory.
const MAX_BASELINES: usize = 100;

/// One at a time: what comes next is decided on what was before.
fn key() -> Key {
    Key::Token("judgement".to_owned())
}

impl Admin {
    pub(super) async fn apply(
        &self,
        wire::ApplyPolicyRequest { text }: wire::ApplyPolicyRequest,
        Actor { by, scope: _ }: Actor,
    ) -> Result<wire::ApplyPolicyResponse, Status> {
        let environments = self.ledger.state().environments().to_vec();
        let (Checked { policy, doubts }, text) = checked(text, environments).await?;
        let doubts: Vec<String> = doubts.iter().map(ToString::to_string).collect();
        let decide = move |state: &State| {
            let judgement = state.judgement();
            if judgement.policy_text() == text {
                let label = judgement.policy().label();
                return Decision::only(wire::ApplyPolicyResponse { label, changed: false, doubts });
            }
            let version = judgement.next_version(policy.name(), policy.version());
            let label = policy.with_version(version).label();
            let entry = Entry::PolicyApplied(PolicyApplied { text, version, by });
            let answer = wire::ApplyPolicyResponse { label, changed: true, doubts };
            Decision { entries: vec![entry], sections: vec![], answer }
        };
        self.ledger.change(key(), decide).await.map_err(|error| Status::unavailable(error.to_string()))
    }

    pub(super) async fn sign_off(
        &self,
        request: wire::AcceptRequest,
        Actor { by, scope }: Actor,
    ) -> Result<wire::AcceptResponse, Status> {
        let wire::AcceptRequest { findings, paths, all_open, owner, reason, until } = request;
        let refuse = |why: &str| Err(Status::invalid_argument(why));
        for (name, text) in [("an owner", &owner), ("a reason", &reason)] {
            if text.trim().is_empty() {
                return refuse(&format!("a sign-off needs {name}"));
            }
        }
        if [&owner, &reason, &paths].iter().any(|text| text.len() > MAX_TEXT) {
            return refuse(&format!("owner, reason and paths have at most {MAX_TEXT} bytes each"));
        }
        let Some(until) = until else { return refuse("a sign-off needs an end") };
        let until = times::from_wire("until", Some(until));
        let until = until.map_err(|error| Status::invalid_argument(error.to_string()))?;
        // What is replayed must be what was applied: to the millisecond.
        let until = Timestamp::from_millisecond(until.as_millisecond()).unwrap_or(until);
        let ways = usize::from(!findings.is_empty()) + usize::from(!paths.is_empty()) + usize::from(all_open);
        if ways != 1 {
            return refuse(
                "say what is accepted: findings, paths, or all that is open, and only one of these",
            );
        }
        if !paths.is_empty() && scope != Scope::Everywhere {
            return Err(Status::permission_denied(
                "paths are accepted in all environments, and your certificate is limited to some: accept findings",
            ));
        }
        let archive = self.archive.clone();
        let work = move || known(&archive.view(&scope), &findings, &paths, all_open);
        let (subject, covered) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Status::internal(format!("the engine failed: {error}")))??;
        if until <= self.ledger.now().1 {
            return refuse(&format!("{until:.0} is over: a sign-off ends later than now"));
        }
        let id = format!("a-{}", &Uuid::new_v4().simple().to_string()[..10]);
        let (findings, paths) = match subject {
            Subject::Paths(glob) => (Vec::new(), glob.as_str().to_owned()),
            Subject::Findings(known) => (known.into_iter().map(to_entry).collect(), String::new()),
        };
        let accepted = Accepted { id: id.clone(), findings, paths, owner, reason, until, by };
        self.record(Entry::Accepted(accepted)).await?;
        Ok(wire::AcceptResponse { id, covered: covered as u64 })
    }

    pub(super) async fn take_back(
        &self,
        wire::UnacceptRequest { id }: wire::UnacceptRequest,
        Actor { by, scope }: Actor,
    ) -> Result<wire::UnacceptResponse, Status> {
        {
            let state = self.ledger.state();
            let signed = state.judgement().signed().iter().find(|signed| signed.acceptance.id == id);
            let Some(signed) = signed else {
                return Err(Status::not_found(format!("there is no sign-off {id:?}: see evenkeel accepted")));
            };
            if scope != Scope::Everywhere && signed.by != by {
                return Err(Status::permission_denied(format!(
                    "{} gave {id}, and your certificate is limited to some environments",
                    signed.by
                )));
            }
        }
        self.record(Entry::Unaccepted(Unaccepted { id, by })).await?;
        Ok(wire::UnacceptResponse {})
    }

    pub(super) async fn keep(
        &self,
        request: wire::CreateBaselineRequest,
        Actor { by, scope }: Actor,
    ) -> Result<wire::CreateBaselineResponse, Status> {
        let wire::CreateBaselineRequest { name, from, policy } = request;
        if !label::is_label(&name) {
            return Err(Status::invalid_argument(format!(
                "{name:?} is not a name of a-z, 0-9, '.', '_' and '-'"
            )));
        }
        if !policy.is_empty() {
            let environments = self.ledger.state().environments().to_vec();
            checked(policy.clone(), environments).await?;
        }
        let archive = self.archive.clone();
        let frozen = tokio::task::spawn_blocking(move || {
            let view = archive.view(&scope);
            if !policy.is_empty() {
                let nothing = (Vec::new(), Vec::new(), Vec::new());
                return Ok((nothing, view.now, from, policy));
            }
            let (what, at) = match from.split_once('@') {
                None => (from.as_str(), None),
                Some((what, moment)) => {
                    let why = || {
                        Status::invalid_argument(format!(
                            "{moment:?} is no time such as 2026-11-20T03:12:00Z"
                        ))
                    };
                    (what, Some(moment.parse::<Timestamp>().map_err(|_| why())?))
                }
            };
            let past = at.map(|at| archive.view_at(&scope, at)).transpose()?;
            let view = past.unwrap_or(view);
            let frozen = freeze(&view, what, &from)?;
            Ok::<_, Status>((frozen, view.now, from, policy))
        });
        let (frozen, as_of, from, policy) =
            frozen.await.map_err(|error| Status::internal(error.to_string()))??;
        let (sections, nodes, contents) = frozen;
        let count = nodes.len() as u64;
        let decide = move |state: &State| {
            let judgement = state.judgement();
            if judgement.baseline(&name).is_some() {
                let why =
                    format!("there is a baseline {name:?} already: delete it first, or take another name");
                return Decision::only(Err(Status::already_exists(why)));
            }
            if judgement.baselines().count() >= MAX_BASELINES {
                let why = format!("there are {MAX_BASELINES} baselines already: delete one first");
                return Decision::only(Err(Status::failed_precondition(why)));
            }
            let created = BaselineCreated { name, from, as_of, sections, nodes, policy, by };
            let answer = Ok(wire::CreateBaselineResponse { nodes: count });
            Decision { entries: vec![Entry::BaselineCreated(created)], sections: contents, answer }
        };
        self.ledger.change(key(), decide).await.map_err(|error| Status::unavailable(error.to_string()))?
    }

    pub(super) async fn forget(
        &self,
        wire::DeleteBaselineRequest { name }: wire::DeleteBaselineRequest,
        Actor { by, scope }: Actor,
    ) -> Result<wire::DeleteBaselineResponse, Status> {
        let decide = move |state: &State| {
            let known = state.judgement().baseline(&name);
            let seen = known.filter(|known| known.nodes.iter().all(|(place, _)| scope.includes(place)));
            if seen.is_none() {
                let why = format!("there is no baseline {name:?}: see evenkeel baseline list");
                return Decision::only(Err(Status::not_found(why)));
            }
            let entry = Entry::BaselineDeleted(BaselineDeleted { name, by });
            Decision { entries: vec![entry], sections: vec![], answer: Ok(wire::DeleteBaselineResponse {}) }
        };
        self.ledger.change(key(), decide).await.map_err(|error| Status::unavailable(error.to_string()))?
    }
}

/// A policy that can be put in force, and its text. On a thread of its own: a long one takes a while.
async fn checked<E>(text: String, environments: Vec<E>) -> Result<(Checked, String), Status>
where
    E: AsRef<str> + Send + 'static,
{
    let check = move || Policy::check(&text, &environments).map(|checked| (checked, text));
    let checked = tokio::task::spawn_blocking(check).await;
    let checked = checked.map_err(|error| Status::internal(format!("the check failed: {error}")))?;
    checked.map_err(|error| Status::invalid_argument(error.to_string()))
}

/// What is accepted, and how many open findings that covers now.
fn known(view: &View, ids: &[String], paths: &str, all_open: bool) -> Result<(Subject, usize), Status> {
    let View { fleet, policy, now, .. } = view;
    let each = open_findings(fleet, policy, *now);
    if !paths.is_empty() {
        let glob = Glob::new(paths);
        let covered = each.iter().filter(|finding| glob.matches(&finding.path)).count();
        return Ok((Subject::Paths(glob), covered));
    }
    let query = Query { min_severity: None, ..Query::default() };
    let report = evaluate(fleet, policy, &query, *now);
    let mut wanted: HashSet<&str> = HashSet::new();
    for id in ids {
        let lead = report.findings.iter().find(|finding| finding.id == *id);
        match lead {
            Some(finding) => {
                wanted.insert(&finding.id);
                wanted.extend(finding.parts.iter().map(|part| part.id.as_str()));
            }
            None if each.iter().any(|finding| finding.id == *id) => {
                wanted.insert(id);
            }
            None => {
                return Err(Status::not_found(format!(
                    "no finding {id:?} is open: see evenkeel report --all"
                )));
            }
        }
    }
    // A finding that others are folded into may say more than it does alone.
    let mut all: BTreeMap<&str, &Finding> =
        each.iter().map(|finding| (finding.id.as_str(), finding)).collect();
    all.extend(report.findings.iter().map(|finding| (finding.id.as_str(), finding)));
    let taken = all.into_values().filter(|finding| all_open || wanted.contains(finding.id.as_str()));
    let known: Vec<Known> =
        taken.map(|finding| Known::of(&finding.id, &finding.path, &finding.values)).collect();
    if known.is_empty() {
        return Err(Status::failed_precondition("nothing is open: there is nothing to accept"));
    }
    if known.len() > MAX_FINDINGS {
        return Err(Status::invalid_argument(format!(
            "{} findings are too many for one sign-off, which has at most {MAX_FINDINGS}: accept paths",
            known.len()
        )));
    }
    let covered = if all_open { report.findings.len() } else { ids.len() };
    Ok((Subject::Findings(known), covered))
}

fn to_entry(Known { finding, path, values }: Known) -> AcceptedFinding {
    AcceptedFinding { id: finding, path, values: values.into_iter().collect() }
}

type Frozen = (Vec<SectionDigest>, Vec<FrozenNode>, Vec<Content>);

/// The fresh nodes behind a selector, and the contents that they share.
fn freeze(view: &View, what: &str, label: &str) -> Result<Frozen, Status> {
    let side = selected(&view.fleet, what, label).map_err(Status::invalid_argument)?;
    let mut sections: Vec<SectionDigest> = Vec::new();
    let mut contents = Vec::new();
    let mut places: HashMap<*const Section, u32> = HashMap::new();
    let mut nodes = Vec::new();
    for node in side.nodes.iter().filter(|node| node.fresh) {
        let mut own = Vec::with_capacity(node.sections.len());
        for section in &node.sections {
            let place = *places.entry(Arc::as_ptr(section)).or_insert_with(|| {
                let digest = section.digest();
                sections.push(SectionDigest { name: section.name().to_owned(), digest });
                contents.push(Arc::clone(section).into());
                u32::try_from(sections.len() - 1).unwrap_or(u32::MAX)
            });
            own.push(place);
        }
        nodes.push(FrozenNode {
            node: Uuid::parse_str(&node.id).unwrap_or_default(),
            environment: view.fleet.environments[node.environment].to_string(),
            host: node.name.to_string(),
            role: node.role.to_string(),
            sections: own,
        });
    }
    if nodes.is_empty() {
        return Err(Status::failed_precondition(format!(
            "{label} has no fresh node: there is nothing to keep"
        )));
    }
    Ok((sections, nodes, contents))
}
