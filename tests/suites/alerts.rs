//! Receivers are told of findings: when they open, change and end, once each, whatever ends in between.

mod alertmanager;

use std::fs;
use std::sync::Arc;

use evenkeel_runtime::keys;
use evenkeel_tests::harness::{Agent, Collector, Machine, Receiver, Settings, wait};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const PATH: &str = "sysctl.net.core.somaxconn";

/// A collector that tells these receivers at once, and a node in staging and prod each.
pub(crate) struct Fleet {
    pub(crate) collector: Collector,
    pub(crate) machines: Vec<Machine>,
    _agents: Vec<Agent>,
}

pub(crate) fn fleet(config: &str) -> Fleet {
    let collector = Collector::start(&Settings { config: config.to_owned(), ..Settings::default() });
    let machines = vec![Machine::new("stg-1"), Machine::new("prod-1")];
    let agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    Fleet { collector, machines, _agents: agents }
}

fn webhook(receiver: &Receiver, more: &str) -> String {
    format!(
        "[alerts]\ngroup_wait = \"0s\"\n[[alerts.receivers]]\nname = \"ops\"\nkind = \"webhook\"\n\
         url = \"http://{}/hook/canary-7\"\n{more}\n",
        receiver.address()
    )
}

fn until_told(receiver: &Receiver, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(change, path)| ((*change).to_owned(), (*path).to_owned())).collect();
    wait::until(|| match receiver.told() {
        told if told == expected => Ok(()),
        told => Err(format!("it was told {told:?}, and is to be told {expected:?}")),
    });
}

/// Promise: a finding is said when it opens and when it is over, each once: not twice over a `kill -9` of the collector,
/// and not lost when the receiver fails. What is secret of the receiver is in no log and no metric.
#[test]
fn each_transition_is_said_once() {
    let receiver = Receiver::start(None);
    let mut fleet = fleet(&webhook(&receiver, ""));
    receiver.answer(&["500 Oops", "503 Later\r\nretry-after: 1"]);
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    until_told(&receiver, &[("opened", PATH)]);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3, "twice it failed");
    let last = &requests[2];
    assert_eq!(
        (last.target.as_str(), last.body["schema"].as_str()),
        ("/hook/canary-7", Some("evenkeel.alerts/v1"))
    );
    let alert = &last.body["alerts"][0];
    assert_eq!(alert["environments"], serde_json::json!(["staging"]));
    assert_eq!(alert["nodes"], serde_json::json!(["stg-1"]));
    let keys: Vec<_> = requests
        .iter()
        .flat_map(|one| one.headers.iter().filter(|line| line.starts_with("idempotency-key: ")))
        .collect();
    assert_eq!((keys.len(), keys[0]), (3, keys[2]), "the same message has the same key");
    fleet.collector.process().wait_for("Alerts were sent.", |_| true);
    assert_eq!(fleet.collector.metric("evenkeel_alerts_total{receiver=\"ops\",outcome=\"sent\"}"), 1);
    assert_eq!(fleet.collector.metric("evenkeel_alerts_total{receiver=\"ops\",outcome=\"failed\"}"), 2);

    fleet.collector.kill();
    fleet.collector.restart();
    // What is said next is said behind everything that would be said again.
    fleet.machines[0].sysctl("vm.swappiness", "1");
    until_told(&receiver, &[("opened", PATH), ("opened", "sysctl.vm.swappiness")]);

    fleet.machines[0].sysctl("net.core.somaxconn", "4096");
    until_told(&receiver, &[("opened", PATH), ("opened", "sysctl.vm.swappiness"), ("resolved", PATH)]);
    let log = fs::read_to_string(fleet.collector.directory().join("collector.log")).unwrap();
    assert!(log.contains("Alerts were sent.") && log.contains("Alerts were not sent."));
    for text in [&log, &fleet.collector.get("/metrics")] {
        assert!(!text.contains("canary-7"), "the URL's secret is shown: {text}");
    }
}

/// Promise: a receiver that is new, or comes back into the configuration, is told of everything that is open; what was
/// accepted is said to be.
#[test]
fn a_new_receiver_hears_what_is_open() {
    let mut fleet = fleet("");
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    wait::until(|| match fleet.collector.cli().report(&[]).findings.len() {
        1 => Ok(()),
        count => Err(format!("{count} findings")),
    });
    let receiver = Receiver::start(None);
    fleet.collector.kill();
    fleet.collector.reconfigure(&webhook(&receiver, ""));
    fleet.collector.restart();
    until_told(&receiver, &[("opened", PATH)]);
    // Who took a message is known when the journal has it, a moment after it was taken.
    fleet.collector.process().wait_for("Alerts were sent.", |_| true);

    // Gone from the configuration and back.
    fleet.collector.kill();
    fleet.collector.reconfigure("");
    fleet.collector.restart();
    fleet.collector.process().wait_for("Receiver of alerts is not configured any more.", |_| true);
    fleet.collector.kill();
    fleet.collector.reconfigure(&webhook(&receiver, ""));
    fleet.collector.restart();
    until_told(&receiver, &[("opened", PATH), ("opened", PATH)]);
    let until = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    fleet.collector.cli().ok(&["accept", PATH, "--owner", "web", "--reason", "load test", "--until", &until]);
    until_told(&receiver, &[("opened", PATH), ("opened", PATH), ("accepted", PATH)]);
}

/// Promise: routes by severity and environment; a silence holds back.
#[test]
fn routes_and_silences() {
    let (all, dev) = (Receiver::start(None), Receiver::start(None));
    let config = format!(
        "{}[[alerts.receivers]]\nname = \"dev\"\nkind = \"webhook\"\nurl = \"http://{}\"\nenvironments = [\"dev\"]\n\
         [[alerts.silences]]\nreason = \"a load test\"\npaths = [\"sysctl.vm.*\"]\n",
        webhook(&all, ""),
        dev.address()
    );
    let fleet = fleet(&config);
    fleet.machines[0].sysctl("vm.swappiness", "1");
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    wait::until(|| match fleet.collector.cli().report(&[]).findings.len() {
        2 => Ok(()),
        count => Err(format!("{count} findings")),
    });
    until_told(&all, &[("opened", PATH)]);
    let machine = Machine::new("dev-1");
    machine.sysctl("net.core.somaxconn", "256");
    let mut agent = Agent::start(&fleet.collector, machine.node("dev"));
    agent.wait_acknowledged();
    wait::until(|| match dev.told().as_slice() {
        [(change, path), ..] if change == "opened" && path == PATH => Ok(()),
        told => Err(format!("it was told {told:?}")),
    });
    assert!(dev.told().iter().chain(&all.told()).all(|(_, path)| path == PATH), "{:?}", all.told());
}

/// Promise: a redirect is not followed, and the log says so; nothing is sent where it leads.
#[test]
fn redirects_lead_nowhere() {
    let (receiver, elsewhere) = (Receiver::start(None), Receiver::start(None));
    let mut fleet = fleet(&webhook(&receiver, ""));
    let to = format!("302 Found\r\nlocation: http://{}/", elsewhere.address());
    receiver.answer(&[&to]);
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    let event = fleet.collector.process().wait_for("Alerts were not sent.", |_| true);
    let error = event["error"].as_str().unwrap();
    assert!(error.ends_with("redirects are not followed: name the last place itself"), "{error}");
    until_told(&receiver, &[("opened", PATH)]);
    assert_eq!(elsewhere.requests().len(), 0);
}

/// Promise: a receiver is believed below the roots that are named, and below no other; the token goes with the message.
#[test]
fn a_receiver_is_who_it_should_be() {
    let directory = tempfile::tempdir().unwrap();
    let (key, certificate) = certificate();
    let server = server(&key, &certificate);
    let receiver = Receiver::start(Some(server));
    let file = |name: &str, content: &str| {
        let file = directory.path().join(name);
        fs::write(&file, content).unwrap();
        file.display().to_string()
    };
    let wrong = file("roots.pem", &keys::certificates_to_pem([self::certificate().1.as_ref()]));
    let config = format!(
        "[alerts]\ngroup_wait = \"0s\"\n[[alerts.receivers]]\nname = \"ops\"\nkind = \"slack\"\nurl_file = {:?}\n\
         token_file = {:?}\nroots = {wrong:?}\n",
        file("url", &format!("https://{}/services/T/B/x\n", receiver.address())),
        file("token", "token-9\n"),
    );
    let mut fleet = fleet(&config);
    fleet.machines[0].sysctl("net.core.somaxconn", "128");
    let event = fleet.collector.process().wait_for("Alerts were not sent.", |_| true);
    assert!(event["error"].as_str().unwrap().contains("certificate"), "{event}");
    assert_eq!(receiver.requests().len(), 0);

    file("roots.pem", &keys::certificates_to_pem([certificate.as_ref()]));
    wait::until(|| if receiver.requests().is_empty() { Err("nothing came".to_owned()) } else { Ok(()) });
    let taken = &receiver.requests()[0];
    assert!(taken.headers.contains(&"authorization: Bearer token-9".to_owned()), "{taken:?}");
    let text = taken.body["text"].as_str().unwrap();
    assert!(text.starts_with("*evenkeel*: 1 open\n• *") && text.contains(PATH), "{text}");
}

fn certificate() -> (KeyPair, rustls_pki_types::CertificateDer<'static>) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (key, certificate)
}

fn server(key: &KeyPair, certificate: &rustls_pki_types::CertificateDer<'static>) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap())
}
