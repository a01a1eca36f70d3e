//! The identity matrix: every RPC that the collector's descriptors know, called by everybody who might try.
//!
//! # Layout
//!
//! - `table`: what each RPC should be to whom, written down apart from the collector's own table of access
//! - `callers`: who might try
//! - `questions`: a good request for each RPC, about one environment
//! - `wire`: any RPC by its name, with any bytes

mod callers;
mod questions;
mod table;
mod wire;

use std::fmt::Write as _;

use evenkeel_tests::harness::{Agent, Collector, Machine, Minted};

use callers::{Caller, Kind};
use questions::{Questions, SCOPE};
use table::{Reach, TABLE, Who};
use wire::Outcome;

const ENVIRONMENTS: [&str; 4] = ["dev", "test", "staging", "prod"];

/// Every RPC of the descriptors: `/package.Service/Method`.
fn methods() -> Vec<String> {
    use prost::Message as _;
    let set = prost_types::FileDescriptorSet::decode(evenkeel_proto::DESCRIPTORS).unwrap();
    let services =
        set.file.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
    let methods = services.flat_map(|(package, service)| {
        service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
    });
    methods.collect()
}

/// Whether this caller should get past the door with this RPC. `None`: it does not even get a connection.
fn expected(kind: Kind, who: Who) -> Option<bool> {
    Some(match kind {
        Kind::Stranger => return None,
        Kind::SentAway => false,
        Kind::Anonymous => who == Who::Anybody,
        Kind::Node => matches!(who, Who::Anybody | Who::Nodes | Who::NodesAndLapsed),
        Kind::LapsedNode => matches!(who, Who::Anybody | Who::NodesAndLapsed),
        Kind::LapsedUser => matches!(who, Who::Anybody | Who::UsersAndLapsed),
        Kind::Viewer => matches!(who, Who::Anybody | Who::UsersAndLapsed | Who::Viewers(_)),
        Kind::Operator => {
            matches!(who, Who::Anybody | Who::UsersAndLapsed | Who::Viewers(_) | Who::Operators(_))
        }
        Kind::Admin => !matches!(who, Who::Nodes | Who::NodesAndLapsed),
        Kind::ScopedOperator => match who {
            Who::Viewers(reach) | Who::Operators(reach) => reach != Reach::Unscoped,
            who => matches!(who, Who::Anybody | Who::UsersAndLapsed),
        },
    })
}

/// Promise: every RPC gives everybody the expected answer, and none is forgotten.
#[tokio::test]
async fn every_rpc_by_everybody() {
    let methods = methods();
    for method in &methods {
        assert!(TABLE.iter().any(|(name, _)| name == method), "{method} is not in the expectations");
    }
    assert_eq!(TABLE.len(), methods.len(), "the expectations name an RPC that there is not");

    let collector = Collector::default();
    let agents = ENVIRONMENTS.map(|environment| {
        let machine = Machine::new(&format!("{environment}-1"));
        // Something differs everywhere, so that there is something to ask for.
        machine.sysctl("net.core.somaxconn", &(4096 + environment.len()).to_string());
        let mut agent = Agent::start(&collector, machine.node(environment));
        agent.wait_acknowledged();
        agent.process().stop();
        agent
    });
    let questions = Questions::new(&collector);
    let callers = callers::all(&collector, &agents);
    let mut wrong = String::new();
    let mut asked = 0;
    for Caller { name, kind, channel } in &callers {
        for (method, who) in TABLE {
            let (outcome, why) = wire::call(channel, method, questions.about(method, SCOPE)).await;
            let outcome = match outcome {
                Outcome::NoConnection => None,
                Outcome::Refused => Some(false),
                Outcome::Done | Outcome::NotThere => Some(true),
            };
            asked += 1;
            if outcome != expected(*kind, *who) {
                writeln!(wrong, "{name}: {method}: {outcome:?}, expected {:?}: {why}", expected(*kind, *who))
                    .unwrap();
            }
        }
    }
    assert_eq!(wrong, "", "of {asked} answers these are wrong");
    assert!(asked >= 15 * methods.len(), "only {asked} answers");
}

/// Promise: of what is limited to some environments, nothing is done to another one.
#[tokio::test]
async fn every_rpc_about_another_environment() {
    let collector = Collector::default();
    let agents = ENVIRONMENTS.map(|environment| {
        let machine = Machine::new(&format!("{environment}-1"));
        // Something differs everywhere, so that there is something to ask for.
        machine.sysctl("net.core.somaxconn", &(4096 + environment.len()).to_string());
        let mut agent = Agent::start(&collector, machine.node(environment));
        agent.wait_acknowledged();
        agent.process().stop();
        agent
    });
    let questions = Questions::new(&collector);
    let callers = callers::all(&collector, &agents);
    let by = |wanted: Kind| callers.iter().find(|caller| caller.kind == wanted).unwrap();
    for (method, who) in TABLE {
        let (Who::Viewers(reach) | Who::Operators(reach)) = who else { continue };
        let (outcome, why) =
            wire::call(&by(Kind::ScopedOperator).channel, method, questions.about(method, "prod")).await;
        let is_good = match reach {
            // Answers that are lists are told apart by what is in them: see the suite on people.
            Reach::Filtered if Questions::names_no_environment(method) => outcome == Outcome::Done,
            Reach::Filtered => outcome == Outcome::NotThere,
            Reach::Checked => outcome == Outcome::Refused || outcome == Outcome::NotThere,
            Reach::Unscoped => outcome == Outcome::Refused,
        };
        assert!(is_good, "{method} about prod, by who is limited to {SCOPE}: {outcome:?}: {why}");
        // The same by who is not limited: the question itself is good.
        let all = by(if matches!(who, Who::Operators(_)) { Kind::Operator } else { Kind::Viewer });
        let (outcome, why) = wire::call(&all.channel, method, questions.about(method, "prod")).await;
        // Nothing was signed off under that id.
        let expected = if method.ends_with("/Unaccept") { Outcome::NotThere } else { Outcome::Done };
        assert_eq!(outcome, expected, "{method} about prod: {why}");
    }
}

/// Promise: a revocation is in force on connections that are open: a call that goes on is ended, and the next one over the
/// same connection is refused.
#[tokio::test]
async fn a_revocation_reaches_what_is_under_way() {
    let collector = Collector::default();
    let held = callers::certified(&collector, "ada", &["--role", "admin"]);
    let other = callers::certified(&collector, "bob", &[]);
    let report = "/evenkeel.report.v1.ReportService/GetReport";
    let mut watching = wire::stream(&held, "/grpc.health.v1.Health/Watch", Vec::new()).await.unwrap();
    let mut others = wire::stream(&other, "/grpc.health.v1.Health/Watch", Vec::new()).await.unwrap();
    assert!(watching.message().await.unwrap().is_some() && others.message().await.unwrap().is_some());

    let said = tokio::task::spawn_blocking({
        let cli = collector.cli();
        move || cli.run(&["user", "revoke", "ada"])
    });
    let ended = watching.message().await;
    assert!(!matches!(ended, Ok(Some(_))), "the call goes on: {ended:?}");
    let said = said.await.unwrap();
    assert_eq!(
        said.stderr,
        "ada is revoked: what was given until now is refused. One open connection was closed.\n"
    );
    let (outcome, why) = wire::call(&held, report, Vec::new()).await;
    assert_eq!(outcome, Outcome::Refused, "{why}");
    assert!(why.starts_with("the certificates of ada were revoked at "), "{why}");
    let (outcome, why) = wire::call(&other, report, Vec::new()).await;
    assert_eq!(outcome, Outcome::Done, "{why}");
}

/// Promise: no field of a report can claim another environment: what counts is the certificate.
#[tokio::test]
async fn a_report_that_claims_another_environment() {
    use evenkeel_facts::{FactPath, Section, SectionBuilder, SectionDigest, root_digest};
    use evenkeel_proto::contents;
    use evenkeel_proto::fleet::{CheckInRequest, Commit, check_in_response};
    use prost::Message as _;

    let collector = Collector::default();
    // Its directory lives as long as its agent looks at it.
    let machine = Machine::new("prod-1");
    let mut prod = Agent::start(&collector, machine.node("prod"));
    let acknowledged = prod.wait_acknowledged();
    prod.process().stop();
    let dev = Agent::enrol(&collector, Machine::new("dev-1").node("dev"));
    let channel = Minted::of_agent(&dev).channel(&collector);

    let mut section = SectionBuilder::new("os");
    for (path, value) in [("os.environment", "prod"), ("os.id", "debian"), ("os.node", prod.id())] {
        section.present(FactPath::known(path), value);
    }
    let section: Section = section.finish();
    let digest = SectionDigest { name: "os".into(), digest: section.digest() };
    let root = root_digest(std::slice::from_ref(&digest));
    let commit = Commit {
        sections: vec![evenkeel_proto::fleet::SectionDigest {
            name: digest.name.clone(),
            digest: digest.digest.as_bytes().to_vec(),
        }],
        taken_at: Some(evenkeel_proto::times::to_wire(jiff::Timestamp::now())),
        host: "prod-1".into(),
        agent: "0.1.0".into(),
        ..Commit::default()
    };
    let request = CheckInRequest {
        root: root.as_bytes().to_vec(),
        boot_epoch: 1,
        sequence: 1,
        commit: Some(commit),
        ..CheckInRequest::default()
    };
    // Fields that this version does not know, as text: "prod", and the other node's UUID.
    let mut bytes = request.encode_to_vec();
    for (field, text) in [(50_u32, "prod"), (51, prod.id())] {
        prost::encoding::string::encode(field, &text.to_owned(), &mut bytes);
    }
    let check_in = "/evenkeel.fleet.v1.FleetService/CheckIn";
    let asked = wire::answer(&channel, check_in, bytes.clone()).await.unwrap();
    let asked = evenkeel_proto::fleet::CheckInResponse::decode(asked.as_slice()).unwrap();
    assert!(matches!(asked.answer, Some(check_in_response::Answer::Send(_))), "{asked:?}");
    let content = contents::to_wire(&section).unwrap().encode_to_vec();
    wire::answer(&channel, "/evenkeel.fleet.v1.FleetService/PutSections", content).await.unwrap();
    let held = wire::answer(&channel, check_in, bytes).await.unwrap();
    let held = evenkeel_proto::fleet::CheckInResponse::decode(held.as_slice()).unwrap();
    assert!(matches!(held.answer, Some(check_in_response::Answer::UpToDate(_))), "{held:?}");

    let nodes = collector.cli().nodes().nodes;
    let of = |id: &str| nodes.iter().find(|node| node.id == id).unwrap();
    assert_eq!((of(dev.id()).environment.as_str(), of(dev.id()).name.as_str()), ("dev", "prod-1"));
    assert_eq!(of(prod.id()).environment, "prod");
    assert_eq!(collector.cli().fact(prod.id(), "os.environment"), None, "{acknowledged}");
    assert_eq!(collector.cli().fact(dev.id(), "os.environment").as_deref(), Some("prod"));
}
