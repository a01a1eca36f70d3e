//! Who is limited to some environments sees a fleet that has no others.

use evenkeel_render::audit::Audit;
use evenkeel_tests::harness::{Agent, Collector, Machine};

use super::logins::logged_in;

/// Promise: nothing of another environment is told to who is limited, by whatever question; and nothing of it can be
/// touched.
#[test]
fn others_are_not_there() {
    let collector = Collector::default();
    // Held to the end: a machine's directory goes with it, and an agent may not have opened it yet.
    let (dev, staging, prod) = (Machine::new("dev-1"), Machine::new("stg-1"), Machine::new("prd-canary"));
    prod.write("proc/sys/net/core/somaxconn", "31337\n");
    prod.program("canary-app", "1.21.13", &[]);
    let mut agents = [
        Agent::start(&collector, staging.node("staging")),
        Agent::start(&collector, prod.node("prod")),
        Agent::start(&collector, dev.node("dev")),
    ];
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    let canary = agents[1].id().to_owned();
    let all = logged_in(&collector, "bob", &["--role", "operator"]);
    let ada = logged_in(&collector, "ada", &["--role", "operator", "--env", "staging", "--env", "dev"]);
    assert!(
        all.ok(&["explain", "sysctl.net.core.somaxconn"]).contains("31337"),
        "the canary is there to be seen"
    );

    let hidden = ["31337", "canary", canary.as_str(), "prod"];
    for question in [
        "report --all -o json",
        "report --all -o wide",
        "nodes -o json",
        "diff staging dev --all -o json",
        "explain sysctl.net.core.somaxconn -o json",
        "values sysctl.net.core.somaxconn -o json",
        "values kernel.release -o json",
        "history -o json",
        "audit -o json",
        "gate --from dev --to staging -o json",
        "report --env prod",
        "report --reference prod",
        "diff staging prod",
        "diff node/prd-canary staging",
        "gate --from staging --to prod",
        "facts prd-canary",
        "nodes prd-canary",
        "history --node prd-canary",
        "history --env prod",
        "values go.program[example.org/canary-app].go_version",
        "explain go.program[example.org/canary-app]",
    ] {
        let words: Vec<&str> = question.split(' ').collect();
        let said = ada.run(&words);
        let mut told = format!("{}{}", said.stdout, said.stderr);
        // What was asked for may be said back.
        for word in words.iter().filter_map(|word| word.rsplit('/').next()) {
            told = told.replace(word, "");
        }
        for secret in hidden {
            assert!(!told.contains(secret), "{question:?} tells of {secret}: {told}");
        }
    }
    for (question, said) in [
        ("report --env prod", "there is no environment \"prod\"; the environments are dev, staging"),
        ("facts prd-canary", "there is no node \"prd-canary\": see evenkeel nodes"),
    ] {
        let words: Vec<&str> = question.split(' ').collect();
        ada.run(&words).refused(2, &format!("evenkeel: {said}\n"));
    }
    assert_eq!(ada.run(&["facts", &canary]).code, Some(2), "nor by its UUID");
    assert_eq!(ada.nodes().nodes.len(), all.nodes().nodes.len() - 1);

    let limited = |what: &str| format!("evenkeel: the collector at {} refuses: {what}\n", collector.url());
    for (arguments, why) in [
        ("token create --env prod", "your certificate is limited to dev, staging: \"prod\" is not among them".to_owned()),
        ("token create --env nothing", "your certificate is limited to dev, staging: \"nothing\" is not among them".to_owned()),
        (
            "user list",
            "operator ada may not call /evenkeel.admin.v1.AdminService/ListUsers: it takes a user of role admin or above"
                .to_owned(),
        ),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let said = ada.run(&words);
        assert!(said.stderr.starts_with(&limited(&why)), "{said:#?}");
    }
    ada.ok(&["token", "create", "--env", "dev"]);
    let audit: Audit = ada.json(&["audit"]);
    assert!(audit.entries.iter().any(|entry| entry.action == "token.created"));
    let admin = logged_in(&collector, "eve", &["--role", "admin", "--env", "dev"]);
    let said = admin.run(&["user", "invite", "mallory", "--role", "admin"]);
    let why = "admin eve may not call /evenkeel.admin.v1.AdminService/InviteUser: it concerns all environments, and admin \
               eve is limited to dev";
    assert!(said.stderr.starts_with(&limited(why)), "{said:#?}");
    assert_eq!(
        collector.cli().run(&["user", "invite", "x", "--env", "produktion"]).stderr,
        "evenkeel: there is no environment \"produktion\"; there are: dev, test, staging, prod\n"
    );
}
