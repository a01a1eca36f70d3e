//! A collector with many nodes: its start, its memory, its reports. The fleet is written into its store beforehand.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use evenkeel_collector::ledger::Ledger;
use evenkeel_collector::metrics::Metrics;
use evenkeel_collector::retention::{Retention, RetentionError, Upkeep};
use evenkeel_collector::state::State;
use evenkeel_tests::harness::Collector;
use evenkeel_tests::load::enrol::token;
use evenkeel_tests::load::fleet::{ENVIRONMENTS, Fleet};
use evenkeel_tests::load::process::disk;
use evenkeel_tests::load::target::Target;
use evenkeel_tests::load::template::Template;
use evenkeel_tests::load::{LoadError, journal};
use jiff::Timestamp;

use crate::agent::float;
use crate::clock::median;
use crate::collector::{runtime, seconds};
use crate::say;
use crate::table::{Budget, Table, Unit};

/// Reports a fleet.
const ROUNDS: u8 = 5;

pub(crate) fn run(table: &mut Table) {
    let shared = |nodes| {
        let mut fleet = Fleet::new(Template::of_this_machine(), nodes);
        fleet.seed_one_percent();
        fleet
    };
    let scattered = |nodes| {
        let mut fleet = Fleet::new(Template::of_this_machine(), nodes);
        fleet.scatter(5);
        fleet
    };
    let one = measure(&shared(1_000)).expect("a collector starts");
    let ten = measure(&shared(10_000)).expect("a collector starts");
    let all = measure(&shared(100_000)).expect("a collector starts");
    let own = measure(&scattered(2_000)).expect("a collector starts");
    let small = measure(&shared(10)).expect("a collector starts");
    table.row("scale: start with 10000 nodes", Unit::Time, Budget::Nothing, ten.start);
    table.row("scale: start with 100000 nodes", Unit::Time, Budget::AtMost(5.0), all.start);
    let what = "scale: start with 100000 nodes from a checkpoint";
    table.row(what, Unit::Time, Budget::AtMost(5.0), all.start_from_checkpoint);
    table.row("scale: memory with 100000 nodes, no connections", Unit::Bytes, Budget::AtMost(3e8), all.rss);
    let each = |many: &Measured, nodes: f64| (many.rss - small.rss) / nodes;
    let what = "scale: memory a node, contents shared (of 100000)";
    table.row(what, Unit::Bytes, Budget::AtMost(600.0), each(&all, 100_000.0));
    let what = "scale: memory a node, 5 random drifts each (of 2000)";
    table.row(what, Unit::Bytes, Budget::AtMost(1_000.0), each(&own, 2_000.0));
    table.row(
        "scale: full report over the socket, 100000 nodes, 1 % deviating",
        Unit::Time,
        Budget::Nothing,
        all.report,
    );
    let what = "scale: the same report, asked again";
    table.row(what, Unit::Time, Budget::Nothing, all.again);
    let growth = all.report / ten.report;
    table.row("scale: the same report, 10000 to 100000 nodes", Unit::Times, Budget::AtMost(2.0), growth);
    for (nodes, of) in [(1_000, &one), (10_000, &ten), (100_000, &all)] {
        grown(table, nodes, of);
    }
}

/// What a fleet of this size costs: the table of docs/capacity.md.
fn grown(table: &mut Table, nodes: u32, of: &Measured) {
    let mut row = |what: &str, unit, figure| {
        table.row(&format!("growth: {nodes} nodes: {what}"), unit, Budget::Nothing, figure);
    };
    row("start", Unit::Time, of.start);
    row("processor time of the start", Unit::Time, of.start_cpu);
    row("start from a checkpoint", Unit::Time, of.start_from_checkpoint);
    row("memory", Unit::Bytes, of.rss);
    row("disk", Unit::Bytes, of.disk);
    row("disk with a checkpoint", Unit::Bytes, of.disk_with_checkpoint);
    row("disk a node", Unit::Bytes, of.disk / f64::from(nodes));
    row("full report", Unit::Time, of.report);
    row("processor time of a full report", Unit::Time, of.report_cpu);
}

struct Measured {
    start: f64,
    start_cpu: f64,
    /// Of the same store, when a collector has kept its state as a checkpoint.
    start_from_checkpoint: f64,
    rss: f64,
    /// All files of the store.
    disk: f64,
    disk_with_checkpoint: f64,
    /// Processor time of the collector for one report, the encoding among it.
    report_cpu: f64,
    /// After something happened.
    report: f64,
    /// After nothing happened.
    again: f64,
}

/// A collector starts on a store with this fleet.
fn measure(fleet: &Fleet) -> Result<Measured, LoadError> {
    say(&format!("scale: {} nodes, {} distinct contents", fleet.nodes.len(), fleet.distinct_contents()));
    let mut collector = Collector::default();
    collector.kill();
    journal::write(&collector.data_dir(), fleet, Timestamp::now())?;
    let start = restart(&mut collector);
    let target = Target::new(&mut collector);
    let rss = float(target.process.memory()?.rss);
    let (on_disk, start_cpu) = (float(disk(&target.data_dir, "evenkeel.db")?), target.process.cpu()?);
    let (mut reports, mut again) = (Vec::new(), Vec::new());
    let runtime = runtime();
    for _ in 0..ROUNDS {
        // Something happens: nothing that was said before can be said again.
        runtime.block_on(token(&target, "dev", 1))?;
        reports.push(runtime.block_on(seconds(target.report()))?);
        again.push(runtime.block_on(seconds(target.report()))?);
    }
    let cpu = target.process.cpu()?.saturating_sub(start_cpu);
    assert!(collector.process().stop().success(), "the collector stops");
    checkpoint(&target.data_dir).expect("a checkpoint can be made");
    let start_from_checkpoint = restart(&mut collector);
    Ok(Measured {
        start,
        start_cpu: start_cpu.as_secs_f64(),
        start_from_checkpoint,
        rss,
        disk: on_disk,
        disk_with_checkpoint: float(disk(&target.data_dir, "evenkeel.db")?),
        // Asked again costs next to nothing.
        report_cpu: cpu.as_secs_f64() / f64::from(ROUNDS),
        report: median(reports),
        again: median(again),
    })
}

/// How long it takes until it is ready.
fn restart(collector: &mut Collector) -> f64 {
    let began = Instant::now();
    collector.restart();
    began.elapsed().as_secs_f64()
}

/// Keeps the state of this store as a checkpoint, as a collector does after a while.
fn checkpoint(directory: &Path) -> Result<(), RetentionError> {
    let (writer, reader) = evenkeel_store::open(directory)?;
    let state = State::new(&ENVIRONMENTS.map(str::to_owned), Instant::now());
    let metrics = Arc::new(Metrics::default());
    let ledger = Ledger::start(state, writer, &reader, Arc::clone(&metrics))?;
    Upkeep::new(Retention::default(), ledger, reader, metrics).checkpoint()
}
