//! The agent as its unit starts it, on a booted host: an unprivileged user in a sandbox, and what the drop-ins open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use evenkeel_drift::report::State;
use evenkeel_facts::Author;
use evenkeel_render::facts::Facts;
use evenkeel_tests::harness::booted::Booted;
use evenkeel_tests::harness::hosts::Network;
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};
use evenkeel_tests::harness::{Collector, Settings, programs, wait};
use serde_json::Value;

const NODE: &str = "unit-1";
/// Readies the host as the package does, without the package.
const INSTALL: &str = "\
cp /run/deploy/systemd/evenkeel-agent.service /etc/systemd/system/
mkdir -p /etc/sysusers.d /etc/tmpfiles.d /etc/evenkeel
cp /run/deploy/systemd/evenkeel-agent.sysusers.conf /etc/sysusers.d/evenkeel-agent.conf
cp /run/deploy/systemd/evenkeel-agent.tmpfiles.conf /etc/tmpfiles.d/evenkeel-agent.conf
sed 's/^interval = .*/interval = \"1h\"/' /run/deploy/examples/agent.toml > /etc/evenkeel/agent.toml
systemd-sysusers; systemd-tmpfiles --create evenkeel-agent.conf; systemctl daemon-reload";
/// The same unit, which looks once and prints.
const LOOK: &str = "\
sed -e '/^Condition/d; /^Restart/d; /^Watchdog/d; /^Type=/d; /^StartLimit/d' -e 's/evenkeel-agent run/evenkeel-agent %i/' \
    -e 's|^.Service.$|[Service]\\nType=oneshot\\nStandardOutput=truncate:/run/look-%i|' \
    /etc/systemd/system/evenkeel-agent.service > /etc/systemd/system/look@.service; systemctl daemon-reload";

/// A booted host with the unit, enrolled and not started.
struct Serviced {
    host: Booted,
    collector: Collector,
}

impl Serviced {
    fn up() -> Option<Self> {
        let root = cache().join("root-bookworm-systemd");
        if !is_root() {
            skipped("service", "a container with its own process 1 needs root");
            return None;
        }
        if !has_command("systemd-nspawn") || !root.join("lib/systemd/systemd").exists() {
            skipped("service", "no systemd-nspawn, or no root for it; tests/hosts/install.sh makes both");
            return None;
        }
        let (agent, deploy) = (programs::path("evenkeel-agent"), programs::tree().join("deploy"));
        let files = [(agent.as_path(), "/usr/bin/evenkeel-agent"), (deploy.as_path(), "/run/deploy")];
        // Without it systemd-nspawn forbids to listen for writers, which the machine itself does not.
        let may_listen = "--system-call-filter=fanotify_init fanotify_mark";
        let host = Booted::with("unit", &root, &files, &[may_listen]);
        let started = host.run("evenkeel-agent --version");
        if started.stderr.contains("GLIBC_") {
            skipped("service", "the programs here were built for a newer C library than the host's");
            return None;
        }
        started.ok();
        host.run(INSTALL).ok();
        let collector =
            Collector::start(&Settings { address: Some(Network::gateway()), ..Settings::default() });
        let token = fs::read_to_string(collector.token("dev", &[])).unwrap();
        let enroll = format!(
            "echo '{}' | evenkeel-agent enroll --collector {} --token-file - --name {NODE} --state-dir /var/lib/evenkeel-agent",
            token.trim(),
            collector.enroll_url(),
        );
        host.run(&enroll).ok();
        Some(Self { host, collector })
    }

    /// Starts the unit; it is ready when it has looked once.
    fn start(&self) {
        self.host.run("systemctl restart evenkeel-agent.service").ok();
        wait::until(|| match self.collector.cli().nodes().nodes.as_slice() {
            [node] if node.fresh => Ok(()),
            nodes => Err(format!("{nodes:?}")),
        });
    }

    /// What the agent prints in the unit's sandbox.
    fn look(&self, command: &str) -> String {
        self.host.run(&format!("systemctl start look@{command}.service; cat /run/look-{command}")).ok()
    }
}

/// What cannot be read, and why, by path.
fn unreadable(snapshot: &Value) -> BTreeMap<String, (String, String)> {
    let mut unreadable = BTreeMap::new();
    for section in snapshot["sections"].as_array().unwrap() {
        let source = section["name"].as_str().unwrap().split('.').next().unwrap();
        let source = if source == "sysctl_persisted" { "sysctl" } else { source };
        for (path, fact) in section["facts"].as_object().unwrap() {
            if let Some(reason) = fact["unreadable"].as_str() {
                unreadable.insert(path.clone(), (source.to_owned(), reason.to_owned()));
            }
        }
    }
    unreadable
}

/// Promise: what the unprivileged agent in its sandbox cannot read is listed by `check`, each source's by reason, with what
/// would show it; the collector holds the same, and the report's coverage shows it.
#[test]
fn what_the_unit_cannot_read_is_listed() {
    let Some(unit) = Serviced::up() else { return };
    unit.host.run(LOOK).ok();
    let seen = unreadable(&serde_json::from_str(&unit.look("collect")).unwrap());
    let checked = unit.look("check");
    let mut groups = BTreeMap::<_, usize>::new();
    for group in seen.values() {
        *groups.entry(group.clone()).or_default() += 1;
    }
    for ((source, reason), count) in &groups {
        let line = format!("\n{source}: {count} unreadable ({reason})\n");
        assert!(checked.contains(&line), "{line} is not in\n{checked}");
    }
    let of = |source: &str, reason: &str| groups.contains_key(&(source.to_owned(), reason.to_owned()));
    for (source, reason) in [
        ("sysctl", "permission"),
        ("processes", "permission"),
        ("go_programs", "permission"),
        ("time", "sandbox"),
    ] {
        assert!(of(source, reason), "{source} ({reason}) is not in {groups:#?}");
    }
    let all = checked.lines().find(|line| line.starts_with("all ")).unwrap();
    assert_eq!(all.split_whitespace().nth(2), Some(seen.len().to_string().as_str()), "{checked}");
    for said in [
        "looking as user ",
        "without CAP_SYS_PTRACE, which would show what other users' processes run\n",
        "/tmp (PrivateTmp=) is hidden by the agent's own sandbox\n",
        "-> CAP_SYS_PTRACE shows the programs of other users' processes.\n",
    ] {
        assert!(checked.contains(said), "{said:?} is not in\n{checked}");
    }

    unit.start();
    let facts: Facts = unit.collector.cli().json(&["facts", NODE]);
    let held = facts.facts.iter().filter(|fact| fact.state == State::Unreadable);
    let held: BTreeSet<_> = held.map(|fact| fact.path.clone()).collect();
    assert_eq!(held, seen.into_keys().collect());
    let report = unit.collector.cli().report(&[]);
    let [dev] = report.environments.iter().filter(|of| of.nodes == 1).collect::<Vec<_>>()[..] else {
        panic!("{:#?}", report.environments)
    };
    assert!(dev.coverage > 0.9 && dev.coverage < 1.0, "{dev:?}");
}

/// Promise: in its sandbox, too, the agent sees a change of a kernel parameter when it is made, and not at the next sweep,
/// which is an hour away; with the drop-in `who.conf` the unprivileged agent names the unit, the program and the user behind a change,
/// on a host that systemd has booted.
#[test]
fn a_unit_that_writes_is_named() {
    let Some(unit) = Serviced::up() else { return };
    unit.host
        .run(
            "mkdir /etc/systemd/system/evenkeel-agent.service.d
             cp /run/deploy/systemd/drop-ins/evenkeel-agent/who.conf /etc/systemd/system/evenkeel-agent.service.d/
             sed -i 's/^authors = false/authors = true/' /etc/evenkeel/agent.toml
             systemctl daemon-reload",
        )
        .ok();
    unit.start();
    let mut value = 6000;
    // A process that ends at once may be gone before it is seen: then another one writes.
    let mut named = |what: &str, write: &dyn Fn(u32) -> String, fits: &dyn Fn(&Author) -> bool| {
        wait::until(|| {
            value += 1;
            unit.host.run(&write(value)).ok();
            let known = || {
                let newest = unit.collector.cli().history(NODE, "sysctl.net.core.somaxconn").changes;
                let newest = newest.into_iter().next().filter(|of| of.after.value == value.to_string());
                newest.ok_or(format!("{value} is not known"))
            };
            let change = wait::until(known);
            // A shell that still runs is let go.
            let ends = "touch /run/known; while systemctl --quiet is-active shell.scope; do sleep 0.1; done; rm /run/known";
            unit.host.run(ends).ok();
            match change.by {
                Some(by) if fits(&by) => Ok(by),
                other => Err(format!("{what} is not named: {other:?}")),
            }
        })
    };
    let file = "/proc/sys/net/core/somaxconn";
    let service =
        |value| format!("systemd-run --quiet --wait --unit=tuner sysctl -q -w net.core.somaxconn={value}");
    let by = named("a service", &service, &|by| by.unit == "tuner.service");
    assert_eq!((by.command.as_str(), by.user.as_str()), ("sysctl", "root"));
    // Somebody at a prompt: the shell goes on.
    let scope = |value| {
        let script = format!("echo {value} > {file}; until test -e /run/known; do sleep 0.1; done");
        format!("systemd-run --quiet --scope --unit=shell sh -c '{script}' > /dev/null 2>&1 &")
    };
    let by = named("a scope", &scope, &|by| by.unit == "shell.scope");
    assert_eq!((by.command.as_str(), by.user.as_str()), ("sh", "root"));
}
