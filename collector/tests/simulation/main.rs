//! The protocol between agents and the collector, simulated: what agents keep and say, and the collector's ingest, ledger
//! and store are the real ones; the network, the machines, the clocks and the crashes are made here, each decided by a
//! seed. One seed is one history, always the same.
//!
//! # Layout
//!
//! - `world`: what happens next
//! - `host`: a machine and its agent
//! - `collector`: the collector, stepped by hand, killed, cut from power
//! - `network`: messages under way: lost, late, in another order, twice
//! - `check`: what must hold, against a naive replay
//! - `random`: numbers of a seed

#![expect(clippy::print_stdout, reason = "what was found is shown when it is asked for")]

mod check;
mod collector;
mod host;
mod network;
mod random;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use evenkeel_runtime::seeded::{self, Bug};

use world::World;

/// So many seeds are run when nobody says otherwise.
const SEEDS: u64 = 1_000;
/// With so many seeds at most a seeded mistake is noticed.
const SEEDS_OF_A_BUG: u64 = 1_000;

/// Promises: an acknowledged commit survives a kill and a power cut; (node, boot epoch, sequence) is unique and never goes
/// back; what is late, repeated or reordered makes no drift: every finding is what the stored commits say; and when the
/// faults end, the collector holds what the machines are.
/// `EVENKEEL_SIMULATION_SEED=N` replays one seed, and shows what happened; `EVENKEEL_SIMULATION_SEEDS=N` runs so many.
#[test]
fn every_seed_keeps_the_promises() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("EVENKEEL_SIMULATION_SEED") {
        let bug = std::env::var("EVENKEEL_SIMULATION_BUG").ok();
        let named = |bug: &Bug| Some(format!("{bug:?}")) == std::env::var("EVENKEEL_SIMULATION_BUG").ok();
        let found = seeded::ALL.into_iter().find(named);
        assert_eq!(bug.is_some(), found.is_some(), "no such mistake");
        seeded::seed(found);
        let (world, outcome) = World::run(seed);
        seeded::seed(None);
        panic!("seed {seed}: {outcome:?}\n{}", world.trace.join("\n"));
    }
    let seeds = number("EVENKEEL_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let tally = Mutex::new(world::Tally::default());
    side_by_side(|| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let (world, outcome) = World::run(seed);
            tally.lock().unwrap().add(&world.tally);
            if let Err(violation) = outcome {
                failures.lock().unwrap().push((seed, violation));
            }
        }
    });
    let (mut failures, tally) = (failures.into_inner().unwrap(), tally.into_inner().unwrap());
    failures.sort();
    println!("{seeds} seeds: {tally:?}");
    let Some((seed, violation)) = failures.first() else {
        // A simulation in which nothing happens proves nothing.
        assert!(seeds < SEEDS || tally.is_eventful(seeds), "too little happened: {tally:?}");
        return;
    };
    panic!(
        "{} of {seeds} seeds failed; seed {seed}: {violation}\nEVENKEEL_SIMULATION_SEED={seed} replays it",
        failures.len()
    );
}

/// Promise: one seed is one history.
#[test]
fn a_seed_replays() {
    for seed in [3, 14, 159] {
        let ((first, _), (second, _)) = (World::run(seed), World::run(seed));
        assert!(first.trace.len() > 50, "little happened");
        assert_eq!(first.trace, second.trace);
    }
}

/// Promise: the simulation notices: each mistake that is made on purpose is found.
#[test]
fn every_seeded_mistake_is_found() {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    side_by_side(|| {
        while let Some(bug) = seeded::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            seeded::seed(Some(*bug));
            let found = (0..SEEDS_OF_A_BUG).find_map(|seed| World::run(seed).1.err().map(|why| (seed, why)));
            seeded::seed(None);
            match found {
                Some((seed, why)) => println!("{bug:?}: seed {seed}: {why}"),
                None => missed.lock().unwrap().push(*bug),
            }
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found in {SEEDS_OF_A_BUG} seeds: {missed:?}");
}

/// The same on every processor.
fn side_by_side(work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(&work);
        }
    });
}
