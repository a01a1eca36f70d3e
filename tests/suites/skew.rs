//! Agents and collectors of neighbouring versions understand each other: what one does not know of the other is left out.

use evenkeel_proto::codec::Codec;
use evenkeel_proto::fleet::check_in_response::Answer;
use evenkeel_proto::fleet::{CheckInRequest, CheckInResponse, SectionContent, Send as Wanted};
use evenkeel_tests::harness::{Collector, journal};
use evenkeel_tests::load::enrol::enrol;
use evenkeel_tests::load::fleet::{Fleet, Node};
use evenkeel_tests::load::node::{Connection, check_in, wanted_contents};
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::Request;
use tonic::transport::Channel;

const CHECK_IN: &str = "/evenkeel.fleet.v1.FleetService/CheckIn";

/// The first check-in that there was: what has been added since is not known to who sends it.
#[derive(Clone, PartialEq, Message)]
struct Oldest {
    #[prost(bytes = "vec", tag = "1")]
    root: Vec<u8>,
    #[prost(uint64, tag = "2")]
    boot_epoch: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(message, optional, tag = "4")]
    commit: Option<OldestCommit>,
}

#[derive(Clone, PartialEq, Message)]
struct OldestCommit {
    #[prost(message, repeated, tag = "1")]
    sections: Vec<evenkeel_proto::fleet::SectionDigest>,
    #[prost(message, optional, tag = "2")]
    taken_at: Option<prost_types::Timestamp>,
    #[prost(string, tag = "3")]
    host: String,
    #[prost(string, tag = "4")]
    role: String,
    #[prost(string, tag = "5")]
    agent: String,
}

/// A check-in of a later version: all that is known, and something that is not.
#[derive(Clone, PartialEq, Message)]
struct Later {
    #[prost(bytes = "vec", tag = "1")]
    root: Vec<u8>,
    #[prost(uint64, tag = "2")]
    boot_epoch: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(message, optional, tag = "4")]
    commit: Option<evenkeel_proto::fleet::Commit>,
    #[prost(bytes = "vec", tag = "900")]
    what_nobody_knows: Vec<u8>,
    #[prost(message, optional, tag = "901")]
    nor_this: Option<OldestCommit>,
}

/// The answer as the first agent reads it.
#[derive(Clone, PartialEq, Message)]
struct OldestAnswer {
    #[prost(message, optional, tag = "1")]
    up_to_date: Option<evenkeel_proto::fleet::UpToDate>,
    #[prost(message, optional, tag = "2")]
    send: Option<Wanted>,
}

async fn call<Q: Message + Send + Sync + 'static, A: Message + Default + Send + Sync + 'static>(
    channel: &Channel,
    question: Q,
) -> A {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.expect("it is there");
    let path = PathAndQuery::from_static(CHECK_IN);
    let answer = client.unary(Request::new(question), path, Codec::<Q, A>::default()).await;
    answer.expect("it is understood").into_inner()
}

fn oldest(node: &Node) -> Oldest {
    let CheckInRequest { root, boot_epoch, sequence, commit, .. } = check_in(node, true);
    let commit = commit.map(|commit| OldestCommit {
        sections: commit.sections,
        taken_at: commit.taken_at,
        host: commit.host,
        role: commit.role,
        agent: "0.0.9".to_owned(),
    });
    Oldest { root, boot_epoch, sequence, commit }
}

fn later(node: &Node) -> Later {
    let CheckInRequest { root, boot_epoch, sequence, commit, .. } = check_in(node, true);
    let Oldest { commit: nor_this, .. } = oldest(node);
    Later { root, boot_epoch, sequence, commit, what_nobody_knows: vec![7; 1000], nor_this }
}

/// Promise: an agent of an older version, which knows nothing of what was added, and one of a later version, which says more
/// than is known, report as ever: their state is in the journal, and what they say again is up to date.
#[tokio::test(flavor = "multi_thread")]
async fn agents_of_other_versions_report() {
    let mut collector = Collector::default();
    let target = Target::new(&mut collector);
    let fleet = Fleet::new(Template::of_this_machine(), 2);
    let (members, _) = enrol(&target, fleet.nodes).await.expect("every node enrols");
    for (at, member) in members.iter().enumerate() {
        let channel = Connection::channel(&target.fleet, member).expect("the certificate is good");
        let put = async |wanted: Vec<Vec<u8>>| {
            // As the first agent sends them.
            let wanted = Wanted { digests: wanted, ..Wanted::default() };
            let contents: Vec<SectionContent> = wanted_contents(&member.node, &wanted);
            let mut client =
                evenkeel_proto::fleet::fleet_service_client::FleetServiceClient::new(channel.clone());
            client.put_sections(tokio_stream::iter(contents)).await.expect("contents are taken");
        };
        if at == 0 {
            let first: OldestAnswer = call(&channel, oldest(&member.node)).await;
            put(first.send.expect("a new collector asks for contents").digests).await;
            for _ in 0..2 {
                let again: OldestAnswer = call(&channel, oldest(&member.node)).await;
                assert!(again.up_to_date.is_some(), "{again:?}");
            }
        } else {
            // The other one has put all but what is this node's own, and that comes with the commit.
            for _ in 0..2 {
                let again: CheckInResponse = call(&channel, later(&member.node)).await;
                assert!(matches!(again.answer, Some(Answer::UpToDate(_))), "{again:?}");
            }
        }
    }
    tokio::task::block_in_place(|| collector.kill());
    let roots: Vec<_> = journal::commits(&target.data_dir).into_iter().map(|(_, root)| root).collect();
    assert_eq!(roots, members.iter().map(|member| member.node.root()).collect::<Vec<_>>());
}
