//! A collector under load: its own process, real mutual TLS, the generator beside it on the same machine.

use std::time::Instant;

use evenkeel_facts::FactPath;
use evenkeel_tests::harness::Collector;
use evenkeel_tests::load::LoadError;
use evenkeel_tests::load::drive::{Deed, Session, connect, first_sync, steady};
use evenkeel_tests::load::enrol::{enrol, token};
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::phase::Phase;
use evenkeel_tests::load::process::disk;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use tokio::runtime::Runtime;

use crate::agent::float;
use crate::clock::median;
use crate::say;
use crate::table::{Budget, Table, Unit};

/// Nodes in the fleet.
const NODES: usize = 10_000;
/// Nodes with connections that stay open.
const CONNECTED: usize = 512;
/// Nodes whose first report is all new.
const NEW: usize = 512;

pub(crate) fn run(table: &mut Table) {
    runtime().block_on(load(table)).expect("the collector takes the load");
}

/// Threads for the generator.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started")
}

async fn load(table: &mut Table) -> Result<(), LoadError> {
    let mut collector = Collector::default();
    let target = Target::new(&mut collector);
    let mut fleet = Fleet::new(Template::of_this_machine(), NODES);
    fleet.seed_one_percent();

    let empty = target.process.memory()?.rss;
    let (members, enrolled) = enrol(&target, fleet.nodes.clone()).await?;
    rate(table, "collector: enrolments a core", Budget::Nothing, &enrolled);
    let (mut members, reported) = first_sync(&target, members, 64).await?;
    rate(table, "collector: connect and first sync, contents known", Budget::Nothing, &reported);
    let stored = float(disk(&target.data_dir, "evenkeel.db")?);
    let nodes = fleet_size();
    table.row(
        "collector: disk a node, contents shared",
        Unit::Bytes,
        Budget::AtMost(1_000.0),
        stored / nodes,
    );
    let grown = float(target.process.memory()?.rss.saturating_sub(empty));
    table.row("collector: memory a node, after the load", Unit::Bytes, Budget::Nothing, grown / nodes);
    reports(table, &target).await?;

    let before = target.process.memory()?.rss;
    let (sessions, _) = connect(&target, members.split_off(NODES - CONNECTED), 32).await?;
    let held = float(target.process.memory()?.rss.saturating_sub(before));
    let connected = f64::from(u32::try_from(CONNECTED).unwrap_or(u32::MAX));
    table.row("collector: memory a connected agent", Unit::Bytes, Budget::AtMost(45_000.0), held / connected);
    let sessions = check_ins(table, &target, sessions).await?;
    drop(sessions);
    all_new(table, &target).await?;
    table.note(
        "rates a core: exchanges by the collector's own processor time, the generator beside it; on loopback the kernel charges some of the receiving to the sender.",
    );
    table.note("enrolments, and connect and first sync, are one run of 10,000 nodes, not a median.");
    Ok(())
}

async fn check_ins(
    table: &mut Table,
    target: &Target,
    sessions: Vec<Session>,
) -> Result<Vec<Session>, LoadError> {
    let (section, path) = ("sysctl.vm".to_owned(), FactPath::known("sysctl.vm.swappiness"));
    let alike = Deed::ChangeAlike { section: section.clone(), path: path.clone() };
    let uniquely = Deed::ChangeUniquely { section, path };
    let mut sessions = sessions;
    for (what, budget, deed, rounds) in [
        ("collector: unchanged check-ins a core", 15_000.0, Deed::Unchanged, 120),
        ("collector: changed check-ins a core, durable, content known", 8_000.0, alike, 12),
        ("collector: changed check-ins a core, durable, new content", 8_000.0, uniquely, 8),
    ] {
        let mut phases = Vec::new();
        for _ in 0..3 {
            let (same, phase) = steady(target, sessions, &deed, rounds).await?;
            sessions = same;
            say(&format!("{what}: {phase}"));
            phases.push(phase);
        }
        let per_core = median(phases.iter().map(Phase::per_core_second).collect());
        table.row(what, Unit::Rate, Budget::AtLeast(budget), per_core);
    }
    Ok(sessions)
}

/// Nodes whose every content is new: connections are open before, as in the budget.
async fn all_new(table: &mut Table, target: &Target) -> Result<(), LoadError> {
    let what = "collector: first syncs a core, all new content";
    let mut per_core = Vec::new();
    for round in 0..3 {
        let mut fleet = Fleet::new(Template::of_this_machine(), NEW);
        fleet.make_new(&format!("new-{round}"));
        let (members, _) = enrol(target, fleet.nodes).await?;
        let (sessions, _) = connect(target, members, 32).await?;
        let (_, phase) = steady(target, sessions, &Deed::Report, 1).await?;
        say(&format!("{what}: {phase}"));
        per_core.push(phase.per_core_second());
    }
    table.row(what, Unit::Rate, Budget::AtLeast(2_000.0), median(per_core));
    Ok(())
}

async fn reports(table: &mut Table, target: &Target) -> Result<(), LoadError> {
    let path = "sysctl.net.core.somaxconn";
    let (mut reports, mut values) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..7 {
        // Something happens: nothing that was said before can be said again.
        token(target, "dev", 1).await?;
        for (reports, values) in reports.iter_mut().zip(&mut values) {
            reports.push(seconds(target.report()).await?);
            values.push(seconds(target.values(path)).await?);
        }
    }
    for (what, budget, figures) in
        [("full report", 0.005, reports), ("one fact's distribution", 0.001, values)]
    {
        let [first, again] = figures.map(median);
        let what = format!("collector: {what} over the socket, {NODES} nodes, 1 % deviating");
        table.row(&what, Unit::Time, Budget::AtMost(budget), first);
        table.row(&format!("{what}, asked again"), Unit::Time, Budget::AtMost(budget), again);
    }
    Ok(())
}

/// What the answer took.
pub(crate) async fn seconds<T>(answer: impl Future<Output = Result<T, LoadError>>) -> Result<f64, LoadError> {
    let began = Instant::now();
    answer.await?;
    Ok(began.elapsed().as_secs_f64())
}

fn rate(table: &mut Table, what: &str, budget: Budget, phase: &Phase) {
    say(&format!("{what}: {phase}"));
    table.row(what, Unit::Rate, budget, phase.per_core_second());
}

fn fleet_size() -> f64 {
    f64::from(u32::try_from(NODES).unwrap_or(u32::MAX))
}
