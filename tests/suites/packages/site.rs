//! A collector's host and a node, booted, with the packages installed as docs/install.md says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use evenkeel_render::history::History;
use evenkeel_render::nodes::{Node, Nodes};
use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::skip::{cache, has_command, is_root};
use evenkeel_tests::harness::wait;
use serde_json::Value;

use super::debs::Debs;
use crate::document::Document;

pub(super) const COLLECTOR: &str = "evenkeel-collector";
pub(super) const AGENT: &str = "evenkeel-agent";
/// What an agent says when the collector does not answer, as it must while that is installed anew.
pub(super) const UNREACHED: &str = "Report not delivered.";
/// The fact that is changed, and its key.
const KEY: &str = "net.core.somaxconn";
const PATH: &str = "sysctl.net.core.somaxconn";
/// What systemd says of the cgroups of a host in a container, on some kernels.
const OUTSIDE: &str = "Failed to kill control group";
/// Where packages are brought to, and commands are run.
const DESK: &str = "/root/desk";

pub(super) struct Site {
    pub(super) collector: Booted,
    pub(super) node: Booted,
    /// Every file of the two before anything was installed.
    before: [BTreeSet<String>; 2],
    /// The packages; a host shows them again after a reboot.
    _debs: Debs,
}

/// The root to boot of this release of Debian; an error says why there is none.
pub(crate) fn root_of(release: &str) -> Result<PathBuf, String> {
    let root = cache().join(format!("root-{release}-systemd"));
    if !is_root() {
        return Err("a container with its own process 1 needs root".to_owned());
    }
    if !has_command("systemd-nspawn") || !root.join("lib/systemd/systemd").exists() {
        return Err(format!("no systemd-nspawn, or no {release} for it; tests/hosts/install.sh makes both"));
    }
    Ok(root)
}

impl Site {
    /// Follows docs/install.md. An error says why no such hosts can be had here.
    pub(super) fn installed(release: &str, debs: Debs) -> Result<Self, String> {
        let root = root_of(release)?;
        let packages = [(debs.path(), "/packages")];
        let (collector, node) =
            (Booted::up("collector", &root, &packages), Booted::up("web", &root, &packages));
        let before = [&collector, &node].map(files);
        let site = Self { collector, node, before, _debs: debs };
        site.bring("1");
        site.node.run(&format!("echo '{} collector' >>/etc/hosts", site.collector.network.address())).ok();

        let install = Document::read("docs/install.md");
        let first = site.collector.run(&at_desk(&install.block("The collector", 0)));
        if first.stdout.contains("Depends: libc6") {
            return Err("the programs here were built for a newer C library than the host's".to_owned());
        }
        first.ok();
        // As a test wants it: reports come as often as they like. An edit that has to last, besides.
        site.on_collector(
            "sed -i 's/^sync_every = .*/sync_every = \"0s\"/' /etc/evenkeel/collector.toml; systemctl restart evenkeel-collector",
        );
        site.on_collector(&install.block("A node", 0));
        site.hand_over("staging.token");
        // Installed and not enrolled it has nothing to do, which is no failure.
        let steps = install.block("A node", 1);
        let (install_it, enrol_it) = steps.split_once('\n').unwrap();
        site.on_node(install_it);
        assert_eq!(Self::state(&site.node, AGENT), ("inactive".to_owned(), "success".to_owned()));
        // What is written through another mount of /proc, as from outside a container, only a sweep sees.
        site.on_node("sed -i 's/^interval = .*/interval = \"1s\"/' /etc/evenkeel/agent.toml");
        site.on_node(enrol_it);
        wait::until(|| if site.only_node().fresh { Ok(()) } else { Err("the node is not fresh".to_owned()) });
        for question in install.block("A node", 2).lines() {
            assert_ne!(site.on_collector(question), "", "{question}");
        }
        Ok(site)
    }

    /// Lays the packages of this directory, and no others, on both desks.
    pub(super) fn bring(&self, directory: &str) {
        for host in [&self.collector, &self.node] {
            host.run(&format!("mkdir -p {DESK}; rm -f {DESK}/*.deb; cp /packages/{directory}/*.deb {DESK}"))
                .ok();
        }
    }

    /// Brings a file from the collector's desk to the node's.
    pub(super) fn hand_over(&self, file: &str) {
        let text = self.collector.run(&format!("cat {DESK}/{file}")).ok();
        self.node.run(&format!("umask 077; echo '{}' >{DESK}/{file}", text.trim())).ok();
    }

    /// Runs these commands as a person would, on the collector's host; they must succeed.
    pub(super) fn on_collector(&self, commands: &str) -> String {
        self.collector.run(&at_desk(commands)).ok()
    }

    /// The same on the node.
    pub(super) fn on_node(&self, commands: &str) -> String {
        self.node.run(&at_desk(commands)).ok()
    }

    /// The only node that the collector knows.
    pub(super) fn only_node(&self) -> Node {
        let nodes: Nodes = serde_json::from_str(&self.collector.run("evenkeel nodes -o json").ok()).unwrap();
        let [only] = nodes.nodes.as_slice() else { panic!("{nodes:#?}") };
        only.clone()
    }

    /// Something changes on the node, and the collector shows it.
    pub(super) fn shows_change(&self, value: &str) {
        self.node.network.sysctl(KEY, value);
        self.shows(value);
    }

    /// The collector shows this value, and has taken it in once.
    pub(super) fn shows(&self, value: &str) {
        let shown = || {
            let command = format!("evenkeel history --path {PATH} -o json");
            // The collector may just be starting.
            let outcome = self.collector.run(&command);
            let history: Option<History> = serde_json::from_str(&outcome.stdout).ok();
            let taken = history.iter().flat_map(|history| &history.changes);
            match taken.filter(|change| serde_json::to_string(&change.after).unwrap().contains(value)).count()
            {
                0 => Err(format!("{value} is not there: {outcome:#?}")),
                times => Ok(times),
            }
        };
        assert_eq!(wait::until(shown), 1, "{value} was taken in more than once");
    }

    /// The agent is upgraded while what it has seen is on its way; it arrives, once.
    pub(super) fn upgrade_with_a_report_in_flight(&self, commands: &str, value: &str) {
        // A collector that takes nothing in and refuses nothing.
        self.collector.run("systemctl kill --kill-whom=main --signal=STOP evenkeel-collector").ok();
        self.node.network.sysctl(KEY, value);
        let pending = format!("grep --quiet --recursive {value} /var/lib/evenkeel-agent");
        wait::until(|| match self.node.run(&pending).code {
            Some(0) => Ok(()),
            _ => Err("the agent holds no report".to_owned()),
        });
        let old = Self::run_of(&self.node, AGENT);
        self.on_node(commands);
        assert_ne!(Self::run_of(&self.node, AGENT), old, "the new program runs");
        // On a very busy machine its watchdog may have been faster, which is as good.
        self.collector.run("systemctl kill --kill-whom=main --signal=CONT evenkeel-collector");
        self.shows(value);
    }

    /// `ActiveState` and `Result` of a service.
    pub(super) fn state(host: &Booted, unit: &str) -> (String, String) {
        let show = |property: &str| {
            host.run(&format!("systemctl show --value --property={property} {unit}")).ok().trim().to_owned()
        };
        (show("ActiveState"), show("Result"))
    }

    /// One start of a service; another start, another identifier.
    pub(super) fn run_of(host: &Booted, unit: &str) -> String {
        host.run(&format!("systemctl show --value --property=InvocationID {unit}")).ok()
    }

    /// The version of an installed package.
    pub(super) fn version(&self, package: &str) -> String {
        let host = if package == AGENT { &self.node } else { &self.collector };
        host.run(&format!("dpkg-query -W -f '${{Version}}' {package}")).ok()
    }

    /// systemd on the host itself has nothing to say about the units, and finds them as tight as promised.
    pub(super) fn is_sandboxed(&self) {
        for (host, unit, most) in [(&self.node, AGENT, 2.0), (&self.collector, COLLECTOR, 1.2)] {
            let said = host.run(&format!("systemd-analyze verify --man=no {unit}.service 2>&1")).ok();
            assert_eq!(said, "", "{unit}");
            let judged = host.run(&format!("systemd-analyze security --no-pager {unit}.service")).ok();
            let last = judged.lines().rev().find(|line| line.contains("Overall exposure")).unwrap();
            let found: f64 = last.split(": ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(found <= most, "{unit} is exposed by {found}");
        }
    }

    /// Since the last time it was asked, neither our programs nor systemd about them have warned of anything, except with
    /// these words.
    pub(super) fn is_quiet(&self, after: &str, except: &[&str]) {
        let found = [Self::complaints(&self.collector), Self::complaints(&self.node)].concat();
        let others: Vec<_> =
            found.iter().filter(|line| !except.iter().any(|known| line.contains(known))).collect();
        assert!(others.is_empty(), "after {after} the journal has {others:#?}");
    }

    /// What has been said until now is not asked for again.
    pub(super) fn forget_complaints(&self) {
        Self::complaints(&self.collector);
        Self::complaints(&self.node);
    }

    fn complaints(host: &Booted) -> Vec<String> {
        // systemd's own words of our units have UNIT, those of our programs _SYSTEMD_UNIT.
        let said = host.run("journalctl --quiet --no-pager --output=json --cursor-file=/root/cursor").ok();
        let entries = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let complains = |entry: &Value| {
            let text = entry["MESSAGE"].as_str().unwrap_or_default();
            let of_ours =
                |field: &str| entry[field].as_str().is_some_and(|unit| unit.starts_with("evenkeel"));
            let severe = entry["PRIORITY"]
                .as_str()
                .is_some_and(|level| level.parse().is_ok_and(|level: u8| level <= 4));
            let level = serde_json::from_str::<Value>(text).map(|line| line["level"].clone());
            let ours = of_ours("_SYSTEMD_UNIT")
                && !level.is_ok_and(|level| ["info", "debug"].iter().any(|fine| level == *fine));
            ours || (of_ours("UNIT") && severe && !text.contains(OUTSIDE))
        };
        entries.filter(complains).map(|entry| entry["MESSAGE"].to_string()).collect()
    }

    /// Not a file is left of what was installed, but for the two desks and what dpkg, apt and the journal keep of anybody.
    pub(super) fn has_never_been_there(&self) {
        for (host, before) in [&self.collector, &self.node].into_iter().zip(&self.before) {
            let now = files(host);
            let left: Vec<_> = now.difference(before).collect();
            assert!(left.is_empty(), "left over: {left:#?}");
            let lost: Vec<_> = before.difference(&now).collect();
            assert!(lost.is_empty(), "taken away: {lost:#?}");
        }
    }
}

/// As a person who says yes to what apt asks.
fn at_desk(commands: &str) -> String {
    format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get() {{ command apt-get --yes \"$@\"; }}; cd {DESK}; set -x\n{commands}"
    )
}

/// What anybody keeps who installs and runs something, and what the test itself lays down.
const OF_OTHERS: &[&str] = &[
    "/root*",
    "/packages*",
    "/var/lib/dpkg/*",
    "/var/lib/apt/*",
    "/var/lib/systemd/*",
    "/var/cache/*",
    "/var/log/*",
    "/var/tmp/*",
    "/etc/*-",
    "/etc/hosts",
    "/etc/.pwd.lock",
    "/etc/subuid",
    "/etc/subgid",
];

fn files(host: &Booted) -> BTreeSet<String> {
    let others = OF_OTHERS.iter().map(|path| format!(" ! -path '{path}'"));
    let found = host.run(&format!("find / -xdev{}", others.collect::<String>())).ok();
    found.lines().map(str::to_owned).collect()
}
