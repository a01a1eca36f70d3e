//! A node that was off comes back by itself for as long as it may, and is told what to do after that.

use std::fs;
use std::time::Duration;

use evenkeel_tests::harness::minted::age_authority;
use evenkeel_tests::harness::{Agent, Collector, Machine, Minted};

use super::{check_in, uri};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One whose authority was made two months ago.
fn old_collector() -> Collector {
    let mut collector = Collector::default();
    collector.process().stop();
    age_authority(&collector, 60 * DAY);
    collector.restart();
    collector
}

/// Gives the agent a certificate that ended so long ago, of its own key: what it has after it was off.
fn was_off(collector: &Collector, agent: &Agent, time: Duration) -> Minted {
    let Minted { key, .. } = Minted::of_agent(agent);
    let minted = Minted::with_key(collector, "env-dev", &uri("dev", agent.id()), key, Some(time));
    fs::write(agent.state_dir().join("node.crt"), minted.pem()).unwrap();
    minted
}

/// Promise: a node that was off for 29 days proves possession of its enrolled key and reports again, alone; one that was
/// off for 31 days is told what to do, and goes on trying.
#[test]
fn off_for_weeks() {
    let collector = old_collector();
    let machine = Machine::new("web-1");
    let mut agent = Agent::enrol(&collector, machine.node("dev"));
    was_off(&collector, &agent, 29 * DAY);
    agent.run();
    agent.process().wait_for("Certificate renewed.", |_| true);
    agent.wait_acknowledged();
    assert_eq!(collector.cli().nodes().nodes[0].id, agent.id(), "it is the node that it was");
    agent.process().stop();

    was_off(&collector, &agent, 31 * DAY);
    agent.run();
    let event = agent.process().wait_for("The certificate was not renewed; trying again later.", |_| true);
    let told = event["error"].as_str().unwrap();
    let sentence = "the node's certificate ended 31 days ago, and a node recovers by itself for 30 days: enrol it \
                    again (evenkeel-agent enroll --again)";
    assert!(told.ends_with(sentence), "{told}");
    let refused = agent.process().wait_for("Report not delivered.", |_| true);
    assert!(refused["error"].as_str().unwrap().contains("the node's certificate ended at "), "{refused}");
    agent.process().stop();

    let token = collector.token("dev", &[]);
    agent.enrol_with(&collector.enroll_url(), &token, &["--again"]).ok();
    agent.run();
    agent.wait_acknowledged();
}

/// Promise: a certificate that has ended is good for nothing but its renewal, by the holder of its key.
#[tokio::test]
async fn an_ended_certificate_reports_nothing() {
    let collector = old_collector();
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let ended = was_off(&collector, &agent, DAY);
    let status = check_in(ended.channel(&collector)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status:?}");
    assert!(status.message().starts_with("the node's certificate ended at "), "{status:?}");
    // Somebody else's key does not open the certificate: the handshake itself proves possession.
    let stolen = Minted { key: evenkeel_runtime::keys::Key::generate(), ..ended };
    let chain = evenkeel_runtime::tls::Chain { certificates: stolen.certificates, key: stolen.key.to_der() };
    assert!(evenkeel_runtime::tls::client(&chain.certificates.clone(), chain).is_err());
}
