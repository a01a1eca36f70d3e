//! Two hosts of one release, on one of which a container engine is started and stopped, and interfaces come and go.

use std::path::PathBuf;

use evenkeel_drift::report::{Finding, Status};
use evenkeel_tests::harness::hosts::{Host, Network};
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};
use evenkeel_tests::harness::{Agent, Collector, Engine, Settings, wait};

const RELEASE: &str = "root-trixie";

struct Two {
    collector: Collector,
    hosts: Vec<Host>,
    agents: Vec<Agent>,
    samples: u32,
}

impl Two {
    fn up() -> Option<Self> {
        if let Some(why) = missing() {
            skipped("signal", &why);
            return None;
        }
        let root = cache().join(RELEASE);
        let hosts: Vec<_> = ["stg-1", "prod-1"].map(|name| Host::new(name, &root)).into();
        let settings = Settings { address: Some(Network::gateway()), ..Settings::default() };
        let collector = Collector::start(&settings);
        let mut agents: Vec<_> = hosts
            .iter()
            .zip(["staging", "prod"])
            .map(|(host, environment)| Agent::start(&collector, host.node(environment, "")))
            .collect();
        for agent in &mut agents {
            agent.wait_acknowledged();
        }
        Some(Self { collector, hosts, agents, samples: 0 })
    }

    /// What is open now that both agents have looked everywhere again: both say what was set for that.
    fn sample(&mut self) -> Vec<Finding> {
        self.samples += 1;
        let (key, value) = ("net.ipv4.tcp_fin_timeout", (60 + self.samples).to_string());
        for host in &self.hosts {
            host.network.sysctl(key, &value);
        }
        let cli = self.collector.cli();
        for agent in &self.agents {
            wait::until(|| match cli.fact(agent.name(), &format!("sysctl.{key}")) {
                Some(seen) if seen == value => Ok(()),
                other => Err(format!("{} has {other:?}", agent.name())),
            });
        }
        let findings = cli.report(&["--all"]).findings;
        findings.into_iter().filter(|finding| finding.status == Status::Open).collect()
    }

    fn staging(&self) -> &Network {
        &self.hosts[0].network
    }

    /// Runs `ip` in staging's network.
    fn ip(&self, words: &[&str]) {
        self.staging().exec(&[&["ip"], words].concat());
    }
}

fn missing() -> Option<String> {
    if !is_root() {
        return Some("namespaces and mounts need root".to_owned());
    }
    let commands = ["ip", "unshare", "setpriv", "sysctl"].iter().chain(Engine::COMMANDS);
    if let Some(command) = { commands }.find(|name| !has_command(name)) {
        return Some(format!("{command} is not installed; tests/hosts/install.sh installs it"));
    }
    let root: PathBuf = cache().join(RELEASE).join("etc/os-release");
    root.symlink_metadata()
        .is_err()
        .then(|| format!("{} is not there; tests/hosts/install.sh makes it", root.display()))
}

/// Promise: two hosts of one release raise nothing, for as long as they are looked at: not by interfaces that come and go,
/// and not by a container engine that starts and stops, but for the one finding of what the engine has really set.
#[test]
fn a_container_engine_is_one_cause() {
    let Some(mut two) = Two::up() else { return };
    for _ in 0..3 {
        assert_eq!(two.sample(), [], "nothing was done");
    }
    two.ip(&["link", "add", "veth7", "type", "veth", "peer", "name", "veth8"]);
    two.ip(&["link", "add", "br-7", "type", "bridge"]);
    two.ip(&["link", "add", "cali7", "type", "veth", "peer", "name", "cali8"]);
    for name in ["veth7", "br-7", "cali7"] {
        two.ip(&["link", "set", name, "up"]);
    }
    for _ in 0..3 {
        assert_eq!(two.sample(), [], "interfaces came");
    }
    for name in ["veth7", "br-7", "cali7"] {
        two.ip(&["link", "delete", name]);
    }
    assert_eq!(two.sample(), [], "interfaces went");

    let mut engine = Engine::start(two.staging());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let found = two.sample();
        let [finding] = found.as_slice() else { panic!("one cause, one finding, but: {found:#?}") };
        assert_eq!(*finding.nodes, ["stg-1"]);
        let mut paths: Vec<_> =
            finding.parts.iter().map(|part| part.path.as_str()).chain([&*finding.path]).collect();
        paths.sort_unstable();
        seen.push((finding.id.clone(), finding.since, paths.join(" ")));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "it is the same finding each time: {seen:#?}");
    assert!(seen[0].2.contains("sysctl.net.ipv4.ip_forward"), "{seen:#?}");
    engine.stop();
    let found = two.sample();
    // What the engine has set stays when it ends; nothing else is left of it.
    assert!(found.len() <= 1 && found.iter().all(|finding| finding.id == seen[0].0), "{found:#?}");
}
