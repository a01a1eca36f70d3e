//! Tokens that let nobody in, and agents that cannot start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::{Agent, Collector, Machine, programs, wait};
use jiff::{SignedDuration, Timestamp};

/// Runs `evenkeel-agent` with its state in this directory.
fn agent(state: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(programs::path("evenkeel-agent"));
    run(command.args(arguments).arg("--state-dir").arg(state).env("EVENKEEL_STATE_DIR", ""))
}

/// What is printed, with what the collector says where `{}` stands.
const REFUSED: &str = "evenkeel-agent: enrolment at {} failed: ";
const NEW_TOKEN: &str =
    "\nMake a new token on the collector's host: evenkeel token create --env ENV --token-file FILE\n";

const UNREACHED: &str = "evenkeel-agent: cannot reach the collector at {} to enrol: ";
const IS_IT_THERE: &str =
    "\nSee whether the collector runs, whether this is its enrolment port, and whether it made this token.\n";

fn enrol(collector: &Collector, token: &Path) -> (Outcome, String) {
    let state = tempfile::tempdir().unwrap();
    let url = collector.enroll_url();
    let outcome = agent(
        &state.path().join("state"),
        &["enroll", "--collector", &url, "--token-file", &token.display().to_string(), "--name", "web-1"],
    );
    assert!(!state.path().join("state/node.json").exists() || outcome.code == Some(0));
    (outcome, REFUSED.replace("{}", &url))
}

/// Promise: a token of another collector, a changed one and a text that is none let nobody in. Nothing is sent to a
/// collector that the token does not name.
#[test]
fn a_wrong_token() {
    let (collector, other) = (Collector::default(), Collector::default());
    let (token, foreign) = (collector.token("dev", &[]), other.token("dev", &[]));

    let (outcome, _) = enrol(&collector, &foreign);
    let unreached = UNREACHED.replace("{}", &collector.enroll_url());
    let why = "who answers there is another collector than the one that is trusted here";
    outcome.refused(2, &format!("{unreached}{why}{IS_IT_THERE}"));

    let text = fs::read_to_string(&token).unwrap();
    let at = text.rfind('.').unwrap() + 1;
    let changed = format!("{}{}\n", &text[..at], "a".repeat(text.trim().len() - at));
    let (outcome, refused) = enrol(&collector, &file(&collector, "changed", &changed));
    outcome.refused(2, &format!("{refused}this is not a token of this collector{NEW_TOKEN}"));

    let (outcome, _) = enrol(&collector, &file(&collector, "text", "please let me in\n"));
    outcome.refused(
        2,
        "evenkeel-agent: the token file does not hold a token: ek1.… was expected\n\
         Make a token on the collector's host: evenkeel token create --env ENV --token-file FILE\n",
    );
    let missing = collector.directory().join("missing");
    let (outcome, _) = enrol(&collector, &missing);
    outcome.refused(
        2,
        &format!(
            "evenkeel-agent: the token cannot be read: cannot read {}: No such file or directory (os error 2)\n\
             Make a token on the collector's host: evenkeel token create --env ENV --token-file FILE\n",
            missing.display()
        ),
    );
    assert_eq!(collector.cli().nodes().nodes, []);
}

fn file(collector: &Collector, name: &str, text: &str) -> PathBuf {
    let path = collector.directory().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn id(token: &Path) -> String {
    fs::read_to_string(token).unwrap().split('.').nth(2).unwrap().to_owned()
}

/// Promise: a token admits as many nodes as it was made for, and for as long.
#[test]
fn a_token_that_is_used_up_or_expired() {
    let collector = Collector::default();
    let token = collector.token("dev", &["--uses", "2"]);
    for _ in 0..2 {
        enrol(&collector, &token).0.ok();
    }
    let (outcome, refused) = enrol(&collector, &token);
    let why = format!("token {} is used up (2 of 2)", id(&token));
    outcome.refused(2, &format!("{refused}{why}{NEW_TOKEN}"));
    assert_eq!(collector.cli().nodes().nodes.len(), 2);

    let made = Timestamp::now();
    let token = collector.token("dev", &["--ttl", "1s"]);
    let end = Timestamp::now() + SignedDuration::from_secs(1);
    wait::until(|| if Timestamp::now() > end { Ok(()) } else { Err("the token is good".to_owned()) });
    let (outcome, refused) = enrol(&collector, &token);
    let at = |end: Timestamp| format!("token {} expired at {end:.0}", id(&token));
    let said =
        [made + SignedDuration::from_secs(1), end].map(|end| format!("{refused}{}{NEW_TOKEN}", at(end)));
    assert!(said.contains(&outcome.stderr), "{outcome:#?} is none of {said:#?}");
    assert_eq!(outcome.code, Some(2));
}

/// Promise: a machine is one node; it is not enrolled twice by accident.
#[test]
fn a_machine_that_is_a_node_already() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let token = collector.token("dev", &["--uses", "2"]);
    agent.enrol_with(&collector.enroll_url(), &token, &[]).refused(
        2,
        &format!(
            "evenkeel-agent: this machine is node {} of dev already\n\
             Nothing is to be done; to enrol it anew, add --again.\n",
            agent.id()
        ),
    );
    agent.enrol_with(&collector.enroll_url(), &token, &["--again"]).ok();
}

/// Promise: a collector that cannot be reached, or another port of it, is told apart from a refusal.
#[test]
fn nobody_there() {
    let mut collector = Collector::default();
    let token = collector.token("dev", &[]);
    let state = tempfile::tempdir().unwrap();
    let shown = token.display().to_string();
    let enrol = |url: &str| agent(state.path(), &["enroll", "--collector", url, "--token-file", &shown]);
    let unreached = |url: &str, why: &str| format!("{}{why}{IS_IT_THERE}", UNREACHED.replace("{}", url));

    let fleet = collector.url();
    // With TLS 1.3 a client hears after the handshake that it was to show a certificate: as an alert, or not at all.
    let heard = [
        "the connection was closed before an answer came",
        "it refuses the certificate that was shown (CertificateRequired)",
    ];
    enrol(&fleet).refused_with_one_of(2, &heard.map(|why| unreached(&fleet, why)));
    collector.kill();
    let url = collector.enroll_url();
    enrol(&url).refused(2, &unreached(&url, "Connection refused (os error 111)"));
    enrol("http://collector").refused(
        2,
        "evenkeel-agent: \"http://collector\" is not a collector's address: write https://HOST:7444\nSee evenkeel-agent help.\n",
    );
}

/// Promise: an agent that was not enrolled says how it would be.
#[test]
fn an_agent_without_an_identity() {
    let state = tempfile::tempdir().unwrap();
    let outcome = agent(state.path(), &["run"]);
    let last = outcome.stderr.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(
        (outcome.code, last),
        (
            Some(2),
            vec![
                "Enrol it: evenkeel-agent enroll --collector https://HOST:7444 --token-file FILE",
                format!(
                    "evenkeel-agent: this machine is not enrolled: there is no identity in {}",
                    state.path().display()
                )
                .as_str()
            ]
        )
    );
}

/// Promise: an unknown key in a configuration file is an error that shows the line and what was meant.
#[test]
fn an_unknown_key() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    fs::write(&config, "stale_afte = \"3m\"\n").unwrap();
    let shown = config.display().to_string();
    let mut collector = Command::new(programs::path("evenkeel-collector"));
    let refused = run(collector.args(["run", "--config", &shown]));
    let begin = format!(
        "evenkeel-collector cannot run: {shown}: TOML parse error at line 1, column 1\n  \
         |\n1 | stale_afte = \"3m\"\n  | ^^^^^^^^^^\nunknown field `stale_afte`, expected one of `data_dir`, "
    );
    assert!(refused.stderr.starts_with(&begin), "{refused:#?}");
    let next =
        "\ndid you mean `stale_after`?\nCorrect the file; deploy/examples/collector.toml has every option.\n";
    assert!(refused.stderr.ends_with(next), "{refused:#?}");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    fs::write(&config, "intervall = \"60s\"\n").unwrap();
    let next = "Correct the file, or leave --config away for the defaults.";
    agent(directory.path(), &["run", "--config", &shown]).refused(
        2,
        &format!(
            "evenkeel-agent: {shown}: TOML parse error at line 1, column 1\n  |\n1 | intervall = \"60s\"\n  \
             | ^^^^^^^^^\nunknown field `intervall`, expected one of `state_dir`, `root`, `interval`, `authors`, `starts`, `sources`, `enroll`, `pki`\n\
             did you mean `interval`?\n{next}\n"
        ),
    );
    fs::write(&config, "interval = \"0.1s\"\n").unwrap();
    agent(directory.path(), &["run", "--config", &shown])
        .refused(2, &format!("evenkeel-agent: {shown}: interval: at least one second is needed\n{next}\n"));
}
