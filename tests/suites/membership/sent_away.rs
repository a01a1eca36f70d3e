//! Nodes that are evicted or banned: refused on the next call, on connections that are open too.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use evenkeel_runtime::tls::COLLECTOR_NAME;
use evenkeel_tests::harness::{Agent, Collector, Machine, Minted};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use rustls_pki_types::ServerName;
use tonic::{Code, Status};

use super::{check_in, own_name};

/// What the next check-in over this channel is told, and over a new connection.
async fn told(collector: &Collector, minted: &Minted, held: &tonic::transport::Channel) -> [Status; 2] {
    let over_held = loop {
        match check_in(held.clone()).await {
            // It was under way when the connection was closed; the next one is another connection.
            Err(status) if status.code() != Code::PermissionDenied => {}
            other => break other.expect_err("it was sent away"),
        }
    };
    [over_held, check_in(minted.channel(collector)).await.expect_err("it was sent away")]
}

/// Promise: evict and ban are in force on the very next call, on the connection that was open as on a new one; the agent is told, does not disable itself, and an evicted node comes back by enrolling again.
#[tokio::test]
async fn the_next_call_is_refused() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    let mut agent = Agent::start(&collector, machine.node("dev"));
    agent.wait_acknowledged();
    let minted = Minted::of_agent(&agent);
    let held = minted.channel(&collector);
    check_in(held.clone()).await.unwrap();
    let by = own_name();

    collector.cli().ok(&["node", "evict", "web-1", "--reason", "moved"]);
    for status in told(&collector, &minted, &held).await {
        assert_eq!(status.code(), Code::PermissionDenied);
        let (begin, end) = ("node web-1 of dev was evicted at ", format!(" by {by}: enrol it again"));
        assert!(status.message().starts_with(begin) && status.message().ends_with(&end), "{status:?}");
    }
    assert!(collector.cli().nodes().nodes.is_empty());
    agent.process().wait_for("Report not delivered.", |event| {
        event["error"].as_str().is_some_and(|error| error.contains("was evicted at"))
    });
    agent.process().stop();
    let token = collector.token("dev", &[]);
    agent.enrol_with(&collector.enroll_url(), &token, &["--again"]).ok();
    agent.run();
    agent.wait_acknowledged();

    collector.cli().ok(&["node", "ban", "web-1", "--reason", "stolen"]);
    let minted = Minted::of_agent(&agent);
    let status = check_in(minted.channel(&collector)).await.unwrap_err();
    assert!(status.message().starts_with("node web-1 of dev was banned at "), "{status:?}");
    agent.process().stop();
    let token = collector.token("dev", &[]);
    let refused = agent.enrol_with(&collector.enroll_url(), &token, &["--again"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("lift the ban first (evenkeel node unban "), "{refused:?}");

    let left = collector.cli().json::<evenkeel_render::nodes::Nodes>(&["nodes", "--left"]).nodes;
    let mut standings: Vec<_> = left.iter().map(|node| node.standing.as_str()).collect();
    standings.sort_unstable();
    assert_eq!(standings, ["banned", "evicted"]);
    collector.cli().ok(&["node", "unban", "web-1"]);
    agent.enrol_with(&collector.enroll_url(), &token, &["--again"]).ok();
}

/// How a new connection shakes hands: in full, or with a session ticket of an earlier one.
fn handshake(collector: &Collector, config: &ClientConfig) -> Option<HandshakeKind> {
    let mut tcp = TcpStream::connect(collector.ports().fleet).unwrap();
    let name = ServerName::try_from(COLLECTOR_NAME).unwrap();
    let mut client = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut tcp).unwrap();
    }
    client.handshake_kind()
}

/// Promise: who was evicted is refused also on a connection that resumes its TLS session, which verifies no certificate; a
/// ban ends the sessions themselves.
#[tokio::test]
async fn a_resumed_session_lets_nobody_in() {
    let collector = Collector::default();
    let [evicted, banned] = ["web-1", "web-2"].map(|name| {
        let machine = Machine::new(name);
        Minted::of_agent(&Agent::enrol(&collector, machine.node("dev"))).config(&collector)
    });
    for config in [&evicted, &banned] {
        check_in(Minted::channel_of(&collector, config.clone())).await.unwrap();
        assert_eq!(handshake(&collector, config), Some(HandshakeKind::Resumed), "tickets are given");
        check_in(Minted::channel_of(&collector, config.clone())).await.unwrap();
    }
    collector.cli().ok(&["node", "evict", "web-1"]);
    assert_eq!(handshake(&collector, &evicted), Some(HandshakeKind::Resumed));
    let status = check_in(Minted::channel_of(&collector, evicted)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");

    collector.cli().ok(&["node", "ban", "web-2"]);
    assert_eq!(handshake(&collector, &banned), Some(HandshakeKind::Full));
    let status = check_in(Minted::channel_of(&collector, banned)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
}

/// Promise: a ban in the middle of a live stream of reports refuses all that follows at once: nothing is taken in that was
/// sent after the ban was answered.
#[tokio::test]
async fn a_ban_during_a_stream_of_reports() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let minted = Minted::of_agent(&agent);
    let channel = minted.channel(&collector);
    let (flows, flowing) = tokio::sync::oneshot::channel();
    let stream = tokio::spawn(async move {
        let (mut taken, mut flows): (Vec<Instant>, _) = (Vec::new(), Some(flows));
        loop {
            let asked = Instant::now();
            match check_in(channel.clone()).await {
                Ok(()) => {
                    taken.push(asked);
                    flows.take().map(|flows| flows.send(()));
                }
                Err(status) if status.code() == Code::PermissionDenied => return taken,
                Err(_) => {}
            }
        }
    });
    flowing.await.unwrap();
    let cli = collector.cli();
    tokio::task::spawn_blocking(move || cli.ok(&["node", "ban", "web-1", "--reason", "stolen"]))
        .await
        .unwrap();
    let banned = Instant::now();
    let taken = stream.await.unwrap();
    let late: Vec<_> = taken.iter().filter(|asked| **asked > banned).collect();
    assert!(late.is_empty(), "{} reports were taken after the ban", late.len());
}
