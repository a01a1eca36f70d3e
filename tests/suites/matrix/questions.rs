//! A good request for each RPC, about one environment where it is about one.

use std::collections::BTreeMap;
use std::fs;

use evenkeel_facts::root_digest;
use evenkeel_proto::report::operand;
use evenkeel_proto::{admin, enroll, fleet, report, times};
use evenkeel_runtime::keys::Key;
use evenkeel_tests::harness::{Agent, Collector, Machine};
use jiff::{SignedDuration, Timestamp};
use prost::Message;

/// The environment of the scoped operator, and of every question that nobody asks otherwise.
pub(super) const SCOPE: &str = "staging";

/// A policy to put in force: the one that is.
const POLICY: &str = include_str!("../../../collector/drift/policy/default.toml");

pub(super) struct Questions {
    /// An enrolment token that many nodes may use.
    token: String,
    /// An invitation. It is used up by the first who may.
    invitation: String,
    /// A token of each environment, to be revoked.
    tokens: BTreeMap<&'static str, String>,
}

impl Questions {
    pub(super) fn new(collector: &Collector) -> Self {
        let read = |file| fs::read_to_string(file).unwrap().trim().to_owned();
        let id = |token: String| token.split('.').nth(2).unwrap().to_owned();
        let file = collector.directory().join("invitation");
        let shown = file.display().to_string();
        collector.cli().ok(&["user", "invite", "nora", "--token-file", &shown]);
        for name in ["evict", "ban"] {
            for environment in [SCOPE, "prod"] {
                Agent::enrol(collector, Machine::new(&format!("{environment}-{name}")).node(environment));
            }
        }
        let tokens =
            super::ENVIRONMENTS.map(|environment| (environment, id(read(collector.token(environment, &[])))));
        Self {
            token: read(collector.token("dev", &["--uses", "1000"])),
            invitation: read(file),
            tokens: tokens.into(),
        }
    }

    /// Whether what is asked for is a list of everything, so that nothing of another environment can be named.
    pub(super) fn names_no_environment(method: &str) -> bool {
        let method = method.rsplit('/').next().unwrap();
        [
            "ListNodes",
            "ListTokens",
            "ListAudit",
            "Explain",
            "GetValues",
            "GetPolicy",
            "ListAcceptances",
            "ListBaselines",
            "Accept",
        ]
        .contains(&method)
    }

    /// The request of an RPC that is not here is an empty one.
    pub(super) fn about(&self, method: &str, environment: &str) -> Vec<u8> {
        let node = format!("{environment}-1");
        let side = |selector: &str| {
            Some(report::Operand { operand: Some(operand::Operand::Selector(selector.to_owned())) })
        };
        let csr = || Key::generate().signing_request();
        match method.rsplit('/').next().unwrap() {
            "Enroll" => bytes(enroll::EnrollRequest {
                token: self.token.clone(),
                csr: csr(),
                host: "new-1".into(),
                ..enroll::EnrollRequest::default()
            }),
            // Asked by many: a signing request that is none, so that it is not used up.
            "EnrollUser" => {
                bytes(enroll::EnrollUserRequest { token: self.invitation.clone(), csr: b"none".to_vec() })
            }
            "Renew" => bytes(enroll::RenewRequest { csr: csr() }),
            "RenewUser" => bytes(enroll::RenewUserRequest { csr: csr() }),
            "CheckIn" => bytes(fleet::CheckInRequest {
                root: root_digest(&[]).as_bytes().to_vec(),
                boot_epoch: 1,
                sequence: 1,
                ..fleet::CheckInRequest::default()
            }),
            "GetReport" => bytes(report::GetReportRequest {
                environments: vec![environment.to_owned()],
                ..report::GetReportRequest::default()
            }),
            "Diff" => bytes(report::DiffRequest {
                a: side("test"),
                b: side(environment),
                ..report::DiffRequest::default()
            }),
            "Gate" => bytes(report::GateRequest {
                from: side("test"),
                to: side(&format!("node/{node}")),
                ..report::GateRequest::default()
            }),
            "Explain" => bytes(report::ExplainRequest { subject: "kernel.release".into() }),
            "GetValues" => bytes(report::GetValuesRequest { path: "kernel.release".into() }),
            "GetFacts" => bytes(report::GetFactsRequest { node, ..report::GetFactsRequest::default() }),
            "GetAffected" => bytes(report::GetAffectedRequest {
                environments: vec![environment.to_owned()],
                ..report::GetAffectedRequest::default()
            }),
            "GetHistory" => bytes(report::GetHistoryRequest {
                environment: Some(environment.to_owned()),
                ..report::GetHistoryRequest::default()
            }),
            "ApplyPolicy" => bytes(admin::ApplyPolicyRequest { text: POLICY.into() }),
            "Accept" => bytes(admin::AcceptRequest {
                all_open: true,
                owner: "the team".into(),
                reason: "known".into(),
                until: Some(times::to_wire(Timestamp::now() + SignedDuration::from_hours(1))),
                ..admin::AcceptRequest::default()
            }),
            "Unaccept" => bytes(admin::UnacceptRequest { id: "a-nothing".into() }),
            "CreateBaseline" => bytes(admin::CreateBaselineRequest {
                name: format!("of-{environment}"),
                from: environment.to_owned(),
                ..admin::CreateBaselineRequest::default()
            }),
            "DeleteBaseline" => bytes(admin::DeleteBaselineRequest { name: format!("of-{environment}") }),
            "CreateToken" => bytes(admin::CreateTokenRequest {
                environment: environment.to_owned(),
                ..admin::CreateTokenRequest::default()
            }),
            "RevokeToken" => bytes(admin::RevokeTokenRequest { id: self.tokens[environment].clone() }),
            "EvictNode" => {
                bytes(admin::EvictNodeRequest { node: format!("{environment}-evict"), reason: String::new() })
            }
            // In this order the table has them: first banned, then let back.
            "BanNode" => {
                bytes(admin::BanNodeRequest { node: format!("{environment}-ban"), reason: String::new() })
            }
            "UnbanNode" => bytes(admin::UnbanNodeRequest { node: format!("{environment}-ban") }),
            "CreateUserCertificate" => bytes(admin::CreateUserCertificateRequest {
                name: "nora".into(),
                role: "viewer".into(),
                csr: csr(),
                ..admin::CreateUserCertificateRequest::default()
            }),
            "InviteUser" => bytes(admin::InviteUserRequest {
                name: "nora".into(),
                role: "viewer".into(),
                ..admin::InviteUserRequest::default()
            }),
            "RevokeUser" => bytes(admin::RevokeUserRequest { name: "nobody".into(), reason: String::new() }),
            _ => Vec::new(),
        }
    }
}

fn bytes(message: impl Message) -> Vec<u8> {
    message.encode_to_vec()
}
