//! ReportService: what people and tools ask. Nothing here writes.

mod explained;
mod judgement;
mod kept;
mod nodes;

use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_drift::fleet::{Fleet, Side};
use evenkeel_drift::report::Severity;
use evenkeel_drift::{Query, evaluate, evaluate_lasting, moments};
use evenkeel_facts::{Glob, Observation};
use evenkeel_proto::report::report_service_server::ReportService;
use evenkeel_proto::{affected, authors, report as wire, reports, times};
use evenkeel_runtime::exit;
use evenkeel_store::{Reader, StoreError};
use jiff::Timestamp;
use prost::Message as _;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::access::Peer;
use crate::archive::{Archive, View};
use crate::history::{self, Filter};
use crate::ledger::Ledger;
use crate::operand::{Chosen, choose};
use crate::scope::Scope;
use crate::state::{NodeState, State};
use crate::transitions::Transitions;
use kept::{Answer, Kept, LARGEST};

/// The most changes that one call returns.
const MAX_CHANGES: u32 = 10_000;

/// Answers from the state and the journal.
pub struct Reports {
    ledger: Ledger,
    reader: Arc<Mutex<Reader>>,
    archive: Archive,
    transitions: Transitions,
    evaluated: Arc<Kept<Query, wire::Report>>,
    values: Arc<Kept<String, wire::GetValuesResponse>>,
}

impl Reports {
    /// Answers from these.
    pub fn new(archive: Archive, reader: Reader, transitions: Transitions) -> Self {
        let (ledger, reader) = (archive.ledger().clone(), Arc::new(Mutex::new(reader)));
        let (evaluated, values) = Default::default();
        Self { ledger, reader, archive, transitions, evaluated, values }
    }

    /// Where the journal stands, and the moment of what is said of it now.
    fn position(&self) -> (u64, Timestamp) {
        let (state, now) = self.ledger.now();
        (state.journal, now)
    }

    /// Computes over the caller's environments, on a thread of its own, so that check-ins go on meanwhile.
    async fn compute<T: Send + 'static>(
        &self,
        scope: Scope,
        work: impl FnOnce(&View, &Archive, &Scope) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let archive = self.archive.clone();
        tokio::task::spawn_blocking(move || work(&archive.view(&scope), &archive, &scope))
            .await
            .map_err(|error| Status::internal(format!("the engine failed: {error}")))?
    }
}

#[tonic::async_trait]
impl ReportService for Reports {
    async fn get_report(
        &self,
        request: Request<wire::GetReportRequest>,
    ) -> Result<Response<wire::Report>, Status> {
        let scope = Scope::of(&request);
        let wire::GetReportRequest { environments, role, reference, severity, all, at } =
            request.into_inner();
        let at = at.map(|at| times::from_wire("at", Some(at))).transpose();
        let at = at.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let query = Query {
            environments: (!environments.is_empty()).then_some(environments),
            role,
            reference,
            min_severity: Some(reports::severity_from_wire(severity).unwrap_or(Severity::Warning)),
            all,
        };
        if at.is_none()
            && let (journal, now) = self.position()
            && let Some(kept) = self.evaluated.find(&query, &scope, journal, now)
        {
            let report = wire::Report::clone(&kept);
            return Ok(Response::new(wire::Report { as_of: Some(times::to_wire(now)), ..report }));
        }
        let evaluated = Arc::clone(&self.evaluated);
        self.compute(scope, move |view, archive, scope| {
            let past = at.map(|at| archive.view_at(scope, at)).transpose()?;
            let View { fleet, policy, now, until } = past.as_ref().unwrap_or(view);
            query.check(fleet).map_err(|error| Status::invalid_argument(error.to_string()))?;
            let lasting = evaluate_lasting(fleet, policy, &query, *now);
            let report = reports::to_wire(lasting.report);
            if past.is_none() && report.encoded_len() <= LARGEST {
                let (scope, said) = (scope.clone(), Arc::new(report.clone()));
                let (journal, until) = (fleet.journal, lasting.until.min(*until));
                evaluated.keep(Answer { question: query, scope, journal, from: *now, until, said });
            }
            Ok(Response::new(report))
        })
        .await
    }

    async fn diff(&self, request: Request<wire::DiffRequest>) -> Result<Response<wire::Report>, Status> {
        let scope = Scope::of(&request);
        let wire::DiffRequest { a, b, severity, all } = request.into_inner();
        let min_severity = Some(reports::severity_from_wire(severity).unwrap_or(Severity::Warning));
        self.compute(scope, move |view, archive, scope| {
            let chosen = [choose(archive, scope, view, a)?, choose(archive, scope, view, b)?];
            let are_moments =
                matches!(&chosen, [Chosen::Nodes(a), Chosen::Nodes(b)] if moments::share_nodes(a, b));
            let (fleet, policy) = match chosen {
                [Chosen::Nodes(a), Chosen::Nodes(b)] => {
                    (of_sides(view, vec![a, b]), Arc::clone(&view.policy))
                }
                [Chosen::Nodes(side), Chosen::Expectations(policy, _)]
                | [Chosen::Expectations(policy, _), Chosen::Nodes(side)] => {
                    (of_sides(view, vec![side]), policy)
                }
                [Chosen::Expectations(_, a), Chosen::Expectations(_, b)] => {
                    return Err(Status::invalid_argument(format!(
                        "{a} and {b} are both lists of expectations: hold nodes against one of them"
                    )));
                }
            };
            let reference = fleet.environments.last().map(ToString::to_string);
            let query = Query { reference, min_severity, all, ..Query::default() };
            let compare = if are_moments { moments::changes } else { evaluate };
            Ok(Response::new(reports::to_wire(compare(&fleet, &policy, &query, view.now))))
        })
        .await
    }

    async fn gate(
        &self,
        request: Request<wire::GateRequest>,
    ) -> Result<Response<wire::GateResponse>, Status> {
        let scope = Scope::of(&request);
        let wire::GateRequest { from, to, fail_on } = request.into_inner();
        let fail_on = reports::severity_from_wire(fail_on).unwrap_or(Severity::Warning);
        self.compute(scope, move |view, archive, scope| {
            let [from, to] = [choose(archive, scope, view, from)?, choose(archive, scope, view, to)?];
            let (Chosen::Nodes(from), Chosen::Nodes(to)) = (from, to) else {
                return Err(Status::invalid_argument(
                    "a list of expectations cannot be promoted: see evenkeel diff",
                ));
            };
            let fleet = of_sides(view, vec![from, to]);
            let (from, to) = (fleet.environments[0].to_string(), fleet.environments[1].to_string());
            let outcome = evenkeel_drift::gate::gate(&fleet, &view.policy, &from, &to, fail_on, view.now);
            Ok(Response::new(reports::gate_to_wire(outcome)))
        })
        .await
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        let scope = Scope::of(&request);
        let subject = request.into_inner().subject;
        let reader = Arc::clone(&self.reader);
        self.compute(scope, move |View { fleet, policy, now, .. }, _, _| {
            let explanation =
                evenkeel_drift::explain::explain(fleet, policy, &Query::default(), *now, &subject);
            let mut explanation = explanation.ok_or_else(|| {
                let sentence =
                    format!("there is no finding and no fact {subject:?} now: see evenkeel report --all");
                Status::not_found(sentence)
            })?;
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            explained::add_nodes(&mut explanation, fleet, &reader)
                .map_err(|error| Status::internal(exit::chain(&error)))?;
            Ok(Response::new(wire::ExplainResponse { json: json(&explanation)? }))
        })
        .await
    }

    async fn get_values(
        &self,
        request: Request<wire::GetValuesRequest>,
    ) -> Result<Response<wire::GetValuesResponse>, Status> {
        let scope = Scope::of(&request);
        let path = request.into_inner().path;
        let (journal, now) = self.position();
        if let Some(kept) = self.values.find(&path, &scope, journal, now) {
            return Ok(Response::new(wire::GetValuesResponse::clone(&kept)));
        }
        let kept = Arc::clone(&self.values);
        self.compute(scope, move |View { fleet, .. }, _, scope| {
            let values = evenkeel_drift::values::values(fleet, &path);
            if values.roles.is_empty() {
                let sentence = format!("no node knows a fact {path:?}: see evenkeel facts NODE");
                return Err(Status::not_found(sentence));
            }
            let values = wire::GetValuesResponse { json: json(&values)? };
            if values.encoded_len() <= LARGEST {
                let (scope, journal, said) = (scope.clone(), fleet.journal, Arc::new(values.clone()));
                // No value depends on the moment.
                let (from, until) = (Timestamp::MIN, Timestamp::MAX);
                kept.keep(Answer { question: path, scope, journal, from, until, said });
            }
            Ok(Response::new(values))
        })
        .await
    }

    async fn list_nodes(
        &self,
        request: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        let scope = Scope::of(&request);
        Ok(Response::new(nodes::list(&self.ledger.state(), &scope, request.into_inner())?))
    }

    async fn get_facts(
        &self,
        request: Request<wire::GetFactsRequest>,
    ) -> Result<Response<wire::GetFactsResponse>, Status> {
        let scope = Scope::of(&request);
        let wire::GetFactsRequest { node: name, glob } = request.into_inner();
        let state = self.ledger.state();
        let node = one_node(&state, &scope, &name)?;
        let glob = (!glob.is_empty()).then(|| Glob::new(&glob));
        let mut facts = Vec::new();
        for (path, observation) in node.view.sections.iter().flat_map(|section| section.facts()) {
            if glob.as_ref().is_none_or(|glob| glob.matches(path.as_str())) {
                let (state, value) = observation_to_wire(Some(observation));
                let since = Some(times::to_wire(node.since_of(path)));
                facts.push(wire::Fact { path: path.to_string(), state: state.into(), value, since });
            }
        }
        facts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Response::new(wire::GetFactsResponse { node: node.view.name.to_string(), facts }))
    }

    async fn get_affected(
        &self,
        request: Request<wire::GetAffectedRequest>,
    ) -> Result<Response<wire::GetAffectedResponse>, Status> {
        let scope = Scope::of(&request);
        let wire::GetAffectedRequest { advisories, environments } = request.into_inner();
        let advisories = advisories.into_iter().map(affected::from_wire).collect::<Result<Vec<_>, _>>();
        let advisories = advisories.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let query =
            Query { environments: (!environments.is_empty()).then_some(environments), ..Query::default() };
        self.compute(scope, move |View { fleet, .. }, _, _| {
            query.check(fleet).map_err(|error| Status::invalid_argument(error.to_string()))?;
            let found = evenkeel_drift::affected(fleet, query.environments.as_deref(), &advisories);
            Ok(Response::new(wire::GetAffectedResponse { json: json(&found)? }))
        })
        .await
    }

    async fn get_policy(
        &self,
        request: Request<wire::GetPolicyRequest>,
    ) -> Result<Response<wire::GetPolicyResponse>, Status> {
        self.policy(&request.into_inner().path).map(Response::new)
    }

    async fn list_acceptances(
        &self,
        request: Request<wire::ListAcceptancesRequest>,
    ) -> Result<Response<wire::ListAcceptancesResponse>, Status> {
        let caller = Peer::of(&request);
        let wire::ListAcceptancesRequest {} = request.into_inner();
        Ok(Response::new(self.acceptances(&caller)))
    }

    async fn list_baselines(
        &self,
        request: Request<wire::ListBaselinesRequest>,
    ) -> Result<Response<wire::ListBaselinesResponse>, Status> {
        Ok(Response::new(self.baselines(&Scope::of(&request))))
    }

    type WatchStream = judgement::Watched;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let severity = reports::severity_from_wire(request.into_inner().severity);
        let (archive, transitions) = (self.archive.clone(), self.transitions.clone());
        let follow = tokio::task::spawn_blocking(move || transitions.follow(&archive)).await;
        let (standing, coming) = follow.map_err(|error| Status::internal(error.to_string()))?;
        let least = severity.unwrap_or(Severity::Warning);
        Ok(Response::new(judgement::watched(standing, coming, least)))
    }

    async fn get_history(
        &self,
        request: Request<wire::GetHistoryRequest>,
    ) -> Result<Response<wire::GetHistoryResponse>, Status> {
        let scope = Scope::of(&request);
        let wire::GetHistoryRequest { node, environment, path, since, limit } = request.into_inner();
        let since = since.map(|time| times::from_wire("since", Some(time)));
        let since = since.transpose().map_err(|error| Status::invalid_argument(error.to_string()))?;
        let filter = Filter { path: path.as_deref().map(Glob::new), since, sections: None };
        let limit = if limit == 0 { MAX_CHANGES } else { limit.min(MAX_CHANGES) } as usize;
        let nodes = {
            let state = self.ledger.state();
            if environment.is_some() {
                let query =
                    Query { environments: environment.clone().map(|name| vec![name]), ..Query::default() };
                query
                    .check(&scope.view(state.fleet(Timestamp::now())))
                    .map_err(|error| Status::invalid_argument(error.to_string()))?;
            }
            let all = named(&state, &scope, node.as_deref().unwrap_or_default());
            let wanted =
                all.filter(|node| environment.as_ref().is_none_or(|wanted| *node.environment == **wanted));
            let nodes: Vec<_> = wanted
                .map(|node| (node.id, node.view.name.to_string(), node.environment.to_string()))
                .collect();
            match node {
                Some(name) if nodes.is_empty() => return Err(no_such_node(&name)),
                _ => nodes,
            }
        };
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            changes_of(&reader, nodes, &filter, limit)
        };
        let changes =
            tokio::task::spawn_blocking(read).await.map_err(|error| Status::internal(error.to_string()))?;
        let mut changes = changes.map_err(|error| Status::internal(exit::chain(&error)))?;
        let more = changes.len() > limit;
        changes.truncate(limit);
        Ok(Response::new(wire::GetHistoryResponse { changes, more }))
    }
}

/// The sides as environments. What is signed off and quarantined for the fleet is so between any two parts of it.
fn of_sides(view: &View, sides: Vec<Side>) -> Fleet {
    let Fleet { journal, acceptances, quarantined, changes, .. } = view.fleet.clone();
    Fleet { journal, acceptances, quarantined, changes, ..Fleet::of_sides(sides) }
}

fn changes_of(
    reader: &Reader,
    nodes: Vec<(Uuid, String, String)>,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<wire::Change>, StoreError> {
    let mut changes = Vec::new();
    for (id, name, environment) in nodes {
        for change in history::of_node(reader, id, filter, limit + 1)? {
            let (before_state, before) = observation_to_wire(change.before.as_ref());
            let (after_state, after) = observation_to_wire(change.after.as_ref());
            changes.push(wire::Change {
                at: Some(times::to_wire(change.at)),
                journal: change.journal,
                node: name.clone(),
                environment: environment.clone(),
                path: change.path.to_string(),
                before_state: before_state.into(),
                before,
                after_state: after_state.into(),
                after,
                by: change.by.map(authors::of_change_to_wire),
            });
        }
    }
    changes.sort_by(|a, b| b.journal.cmp(&a.journal).then_with(|| a.path.cmp(&b.path)));
    Ok(changes)
}

/// The nodes of this name or UUID in these environments; with an empty name all of them.
fn named<'a>(state: &'a State, scope: &Scope, name: &str) -> impl Iterator<Item = &'a NodeState> {
    let (id, name) = (Uuid::parse_str(name).ok(), name.to_owned());
    let within = state.nodes().filter(|node| scope.includes(&node.environment));
    within.filter(move |node| name.is_empty() || *node.view.name == *name || Some(node.id) == id)
}

/// The one node of this name or UUID.
pub(crate) fn one_node<'a>(state: &'a State, scope: &Scope, name: &str) -> Result<&'a NodeState, Status> {
    let found: Vec<_> = if name.is_empty() { Vec::new() } else { named(state, scope, name).collect() };
    match found.as_slice() {
        [] => Err(no_such_node(name)),
        [node] => Ok(node),
        several => {
            let ids: Vec<_> =
                several.iter().map(|node| format!("{} ({})", node.id, node.environment)).collect();
            let sentence =
                format!("{} nodes are called {name:?}; name one by its id: {}", ids.len(), ids.join(", "));
            Err(Status::invalid_argument(sentence))
        }
    }
}

fn no_such_node(name: &str) -> Status {
    Status::not_found(format!("there is no node {name:?}: see evenkeel nodes"))
}

fn observation_to_wire(observation: Option<&Observation>) -> (wire::State, String) {
    match observation {
        None | Some(Observation::Absent) => (wire::State::Absent, String::new()),
        Some(Observation::Present(value)) => (wire::State::Present, value.to_string()),
        Some(Observation::Unreadable(reason)) => (wire::State::Unreadable, reason.to_string()),
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}
