//! On the real kernel, in a network namespace of the test's own: `net.*` can be set there without touching anybody.

use evenkeel_tests::harness::cli::script;
use evenkeel_tests::harness::hosts::Network;
use evenkeel_tests::harness::skip::{has_command, is_root, skipped};
use evenkeel_tests::harness::{Agent, Collector, Node, Settings, wait};

use super::{HOUR, wait_known};

pub(super) const KEY: &str = "net.core.somaxconn";
pub(super) const PATH: &str = "sysctl.net.core.somaxconn";
/// What a sweep logs when it found what events had missed.
const MISSED: &str = "The sweep found what no event had told.";

/// An agent in a network namespace, and a collector that it reaches. The agent ends first, so that the namespace can go.
pub(super) struct Namespace {
    agent: Agent,
    pub(super) collector: Collector,
    pub(super) network: Network,
}

impl Namespace {
    /// With these lines of configuration.
    pub(super) fn up(interval: &str, config: &str) -> Option<Self> {
        if let Some(why) = missing() {
            skipped("events", &why);
            return None;
        }
        let network = Network::up("evt");
        let settings = Settings { address: Some(Network::gateway()), ..Settings::default() };
        let collector = Collector::start(&settings);
        let by = vec![script("netns.sh").into(), "exec".into(), network.name().into()];
        let (name, environment, config) = ("evt-1".to_owned(), "dev".to_owned(), config.to_owned());
        let mut agent = Agent::enrol(&collector, Node { name, environment, by, config, ..Node::default() });
        agent.run_every(interval);
        agent.wait_acknowledged();
        Some(Self { agent, collector, network })
    }

    fn sets(&self, value: &str) {
        self.network.sysctl(KEY, value);
    }

    pub(super) fn knows(&self, value: &str) {
        wait_known(&self.collector, "evt-1", PATH, value);
    }
}

fn missing() -> Option<String> {
    if !is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let command = ["ip", "unshare", "sysctl"].iter().find(|name| !has_command(name))?;
    Some(format!("{command} is not installed; tests/hosts/install.sh installs it"))
}

/// Promise: `sysctl -w` is seen when it is done, also after the kernel has dropped its caches, which ends a watch whose
/// directory is not held.
#[test]
fn dropped_caches_end_no_watch() {
    let Some(mut node) = Namespace::up(HOUR, "") else { return };
    node.sets("1111");
    node.knows("1111");
    for value in ["2222", "3333"] {
        // What was used lately goes at the second time.
        for _ in 0..3 {
            std::fs::write("/proc/sys/vm/drop_caches", "2\n").unwrap();
        }
        node.sets(value);
        node.knows(value);
    }
    assert_eq!(node.agent.process().logged(MISSED).len(), 0);
}

/// Promise: what is written through another mount of /proc, which tells nobody here, is found by the next sweep and
/// counted as missed.
#[test]
fn another_mount_of_proc_is_found_by_the_sweep() {
    let Some(mut node) = Namespace::up("2s", "") else { return };
    // Right after its start an agent looks again by itself, and may see the first of these that way.
    let mut value = 4000;
    let missed = wait::until(|| {
        value += 1;
        let setting = format!("{KEY}={value}");
        node.network.exec(&["unshare", "--fork", "--pid", "--mount-proc", "sysctl", "-q", "-w", &setting]);
        node.knows(&value.to_string());
        node.agent.process().logged(MISSED).pop().ok_or("the sweep has found nothing".to_owned())
    });
    assert_eq!(
        (missed["source"].as_str(), missed["watched"].as_bool()),
        (Some("sysctl"), Some(true)),
        "{missed}"
    );
    assert_eq!(missed["missed"].as_u64(), Some(1));
}

/// Promise: interfaces that come and go are no news of the node, keep nobody from seeing what is, and end no watch.
#[test]
fn interfaces_come_and_go() {
    let Some(mut node) = Namespace::up(HOUR, "") else { return };
    let known = node.agent.acknowledged().len();
    for round in 0..5 {
        for number in 0..20 {
            let (one, other) = (format!("v{number}a"), format!("v{number}b"));
            node.network.exec(&["ip", "link", "add", &one, "type", "veth", "peer", "name", &other]);
        }
        for number in 0..20 {
            node.network.exec(&["ip", "link", "del", &format!("v{number}a")]);
        }
        let value = format!("50{round}");
        node.sets(&value);
        node.knows(&value);
    }
    assert_eq!(node.agent.acknowledged().len(), known + 5);
}
