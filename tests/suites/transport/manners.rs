//! Agents do as the collector asks: hang up, come back later, come back one after the other.

use evenkeel_tests::harness::collector::UNLIMITED;
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, wait};

const PATH: &str = "sysctl.net.core.somaxconn";

fn collector(transport: &str) -> Collector {
    Collector::start(&Settings { transport: transport.to_owned(), ..Settings::default() })
}

fn arrives(collector: &Collector, name: &str, value: &str) {
    wait::until(|| match collector.cli().fact(name, PATH) {
        Some(held) if held == value => Ok(()),
        held => Err(format!("{name} has {held:?}")),
    });
}

/// The connections of the fleet's port that are open.
fn open(collector: &Collector) -> u64 {
    collector.metric("evenkeel_connections_open{port=\"fleet\"}")
}

/// Promise: asked to, agents hang up between check-ins, and a change reports at once nevertheless.
#[test]
fn agents_hang_up_when_they_are_asked_to() {
    let collector = collector(&format!("{UNLIMITED}\nconnection_mode = \"hang_up\""));
    let machine = Machine::new("stg-1");
    let mut agent = Agent::start(&collector, machine.node("staging"));
    agent.wait_acknowledged();
    wait::until(|| if open(&collector) == 0 { Ok(()) } else { Err("it has not hung up".to_owned()) });
    machine.sysctl("net.core.somaxconn", "5000");
    arrives(&collector, "stg-1", "5000");
    let before = collector.connections("accepted");
    wait::until(|| match collector.connections("accepted") {
        now if now >= before + 2 => Ok(()),
        now => Err(format!("{now} connections, of which {before} were before")),
    });
    assert_eq!(agent.process().logged("Report not delivered."), Vec::<serde_json::Value>::new());
}

/// Promise: agents keep their connection when they are not asked to hang up.
#[test]
fn agents_keep_their_connection() {
    let collector = collector(UNLIMITED);
    let machine = Machine::new("stg-1");
    let mut agent = Agent::start(&collector, machine.node("staging"));
    agent.wait_acknowledged();
    for value in ["5000", "5001", "5002"] {
        machine.sysctl("net.core.somaxconn", value);
        arrives(&collector, "stg-1", value);
    }
    assert_eq!(open(&collector), 1);
    let fleet = collector.metric("evenkeel_connections_limit{port=\"fleet\"}");
    assert!(fleet > 100, "{fleet}");
}

/// Promise: connections end at their age, and no report is lost by that.
#[test]
fn aged_connections_lose_no_report() {
    let collector = collector(&format!("{UNLIMITED}\nconnection_age = \"1s\"\nclose_deadline = \"5s\""));
    let machine = Machine::new("stg-1");
    let mut agent = Agent::start(&collector, machine.node("staging"));
    agent.wait_acknowledged();
    for round in 0..30 {
        let value = (5_000 + round).to_string();
        machine.sysctl("net.core.somaxconn", &value);
        arrives(&collector, "stg-1", &value);
    }
    wait::until(|| match collector.connections("aged") {
        count if count >= 3 => Ok(()),
        count => Err(format!("{count} connections have aged")),
    });
    assert_eq!(collector.connections("cut_off"), 0);
    let changes = collector.cli().history("stg-1", PATH).changes;
    assert_eq!(changes.len(), 30);
}

/// Promise: a node that changes all the time is told when to come back, does so, and its last state arrives.
#[test]
fn agents_come_back_when_they_were_told_to() {
    let collector = collector("enroll_every = \"0s\"\nsync_every = \"2s\"\nsync_burst = 2");
    let machine = Machine::new("stg-1");
    let mut agent = Agent::start(&collector, machine.node("staging"));
    agent.wait_acknowledged();
    machine.sysctl("net.core.somaxconn", "5000");
    arrives(&collector, "stg-1", "5000");
    machine.sysctl("net.core.somaxconn", "5001");
    let told = agent.process().wait_for("Report not delivered.", |_| true);
    let error = told["error"].as_str().unwrap();
    assert!(error.starts_with("the collector asks to come back in "), "{error}");
    machine.sysctl("net.core.somaxconn", "5002");
    arrives(&collector, "stg-1", "5002");
    assert!(collector.metric("evenkeel_check_ins_total{outcome=\"retry_after\"}") > 0);
}

/// Promise: machines of one address enrol one after the other, and each of them gets its turn by itself.
#[test]
fn enrolment_has_a_rate() {
    let collector = collector("sync_every = \"0s\"\nenroll_every = \"500ms\"\nenroll_burst = 1");
    for name in ["stg-1", "stg-2", "stg-3"] {
        Agent::start(&collector, Machine::new(name).node("staging"));
    }
    assert!(collector.requests("rate_limited") > 0);
}

/// Promise: after the collector was away, agents come back within the time that it has named, one after the other; and
/// one with news at once.
#[test]
fn agents_come_back_one_by_one() {
    let mut collector = collector(&format!("{UNLIMITED}\nreconnects_per_second = 1"));
    let machines = ["stg-1", "stg-2", "stg-3"].map(Machine::new);
    let mut agents = machines.each_ref().map(|machine| Agent::start(&collector, machine.node("staging")));
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    // Each has heard of all.
    let checked_in = "evenkeel_check_ins_total{outcome=\"up_to_date\"}";
    let before = collector.metric(checked_in);
    wait::until(|| match collector.metric(checked_in) {
        now if now >= before + 9 => Ok(()),
        now => Err(format!("{now} check-ins, {before} before")),
    });
    collector.kill();
    collector.restart();
    // Whoever is early in the three seconds may not have noticed.
    wait::until(|| {
        let off = agents.iter_mut().map(|agent| agent.process().logged("Report put off.").len());
        if off.sum::<usize>() > 0 { Ok(()) } else { Err("nobody has put off its report".to_owned()) }
    });
    wait::until(|| match open(&collector) {
        3 => Ok(()),
        count => Err(format!("{count} have come back")),
    });
    machines[0].sysctl("net.core.somaxconn", "5000");
    arrives(&collector, "stg-1", "5000");
}
