//! Tokens let in whom they were made for, for as long as nobody ends them.

use std::fs;
use std::path::Path;

use evenkeel_tests::harness::cli::Outcome;
use evenkeel_tests::harness::{Agent, Collector, Machine};

use super::own_name;

const NEXT: &str =
    "Make a new token on the collector's host: evenkeel token create --env ENV --token-file FILE";

fn id_of(token: &Path) -> String {
    fs::read_to_string(token).unwrap().split('.').nth(2).unwrap().to_owned()
}

fn enrol(collector: &Collector, agent: &Agent, token: &Path) -> Outcome {
    agent.enrol_with(&collector.enroll_url(), token, &["--again"])
}

fn refusal(collector: &Collector, why: &str) -> String {
    format!("evenkeel-agent: enrolment at {} failed: {why}\n{NEXT}\n", collector.enroll_url())
}

/// Promise: a token lets in only nodes of the names and the network that it was made for, and a token that was refused
/// for that is not used up.
#[test]
fn a_token_is_for_some_names_and_some_network() {
    let collector = Collector::default();
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    let for_db = collector.token("dev", &["--names", "db-*"]);
    enrol(&collector, &agent, &for_db).refused(
        2,
        &refusal(
            &collector,
            &format!("token {} lets in nodes named db-*, and this one is named web-1", id_of(&for_db)),
        ),
    );
    let from_elsewhere = collector.token("dev", &["--network", "192.0.2.7/24"]);
    enrol(&collector, &agent, &from_elsewhere).refused(
        2,
        &refusal(
            &collector,
            &format!(
                "token {} lets in nodes from 192.0.2.0/24, and this one comes from 127.0.0.1",
                id_of(&from_elsewhere)
            ),
        ),
    );
    let fits = collector.token("dev", &["--names", "web-?", "--network", "127.0.0.0/8"]);
    enrol(&collector, &agent, &fits).ok();
    let database_machine = Machine::new("db-1");
    let database = Agent::enrol(&collector, database_machine.node("dev"));
    enrol(&collector, &database, &for_db).ok();
}

/// Promise: a token that was revoked lets nobody in any more; who came with it stays.
#[test]
fn a_revoked_token_is_no_more() {
    let collector = Collector::default();
    let token = collector.token("dev", &["--uses", "10"]);
    let machine = Machine::new("web-1");
    let agent = Agent::enrol(&collector, machine.node("dev"));
    enrol(&collector, &agent, &token).ok();
    let id = id_of(&token);
    collector.cli().ok(&["token", "revoke", &id]);
    let by = own_name();
    enrol(&collector, &agent, &token)
        .refused(2, &refusal(&collector, &format!("token {id} was revoked by {by}")));
    assert!(collector.cli().nodes().nodes.iter().any(|node| node.name == "web-1"));
    let listed: serde_json::Value = collector.cli().json(&["token", "list"]);
    let listed = listed["tokens"].as_array().unwrap().iter().find(|token| token["id"] == *id).unwrap();
    assert_eq!((&listed["used"], &listed["uses"]), (&1.into(), &10.into()));
}
