//! A collector's answers, from memory.

use evenkeel_drift::affected::{Advised, Affected, Found, Place};
use evenkeel_drift::report::{Environment, Report as Words, SCHEMA, Summary};
use evenkeel_proto::report::gate_response::Verdict;
use evenkeel_proto::report::operand::Operand as Choice;
use evenkeel_proto::report::report_service_server::ReportService;
use evenkeel_proto::report::{
    Change, DiffRequest, ExplainRequest, ExplainResponse, Fact, GateRequest, GateResponse,
    GetAffectedRequest, GetAffectedResponse, GetFactsRequest, GetFactsResponse, GetHistoryRequest,
    GetHistoryResponse, GetPolicyRequest, GetPolicyResponse, GetReportRequest, GetValuesRequest,
    GetValuesResponse, ListAcceptancesRequest, ListAcceptancesResponse, ListBaselinesRequest,
    ListBaselinesResponse, ListNodesRequest, ListNodesResponse, Node, Report, State, Transition,
    WatchRequest,
};
use evenkeel_proto::{affected, reports, times};
use serde_json::json;
use tonic::{Request, Response, Status};

/// What to answer.
pub(crate) struct Answers {
    /// To every gate.
    pub(crate) verdict: Verdict,
}

impl Default for Answers {
    fn default() -> Self {
        Self { verdict: Verdict::Consistent }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ReportService for Answers {
    async fn get_report(&self, _: Request<GetReportRequest>) -> Answer<Report> {
        Ok(Response::new(report(["staging", "prod"])))
    }

    /// Calls the operands what they were called; a file must have come whole.
    async fn diff(&self, request: Request<DiffRequest>) -> Answer<Report> {
        let DiffRequest { a, b, .. } = request.into_inner();
        let name = |operand: Option<evenkeel_proto::report::Operand>| match operand.and_then(|o| o.operand) {
            Some(Choice::Selector(selector)) => Ok(selector),
            Some(Choice::File(file)) => evenkeel_facts::snapshot_file::from_json(&file.json)
                .map(|_| file.name)
                .map_err(|error| Status::invalid_argument(error.to_string())),
            None => Err(Status::invalid_argument("no operand")),
        };
        Ok(Response::new(report([&name(a)?, &name(b)?])))
    }

    async fn gate(&self, request: Request<GateRequest>) -> Answer<GateResponse> {
        let GateRequest { fail_on, .. } = request.into_inner();
        Ok(Response::new(GateResponse {
            verdict: self.verdict.into(),
            from: "staging".into(),
            to: "prod".into(),
            fail_on,
            findings: Vec::new(),
            unknowns: Vec::new(),
            accepted: 2,
        }))
    }

    /// One finding of a sysctl; refuses anything else, with a message that would repaint a terminal.
    async fn explain(&self, request: Request<ExplainRequest>) -> Answer<ExplainResponse> {
        let value = match request.into_inner().subject.as_str() {
            "f-good" => "65535",
            "f-hostile" => "1\n$(reboot)",
            _ => return Err(Status::permission_denied("\u{1b}[31mnobody may call this")),
        };
        let explanation = json!({
            "path": "sysctl.net.core.somaxconn",
            "findings": [{
                "id": "f-good", "path": "sysctl.net.core.somaxconn", "kind": "differs", "severity": "critical",
                "status": "open", "role": "web", "since": "2026-11-20T03:12:00Z", "nodes": ["stg-web-1", "stg-web-2"],
                "values": [{"environment": "prod", "value": value, "nodes": 3},
                           {"environment": "staging", "value": "4096", "nodes": 2}],
                "summary": "staging has 4096, prod has 65535", "reason": "The length of every listen queue.",
            }],
            "unknowns": [], "rules": [], "advice": {"risk": "r", "remedy": "Raise the lower side.", "file": ""},
            "values": {"path": "sysctl.net.core.somaxconn", "roles": []},
        });
        Ok(Response::new(ExplainResponse { json: explanation.to_string() }))
    }

    async fn get_values(&self, request: Request<GetValuesRequest>) -> Answer<GetValuesResponse> {
        Err(Status::not_found(format!("no node knows a fact {:?}", request.into_inner().path)))
    }

    /// One node a page, three pages.
    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        let page: u64 = request.into_inner().page_token.parse().unwrap_or(0);
        let node = Node {
            id: format!("{page:032x}"),
            name: format!("web-{page}"),
            environment: "staging".into(),
            fresh: true,
            ..Node::default()
        };
        let next_page_token = if page < 2 { (page + 1).to_string() } else { String::new() };
        Ok(Response::new(ListNodesResponse { nodes: vec![node], next_page_token }))
    }

    async fn get_facts(&self, request: Request<GetFactsRequest>) -> Answer<GetFactsResponse> {
        let GetFactsRequest { node, glob } = request.into_inner();
        assert_eq!(glob, "go.*");
        let fact = |path: &str, state: State, value: &str, since| Fact {
            path: path.into(),
            state: state.into(),
            value: value.into(),
            since,
        };
        let facts = vec![
            fact("go.program", State::Unreadable, "permission", None),
            fact("go.version", State::Present, "1.21.6", Some(moment())),
        ];
        Ok(Response::new(GetFactsResponse { node, facts }))
    }

    /// Says what was asked for.
    async fn get_affected(&self, request: Request<GetAffectedRequest>) -> Answer<GetAffectedResponse> {
        let GetAffectedRequest { advisories, environments } = request.into_inner();
        let advisories = advisories.into_iter().map(|advisory| affected::from_wire(advisory).unwrap());
        let found = advisories.map(|advisory| Advised {
            found: vec![Found {
                module: advisory.packages[0].module.clone(),
                version: "v0.16.0".into(),
                fixed: None,
                thing: "go.program[github.com/acme/pay]".into(),
                pending: String::new(),
                places: vec![Place {
                    environment: environments.join(","),
                    nodes: vec!["stg-web-1".into()],
                    stale: Vec::new(),
                }],
            }],
            id: advisory.id,
            aliases: advisory.aliases,
            summary: advisory.summary,
        });
        let found: Vec<Advised> = found.collect();
        let answer =
            Affected { advisories: found.len() as u64, nodes: 1, affected: found, unknowns: Vec::new() };
        Ok(Response::new(GetAffectedResponse { json: serde_json::to_string(&answer).unwrap() }))
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Answer<GetPolicyResponse> {
        let json = if request.into_inner().path.is_empty() { "" } else { "[]" };
        let (label, text) = ("mine@3".to_owned(), "name = \"mine\"\n".to_owned());
        Ok(Response::new(GetPolicyResponse { label, text, json: json.to_owned() }))
    }

    async fn list_acceptances(&self, _: Request<ListAcceptancesRequest>) -> Answer<ListAcceptancesResponse> {
        Ok(Response::new(ListAcceptancesResponse::default()))
    }

    async fn list_baselines(&self, _: Request<ListBaselinesRequest>) -> Answer<ListBaselinesResponse> {
        Ok(Response::new(ListBaselinesResponse::default()))
    }

    type WatchStream = tokio_stream::Empty<Result<Transition, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn get_history(&self, request: Request<GetHistoryRequest>) -> Answer<GetHistoryResponse> {
        let request = request.into_inner();
        if request.path.is_none() {
            assert_eq!(request.since.map(|since| since.seconds), Some(1_795_132_800), "midnight UTC");
        }
        let change = Change {
            at: Some(moment()),
            journal: 7,
            node: request.node.unwrap_or_default(),
            environment: "staging".into(),
            path: "go.version".into(),
            before_state: State::Absent.into(),
            before: String::new(),
            after_state: State::Present.into(),
            after: "1.21.6".into(),
            by: None,
        };
        Ok(Response::new(GetHistoryResponse { changes: vec![change], more: false }))
    }
}

fn moment() -> prost_types::Timestamp {
    times::to_wire("2026-11-20T03:12:00Z".parse().unwrap())
}

/// Two environments of one node each, and no difference. The last is the reference.
fn report(names: [&str; 2]) -> Report {
    let environment = |name: &str| Environment {
        name: name.into(),
        nodes: 1,
        fresh: 1,
        stale: 0,
        stale_nodes: Vec::new(),
        coverage: 1.0,
    };
    reports::to_wire(Words {
        schema: SCHEMA.into(),
        as_of: "2026-11-22T10:00:00Z".parse().unwrap(),
        journal: 7,
        policy: "default@1".into(),
        reference: names[1].into(),
        environments: names.map(environment).into(),
        findings: Vec::new(),
        unknowns: Vec::new(),
        summary: Summary::default(),
        noise: None,
    })
}
