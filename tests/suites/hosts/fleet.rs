//! Six hosts in four environments, and what was done to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evenkeel_render::facts::{Fact, Facts};
use evenkeel_tests::harness::hosts::{Host, Network, inside};
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};
use evenkeel_tests::harness::{Agent, Collector, Settings};

use crate::hosts::truth::Truth;

/// Name, environment, release, Go.
const HOSTS: [(&str, &str, &str, &str); 6] = [
    ("dev-1", "dev", "trixie", "1.27.3"),
    ("prod-1", "prod", "trixie", "1.27.3"),
    ("prod-2", "prod", "trixie", "1.27.3"),
    ("stg-1", "staging", "bullseye", "1.21.13"),
    ("stg-2", "staging", "bullseye", "1.21.13"),
    ("test-1", "test", "trixie", "1.27.3"),
];

/// The hosts, their agents and their collector. Agents end first, so that the hosts can go.
pub(crate) struct Fleet {
    agents: Vec<Agent>,
    pub(crate) collector: Collector,
    hosts: Vec<Host>,
}

impl Fleet {
    /// Everything up, and every agent's first state acknowledged; `None`: it cannot be made here, and that is said.
    pub(crate) fn up() -> Option<Self> {
        if let Some(why) = missing() {
            skipped("hosts", &why);
            return None;
        }
        let hosts: Vec<Host> = HOSTS.iter().map(|(name, _, release, go)| host(name, release, go)).collect();
        for host in &hosts {
            if !host.name().starts_with("stg") {
                host.network.sysctl("net.core.somaxconn", "65535");
            }
            if host.name() == "test-1" {
                host.network.sysctl("net.ipv4.tcp_fin_timeout", "30");
            }
        }
        let settings = Settings { address: Some(Network::gateway()), ..Settings::default() };
        let collector = Collector::start(&settings);
        let nodes = hosts.iter().zip(HOSTS).map(|(host, (_, environment, ..))| host.node(environment, "web"));
        let mut agents: Vec<_> = nodes.map(|node| Agent::start(&collector, node)).collect();
        for agent in &mut agents {
            agent.wait_acknowledged();
        }
        Some(Self { agents, collector, hosts })
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name() == name).unwrap()
    }

    /// What the hosts' own tools say, in order of their names.
    pub(crate) fn truths(&mut self) -> Vec<Truth> {
        let mut truths = Vec::new();
        for (agent, (name, environment, ..)) in self.agents.iter_mut().zip(HOSTS) {
            let programs: Vec<&str> = PROGRAMS.iter().filter(|program| has(name, program)).copied().collect();
            let words = ["/run/hosts/ground-truth.sh", "--go", GO, GO];
            let said = inside(agent, &[&words[..], &programs].concat());
            let go_env = inside(agent, &[GO, "env", "-json"]);
            truths.push(Truth::new(name, environment, &said, &go_env));
        }
        truths
    }

    /// What the collector holds of a node.
    pub(crate) fn facts(&self, node: &str) -> BTreeMap<String, Fact> {
        let facts: Facts = self.collector.cli().json(&["facts", node]);
        facts.facts.into_iter().map(|fact| (fact.path.clone(), fact)).collect()
    }
}

/// The `go` of every host.
pub(crate) const GO: &str = "/usr/local/go/bin/go";
const PROGRAMS: [&str; 3] = ["/usr/local/bin/pay", "/usr/local/bin/ledger", "/usr/local/bin/esbuild"];

/// Dev lacks the ledger.
fn has(host: &str, program: &str) -> bool {
    host != "dev-1" || program != "/usr/local/bin/ledger"
}

fn host(name: &str, release: &str, go: &str) -> Host {
    let mut host = Host::new(name, &root(release));
    host.install(&toolchain(go), "/usr/local/go");
    let built = |program: &str| cache().join("go/programs").join(program);
    for (program, source) in PROGRAMS.iter().zip([
        built(&format!("pay-go{go}")),
        built(&format!("ledger-go{go}")),
        built("esbuild-0.17.19"),
    ]) {
        if has(name, program) {
            host.install(&source, program);
        }
    }
    host
}

fn root(release: &str) -> PathBuf {
    cache().join(format!("root-{release}"))
}

fn toolchain(version: &str) -> PathBuf {
    cache().join(format!("go/go{version}/root"))
}

/// Why these hosts cannot be made here, if they cannot.
fn missing() -> Option<String> {
    if !is_root() {
        return Some("namespaces and mounts need root".to_owned());
    }
    if let Some(command) =
        ["ip", "nsenter", "unshare", "setpriv", "sysctl"].iter().find(|name| !has_command(name))
    {
        return Some(format!("{command} is not installed; tests/hosts/install.sh installs it"));
    }
    let wanted = HOSTS
        .iter()
        .flat_map(|(_, _, release, go)| [root(release).join("etc/os-release"), toolchain(go).join("bin/go")]);
    let programs =
        ["1.21.13", "1.27.3"].iter().flat_map(|go| [format!("pay-go{go}"), format!("ledger-go{go}")]);
    let programs = programs.chain(["esbuild-0.17.19".to_owned()]);
    let wanted = wanted.chain(programs.map(|program| cache().join("go/programs").join(program)));
    let absent = wanted.into_iter().find(|path: &PathBuf| !exists(path))?;
    Some(format!("{} is not there; tests/hosts/install.sh makes it", absent.display()))
}

/// A link in a root leads to a file of that root, not of this machine: that it is there is enough.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
