//! What people say of drift: policies, sign-off, baselines; and what was at a moment.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use evenkeel_drift::Report;
use evenkeel_drift::report::{Finding, Kind, Status};
use evenkeel_render::accepted::Accepted;
use evenkeel_render::baselines::Baselines;
use evenkeel_render::watch::Seen;
use evenkeel_tests::harness::{Agent, Cli, Collector, Machine, wait};

const SOMAXCONN: &str = "sysctl.net.core.somaxconn";

/// Two environments of one machine each.
struct Two {
    machines: [Machine; 2],
    _agents: Vec<Agent>,
    collector: Collector,
}

impl Two {
    fn new() -> Self {
        let collector = Collector::default();
        let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
        let mut agents: Vec<_> = machines
            .iter()
            .zip(["staging", "prod"])
            .map(|(machine, environment)| Agent::start(&collector, machine.node(environment)))
            .collect();
        for agent in &mut agents {
            agent.wait_acknowledged();
        }
        Self { machines, _agents: agents, collector }
    }

    fn cli(&self) -> Cli {
        self.collector.cli()
    }

    /// Sets a value on staging and waits for what the report says of it.
    fn set(&self, value: &str) -> Option<Finding> {
        self.machines[0].sysctl("net.core.somaxconn", value);
        let cli = self.cli();
        wait::until(|| match cli.fact("stg-1", SOMAXCONN) {
            Some(now) if now == value => Ok(()),
            other => Err(format!("{other:?}")),
        });
        cli.report(&["--all"]).findings.into_iter().find(|finding| finding.path == SOMAXCONN)
    }
}

/// Promise: a report of a past moment is, byte for byte, the report that was printed then: with the fleet, the policy, the
/// sign-offs and the order of environments of then; also after a restart, and when the order has become another.
#[test]
fn the_past_is_what_was_printed_then() {
    let mut two = Two::new();
    let cli = two.cli();
    let mut printed = Vec::new();
    let mut print = || {
        let text = cli.ok(&["report", "--all", "-o", "json"]);
        let report: Report = serde_json::from_str(&text).unwrap();
        printed.push((report.as_of.to_string(), text));
    };
    let policy = tempfile::tempdir().unwrap();
    let file = policy.path().join("mine.toml");
    for round in 0..5 {
        print();
        let finding = two.set(&format!("{}", 1000 + round)).expect("it differs");
        print();
        let id = cli.ok(&["accept", &finding.id, "--owner", "web", "--reason", "load test", "--until", "1d"]);
        print();
        std::fs::write(
            &file,
            format!("name = \"mine\"\nversion = 1\nextends = \"default\"\n[expect]\n\"sysctl.vm.swappiness\" = {round}\n"),
        )
        .unwrap();
        cli.ok(&["policy", "apply", file.to_str().unwrap()]);
        print();
        cli.ok(&["unaccept", id.trim()]);
    }
    assert_eq!(printed.len(), 20);
    let labels: Vec<&str> = printed
        .iter()
        .filter(|(_, text)| text.contains("\"policy\": \"mine@"))
        .map(|(at, _)| at.as_str())
        .collect();
    assert_eq!(labels.len(), 17, "the policy of then is shown");
    let held = |cli: &Cli, printed: &[(String, String)]| {
        for (at, text) in printed {
            assert_eq!(&cli.ok(&["report", "--all", "--at", at, "-o", "json"]), text, "at {at}");
        }
    };
    held(&cli, &printed);
    two.collector.order(&["dev", "prod", "test", "staging"]);
    two.collector.restart();
    let cli = two.cli();
    let text = cli.ok(&["report", "--all", "-o", "json"]);
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.reference, "staging", "the last in the new order");
    printed.push((report.as_of.to_string(), text));
    held(&cli, &printed);
    let audit = cli.ok(&["audit", "-o", "json"]);
    assert!(audit.contains("ordered the environments dev, prod, test, staging"), "{audit}");
}

/// Promise: what was is held against what is: `diff ENV@TIME ENV`, and a node against itself.
#[test]
fn now_is_held_against_then() {
    let two = Two::new();
    let cli = two.cli();
    let then = cli.report(&[]).as_of;
    two.set("65535").expect("it differs");
    for b in ["staging", "node/stg-1"] {
        let report: Report = cli.json(&["diff", b, &format!("{b}@{then}")]);
        // Nobody reads nanoseconds.
        let a = format!("{b}@{then:.0}");
        let found: Vec<_> =
            report.findings.iter().map(|finding| (&*finding.path, &*finding.summary)).collect();
        let said = format!("{b} has 65535, {a} has 4096");
        assert_eq!(found, [(SOMAXCONN, said.as_str())]);
    }
    let refused = cli.run(&["report", "--at", "2001-01-01"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("the journal does not reach back to 2001-01-01T00:00:00Z: it begins at"),
        "{refused:?}"
    );
}

/// Promise: a sign-off covers what was known, with owner, reason and end; another value is open again, and so is what
/// nobody signs off any more.
#[test]
fn what_is_known_is_signed_off() {
    let two = Two::new();
    let cli = two.cli();
    let finding = two.set("65535").expect("it differs");
    cli.run(&["accept", &finding.id, "--owner", "web", "--until", "1d"]);
    let id =
        cli.ok(&["accept", &finding.id, "--owner", "web team", "--reason", "load test", "--until", "30d"]);
    let id = id.trim();
    let report = cli.report(&[]);
    assert_eq!((report.findings.len(), report.summary.accepted), (0, 1));
    let all = cli.report(&["--all"]).findings;
    let [accepted] = all.as_slice() else { panic!("{all:#?}") };
    assert_eq!(accepted.status, Status::Accepted);
    let sign_off = accepted.acceptance.as_ref().unwrap();
    assert_eq!((&*sign_off.id, &*sign_off.owner, &*sign_off.reason), (id, "web team", "load test"));
    assert_eq!(cli.run(&["gate", "--from", "staging", "--to", "prod"]).code, Some(0));
    let listed: Accepted = cli.json(&["accepted"]);
    assert_eq!(listed.acceptances[0].findings, [SOMAXCONN]);

    let other = two.set("1024").expect("it differs");
    assert_eq!(other.status, Status::Open);
    let back = two.set("65535").expect("it differs");
    assert_eq!(back.status, Status::Accepted);
    cli.ok(&["unaccept", id]);
    assert_eq!(cli.report(&[]).findings.len(), 1);
    cli.ok(&["accept", "--all-open", "--owner", "web", "--reason", "day one", "--until", "1d"]);
    assert_eq!(cli.report(&[]).findings, []);
    let audit = cli.ok(&["audit", "-o", "json"]);
    for deed in ["accepted sysctl.net.core.somaxconn for web team", "ended the sign-off", "day one"] {
        assert!(audit.contains(deed), "{deed}: {audit}");
    }
    cli.run(&["unaccept", "a-0"])
        .refused(2, "evenkeel: there is no sign-off \"a-0\": see evenkeel accepted\n");
}

/// Promise: an applied policy decides from then on, under its name and a version of its own; a file that is none is
/// refused with its place, and changes nothing.
#[test]
fn a_policy_is_put_in_force() {
    let two = Two::new();
    let cli = two.cli();
    assert_eq!(cli.report(&[]).policy, "default@1");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mine.toml");
    let apply = |text: &str| {
        std::fs::write(&file, text).unwrap();
        cli.run(&["policy", "apply", file.to_str().unwrap()])
    };
    let head = "name = \"mine\"\nversion = 1\nextends = \"default\"\n";
    apply(&format!("{head}[expect]\n\"sysctl.net.core.somaxconn\" = \">= 65535\"\n")).ok();
    let report = cli.report(&[]);
    let found: Vec<_> = report.findings.iter().map(|finding| (&*finding.path, finding.kind)).collect();
    assert_eq!((report.policy.as_str(), found), ("mine@1", vec![(SOMAXCONN, Kind::Violates)]));
    assert_eq!(*report.findings[0].nodes, ["prod-1", "stg-1"]);
    assert_eq!(report.findings[0].expected.as_deref(), Some(">= 65535"));
    apply(head).ok();
    assert_eq!(cli.report(&[]).policy, "mine@2");
    let shown = cli.ok(&["policy", "show", SOMAXCONN]);
    assert!(shown.contains("severity: critical") && shown.contains("policy mine@2"), "{shown}");

    let refused =
        apply(&format!("{head}[[rule]]\npath = \"go.version\"\nsevrity = \"info\"\nreason = \"r\"\n"));
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("line 6, column 1") && refused.stderr.contains("did you mean `severity`?"),
        "{refused:?}"
    );
    assert_eq!(cli.report(&[]).policy, "mine@2");
}

/// Promise: what was kept stays what it was, whatever the nodes become, and also after a restart.
#[test]
fn a_baseline_is_kept() {
    let mut two = Two::new();
    let cli = two.cli();
    cli.ok(&["baseline", "create", "launch", "--from", "staging"]);
    two.set("65535").expect("it differs");
    let held = |cli: &Cli| {
        let report: Report = cli.json(&["diff", "staging", "baseline/launch"]);
        report.findings.iter().map(|finding| finding.summary.clone()).collect::<Vec<_>>()
    };
    assert_eq!(held(&cli), ["staging has 65535, baseline/launch has 4096"]);
    two.collector.restart();
    let cli = two.cli();
    wait::until(|| if held(&cli).len() == 1 { Ok(()) } else { Err("not there yet".to_owned()) });
    let list: Baselines = cli.json(&["baseline", "list"]);
    assert_eq!((list.baselines[0].name.as_str(), list.baselines[0].nodes), ("launch", 1));
    let taken = cli.run(&["baseline", "create", "launch", "--from", "prod"]);
    assert!(taken.stderr.contains("there is a baseline \"launch\" already"), "{taken:?}");
    cli.ok(&["baseline", "delete", "launch"]);
    let gone = cli.run(&["diff", "staging", "baseline/launch"]);
    assert!(gone.stderr.contains("there is no baseline \"launch\": see evenkeel baseline list"), "{gone:?}");
}

/// Promise: a baseline of expectations is what an environment is held against, by its rules and under its name, and it
/// outlasts a restart.
#[test]
fn expectations_are_a_baseline() {
    let mut two = Two::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("launch.toml");
    let expected = "name = \"launch\"\nversion = 1\nextends = \"default\"\n[expect]\n\
                    \"sysctl.net.core.somaxconn\" = \">= 65535\"\n\"go.version\" = \"1.21.13\"\n";
    std::fs::write(&file, expected).unwrap();
    two.cli().ok(&["baseline", "create", "launch", "--expectations", file.to_str().unwrap()]);
    let held = |two: &Two| {
        let report: Report = two.cli().json(&["diff", "staging", "baseline/launch"]);
        let one = |finding: &Finding| (finding.path.clone(), finding.kind, finding.expected.clone());
        report.findings.iter().map(one).collect::<Vec<_>>()
    };
    let violated = vec![(SOMAXCONN.to_owned(), Kind::Violates, Some(">= 65535".to_owned()))];
    assert_eq!(held(&two), violated);
    two.collector.restart();
    wait::until(|| match held(&two) {
        held if held == violated => Ok(()),
        other => Err(format!("{other:?}")),
    });
    two.set("65536");
    assert_eq!(held(&two), [], "it is as expected");
    assert_eq!(two.cli().run(&["diff", "staging", "baseline/launch", "--exit-code"]).code, Some(0));
}

/// Promise: a fact that keeps changing on many nodes raises no alarm any more: it is quarantined, and the report says which
/// facts are, and how much of all changes they are.
#[test]
fn what_keeps_changing_is_quarantined() {
    let collector = Collector::default();
    let machines = ["stg-1", "stg-2", "stg-3", "prod-1"].map(Machine::new);
    let environments = ["staging", "staging", "staging", "prod"];
    let mut agents: Vec<_> = machines
        .iter()
        .zip(environments)
        .map(|(machine, environment)| Agent::start(&collector, machine.node(environment)))
        .collect();
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    let (cli, path) = (collector.cli(), "sysctl.vm.dirty_ratio");
    let set = |value: &str| {
        for machine in &machines[..3] {
            machine.sysctl("vm.dirty_ratio", value);
        }
        for name in ["stg-1", "stg-2", "stg-3"] {
            wait::until(|| match cli.fact(name, path) {
                Some(now) if now == value => Ok(()),
                other => Err(format!("{name} has {other:?}")),
            });
        }
    };
    let found = || cli.report(&["--all"]).findings.into_iter().find(|finding| finding.path == path);
    for value in ["1", "2", "3"] {
        set(value);
        assert_eq!(found().expect("it differs").status, Status::Open);
    }
    assert_eq!(cli.report(&[]).noise, None);
    for value in ["4", "5"] {
        set(value);
    }
    let finding = found().expect("it is still said with --all");
    assert_eq!(finding.status, Status::Explained, "{finding:#?}");
    let noise = cli.report(&[]).noise.expect("the report says what is quarantined");
    let [quarantined] = noise.quarantined.as_slice() else { panic!("{noise:#?}") };
    assert_eq!((quarantined.path.as_str(), quarantined.nodes), (path, 3));
    assert!(noise.quarantined_changes >= 12 && noise.changes >= noise.quarantined_changes, "{noise:#?}");
    assert!(cli.ok(&["report"]).contains("Quarantined, as it keeps changing ("), "so does the table");
}

/// Promise: whoever watches is told what is open, and then what opens and ends, as it happens.
#[test]
fn findings_are_watched() {
    let two = Two::new();
    let (mut child, mut next) = watched(&two);
    // The watch may begin after the change: then it stands already.
    two.set("65535");
    let (change, path) = next();
    assert!(["opened", "standing"].contains(&change.as_str()) && path == SOMAXCONN, "{change} {path}");
    two.set("4096");
    assert_eq!(next(), ("resolved".to_owned(), SOMAXCONN.to_owned()));
    two.set("65535");
    assert_eq!(next(), ("reopened".to_owned(), SOMAXCONN.to_owned()));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A watch, and what it tells next: what happened to which fact.
fn watched(two: &Two) -> (Child, impl FnMut() -> (String, String) + use<>) {
    let mut command = two.cli().command(&["watch", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let next = move || {
        let line = lines.next().expect("the watch goes on").unwrap();
        let seen: Seen = serde_json::from_str(&line).unwrap();
        (seen.change, seen.finding.path)
    };
    (child, next)
}

/// Promise: a watch goes on when the collector restarts: it says so once, tells nothing twice, and tells what ended and
/// opened meanwhile.
#[test]
fn a_watch_outlives_the_collector() {
    let mut two = Two::new();
    two.set("65535").expect("it differs");
    let (mut child, mut next) = watched(&two);
    assert_eq!(next(), ("standing".to_owned(), SOMAXCONN.to_owned()));
    two.collector.kill();
    two.machines[0].sysctl("net.core.somaxconn", "4096");
    two.collector.restart();
    assert_eq!(next(), ("resolved".to_owned(), SOMAXCONN.to_owned()));
    two.set("65535");
    let (change, path) = next();
    // The collector has not seen what ended before it began.
    assert!(["opened", "reopened"].contains(&change.as_str()) && path == SOMAXCONN, "{change} {path}");
    child.kill().unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let [lost, back] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(
        lost.contains("the collector at ") && lost.ends_with("; trying again until it is back."),
        "{lost}"
    );
    assert_eq!(back, "The collector is back.");
}

/// Promise: a watch ends, and well, when nobody reads it any more, also while nothing happens.
#[test]
fn a_watch_ends_with_its_reader() {
    let two = Two::new();
    two.set("65535").expect("it differs");
    let (mut child, mut next) = watched(&two);
    assert_eq!(next(), ("standing".to_owned(), SOMAXCONN.to_owned()));
    drop(next);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
