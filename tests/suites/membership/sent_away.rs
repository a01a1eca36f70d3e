//! Nodes that are evicted or banned: refused on the next call, on connections that are open too.

use std::net::{SocketAddr, TcpStream};
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
    shake_hands(collector.ports().fleet, config)
}

fn shake_hands(port: SocketAddr, config: &ClientConfig) -> Option<HandshakeKind> {
    let mut tcp = TcpStream::connect(port).unwrap();
    let name = ServerName::try_from(COLLECTOR_NAME).unwrap();
    let mut client = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut tcp).unwrap();
    }
    // Tickets, if there are any, come behind the handshake; then it ends, as we have nothing to say.
    client.send_close_notify();
    client.write_tls(&mut tcp).unwrap();
    while client.read_tls(&mut tcp).is_ok_and(|read| read > 0) {
        client.process_new_packets().unwrap();
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

/// Promise: the enrolment port, where nobody shows a certificate, gives no session that could be resumed on the fleet's.
#[test]
fn the_enrolment_port_gives_no_tickets() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let config = Minted::of_agent(&agent).config(&collector);
    let enrol = collector.ports().enroll;
    for _ in 0..2 {
        assert_eq!(shake_hands(enrol, &config), Some(HandshakeKind::Full));
    }
    assert_eq!(handshake(&collector, &config), Some(HandshakeKind::Full));
    assert_eq!(handshake(&collector, &config), Some(HandshakeKind::Resumed), "the fleet's port gives them");
}

/// Promise: who is refused is in the collector's log: who it was, what it asked for, from where and why.
#[tokio::test]
async fn a_refusal_is_in_the_log() {
    let mut collector = Collector::default();
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let minted = Minted::of_agent(&agent);
    collector.cli().ok(&["node", "evict", "web-1"]);
    check_in(minted.channel(&collector)).await.unwrap_err();
    let event = collector.process().wait_for("Call refused.", |_| true);
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    assert!(text("peer").contains(agent.id()), "{event}");
    assert!(text("method").ends_with("FleetService/CheckIn"), "{event}");
    assert!(text("why").starts_with("node web-1 of dev was evicted at "), "{event}");
    assert!(text("from").starts_with("127."), "{event}");
}
