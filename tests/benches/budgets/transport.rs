//! Very many connections: held, and reconnected at once; and those that say nothing.

use std::time::{Duration, Instant};

use evenkeel_tests::harness::flood::{Flood, raise_limit};
use evenkeel_tests::harness::skip::has_command;
use evenkeel_tests::harness::{Collector, Settings};
use evenkeel_tests::load::LoadError;
use evenkeel_tests::load::drive::{Deed, connect, reconnect, steady};
use evenkeel_tests::load::enrol::enrol;
use evenkeel_tests::load::fleet::Fleet;
use evenkeel_tests::load::phase::Phase;
use evenkeel_tests::load::process::Process;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;

use crate::agent::float;
use crate::clock::median;
use crate::collector::runtime;
use crate::say;
use crate::table::{Budget, Table, Unit};

/// Connections that are held and reconnected.
const CONNECTIONS: u32 = 5_000;
/// The collector's limit of descriptors under silent connections; ten times as many come.
const DESCRIPTORS: usize = 256;
/// For how long they are looked at.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) fn run(table: &mut Table) {
    raise_limit();
    runtime().block_on(held(table)).expect("the collector takes the load");
    if has_command("prlimit") {
        silent(table).expect("the collector runs");
    } else {
        table.note("transport: silent connections were not measured: prlimit is not installed.");
    }
}

async fn held(table: &mut Table) -> Result<(), LoadError> {
    let mut collector = Collector::default();
    let target = Target::new(&mut collector);
    let fleet = Fleet::new(Template::of_this_machine(), CONNECTIONS as usize);
    let (members, _) = enrol(&target, fleet.nodes).await?;
    let before = target.process.memory()?.rss;
    let (sessions, first) = connect(&target, members, 64).await?;
    say(&format!("transport: first connections: {first}"));
    let (mut sessions, _) = steady(&target, sessions, &Deed::Report, 1).await?;
    let held = float(target.process.memory()?.rss.saturating_sub(before)) / f64::from(CONNECTIONS);
    let what = format!("transport: memory a connected agent after its first sync (of {CONNECTIONS})");
    table.row(&what, Unit::Bytes, Budget::AtMost(45_000.0), held);
    let mut phases = Vec::new();
    for _ in 0..3 {
        let (same, phase) = reconnect(&target, sessions).await?;
        sessions = same;
        say(&format!("transport: reconnected: {phase}"));
        phases.push(phase);
    }
    let what = format!("transport: {CONNECTIONS} reconnect at once with tickets, a core");
    let per_core = median(phases.iter().map(Phase::per_core_second).collect());
    table.row(&what, Unit::Rate, Budget::AtLeast(2_000.0), per_core);
    table.note("memory a connected agent holds what the collector keeps of its node, too.");
    Ok(())
}

fn silent(table: &mut Table) -> Result<(), LoadError> {
    let by = vec!["prlimit".into(), format!("--nofile={DESCRIPTORS}").into()];
    let mut collector = Collector::start(&Settings { by, ..Settings::default() });
    let process = Process(collector.process().id());
    let flood = Flood::new(collector.ports().fleet, 10 * DESCRIPTORS);
    while flood.opened() < 10 * DESCRIPTORS {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (began, cpu) = (Instant::now(), process.cpu()?);
    std::thread::sleep(LOOK);
    let taken = process.cpu()?.saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    let what =
        format!("transport: processor a second, {} silent connections that come again", 10 * DESCRIPTORS);
    table.row(&what, Unit::Time, Budget::AtMost(0.2), taken);
    table.note("silent connections: each is opened again as soon as it is closed. Stock tonic was seen to take 0.95 s.");
    Ok(())
}
