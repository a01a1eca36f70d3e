//! Everybody who might try.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use evenkeel_runtime::channel::{self, Address};
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::tls;
use evenkeel_tests::harness::{Agent, Collector, Machine, Minted};
use rcgen::{CertificateParams, SanType};
use tonic::transport::Channel;

use super::questions::SCOPE;

/// What the matrix expects of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Gets no connection.
    Stranger,
    /// Gets one, on the port where nobody need say who it is.
    Anonymous,
    /// Was let in once, and is refused whatever it asks.
    SentAway,
    Node,
    LapsedNode,
    LapsedUser,
    Viewer,
    Operator,
    Admin,
    ScopedOperator,
}

pub(super) struct Caller {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) channel: Channel,
}

/// Everybody. `agents`: one enrolled in each environment.
pub(super) fn all(collector: &Collector, agents: &[Agent]) -> Vec<Caller> {
    let mut callers = Vec::new();
    let mut add = |name: &str, kind, channel| callers.push(Caller { name: name.to_owned(), kind, channel });
    let minted = |issuer: &str, uri: &str| Minted::by(collector, issuer, uri);
    let ended = |issuer: &str, uri: &str, ago| {
        Minted::with_key(collector, issuer, uri, Key::generate(), Some(ago)).channel(collector)
    };
    // Long enough to be over, and not older than the authority, which was made just now.
    let just_now = Duration::from_secs(1);
    let node = uri_of(&agents[0], "dev");
    let user = |name: &str, role: &str| format!("spiffe://evenkeel.internal/user/{name}/role/{role}");

    add("no certificate", Kind::Stranger, without_certificate(collector, &collector.url()));
    add(
        "no certificate, enrolment port",
        Kind::Anonymous,
        without_certificate(collector, &collector.enroll_url()),
    );
    add("a node of another authority", Kind::Stranger, Minted::by_nobody(&node).channel(collector));
    add(
        "an admin of another authority",
        Kind::Stranger,
        Minted::by_nobody(&user("eve", "admin")).channel(collector),
    );
    add("a node, self-signed", Kind::Stranger, self_signed(&node).channel(collector));
    add(
        "a node of dev for prod",
        Kind::Stranger,
        minted("env-dev", &node.replace("/env/dev", "/env/prod")).channel(collector),
    );
    add(
        "an admin by the authority of dev",
        Kind::Stranger,
        minted("env-dev", &user("eve", "admin")).channel(collector),
    );
    add("a node by the authority of users", Kind::Stranger, minted("users", &node).channel(collector));
    add("a node, expired", Kind::LapsedNode, ended("env-dev", &node, just_now));
    add(
        "a node, expired for long",
        Kind::Stranger,
        ended("env-dev", &node, Duration::from_secs(400 * 24 * 60 * 60)),
    );
    add("an admin, expired", Kind::LapsedUser, ended("users", &user("ada", "admin"), just_now));
    for (agent, environment) in agents.iter().zip(super::ENVIRONMENTS) {
        add(&format!("a node of {environment}"), Kind::Node, Minted::of_agent(agent).channel(collector));
    }
    for (verb, name) in [("evict", "evicted-1"), ("ban", "banned-1")] {
        let agent = Agent::enrol(collector, Machine::new(name).node("dev"));
        collector.cli().ok(&["node", verb, name]);
        add(
            &format!("a node that was sent away: {verb}"),
            Kind::SentAway,
            Minted::of_agent(&agent).channel(collector),
        );
    }
    for (name, role, kind) in [
        ("vera", "viewer", Kind::Viewer),
        ("otto", "operator", Kind::Operator),
        ("adam", "admin", Kind::Admin),
    ] {
        add(role, kind, certified(collector, name, &["--role", role]));
    }
    let scoped = ["--role", "operator", "--env", SCOPE, "--env", "test"];
    add("a scoped operator", Kind::ScopedOperator, certified(collector, "scott", &scoped));
    let revoked = certified(collector, "rita", &["--role", "admin"]);
    collector.cli().ok(&["user", "revoke", "rita"]);
    add("an admin that was revoked", Kind::SentAway, revoked);
    callers
}

fn uri_of(agent: &Agent, environment: &str) -> String {
    format!("spiffe://evenkeel.internal/env/{environment}/node/{}", agent.id())
}

fn without_certificate(collector: &Collector, url: &str) -> Channel {
    let token = fs::read_to_string(collector.token("dev", &[])).unwrap();
    let pin = token.split('.').nth(1).unwrap().parse().unwrap();
    let address = Address::parse(url, 0).unwrap();
    channel::over_tls(&address, Arc::new(ArcSwap::from_pointee(tls::pinned_client(pin).unwrap())))
}

/// A leaf that is its own issuer.
fn self_signed(uri: &str) -> Minted {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let key = Key::generate();
    Minted { certificates: vec![params.self_signed(key.pair()).unwrap().der().clone()], key }
}

/// Somebody with a certificate as `evenkeel user create` makes it.
pub(super) fn certified(collector: &Collector, name: &str, arguments: &[&str]) -> Channel {
    let directory = collector.directory().display().to_string();
    collector.cli().ok(&[&["user", "create", name, "--directory", &directory], arguments].concat());
    let file = |kind: &str| collector.directory().join(format!("{name}.{kind}"));
    let certificates = keys::read_certificates(&file("cert.pem")).unwrap();
    Minted { certificates, key: keys::read_key(&file("key.pem")).unwrap() }.channel(collector)
}
