//! Vulnerable versions are found where they are, and nowhere else: held against the real database and an independent
//! reading of it.

mod naive;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;

use evenkeel_drift::affected::{Advisory, osv};
use evenkeel_drift::{Affected, Fleet, affected};
use evenkeel_facts::{FactPath, SectionBuilder, Snapshot};
use evenkeel_tests::harness::cli::tool;
use evenkeel_tests::harness::skip::skipped;
use evenkeel_tests::harness::{Agent, Cli, Collector, Machine, programs};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The Go vulnerability database, unpacked; `None`: it is not here. `EVENKEEL_OSV` names the archive; it lies beside
/// the repository otherwise.
fn database() -> Option<TempDir> {
    let beside = || programs::tree().parent().map(|parent| parent.join("shared/data/go-vulndb-osv.tar.gz"));
    let archive = env::var_os("EVENKEEL_OSV").map(PathBuf::from).or_else(beside).filter(|path| path.exists());
    let Some(archive) = archive else {
        skipped("affected", "the Go vulnerability database is not here; EVENKEEL_OSV names an archive of it");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    tool("tar", &["-xzf".as_ref(), archive.as_os_str(), "-C".as_ref(), directory.path().as_os_str()]);
    Some(directory)
}

/// Its reports: ours, and as they stand in the files.
fn reports(database: &TempDir) -> Vec<(Option<Advisory>, Value)> {
    let files = tool("find", &[database.path().as_os_str(), "-name".as_ref(), "*.json".as_ref()]);
    let read = |file: &str| {
        let text = fs::read(file).unwrap();
        let ours = osv::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        (ours, serde_json::from_slice(&text).unwrap())
    };
    files.lines().map(read).collect()
}

/// A node with one program that has this version of this module; of `stdlib`, that was built by this Go.
fn node(module: &str, version: &str) -> Fleet {
    let mut section = SectionBuilder::new("go_programs");
    let path = if module == "stdlib" {
        FactPath::known("go.program[x].go_version")
    } else if module == "toolchain" {
        FactPath::known("go.toolchain[/usr/local/go].version")
    } else {
        FactPath::keyed("go.program[x].module", module)
    };
    section.present(path, version);
    let snapshot = Snapshot {
        taken_at: Timestamp::UNIX_EPOCH,
        agent: String::new(),
        host: "web-1".into(),
        environment: None,
        role: String::new(),
        sections: vec![section.finish()],
    };
    Fleet::from_snapshots([("prod".to_owned(), snapshot)])
}

/// Promise: every report of the real database is read.
#[test]
fn every_report_is_read() {
    let Some(database) = database() else { return };
    let reports = reports(&database);
    assert!(reports.len() >= 4291, "{}", reports.len());
    for (ours, theirs) in reports {
        let stands = theirs.get("withdrawn").is_none();
        assert_eq!(ours.is_some(), stands, "{theirs:#}");
        if let Some(ours) = ours {
            assert_eq!(ours.packages.len(), theirs["affected"].as_array().unwrap().len(), "{}", ours.id);
        }
    }
}

/// Promise: for every version that the real database names, and those next to it, what the ranges say is what we say:
/// no more and no less. The reference reads the JSON by itself and shares no code with the engine.
#[test]
fn ranges_mean_what_an_independent_reading_says() {
    let Some(database) = database() else { return };
    let (mut held, mut hits) = (0_u64, 0_u64);
    for (ours, theirs) in reports(&database) {
        let Some(ours) = ours else { continue };
        let mut modules: BTreeSet<&str> = BTreeSet::new();
        for package in theirs["affected"].as_array().unwrap() {
            modules.insert(package["package"]["name"].as_str().unwrap());
        }
        for module in modules {
            for version in naive::versions(&theirs, module) {
                let found = affected(&node(module, &version), None, std::slice::from_ref(&ours));
                let expected = naive::is_affected(&theirs, module, &version);
                assert_eq!(
                    found.affected.len() == 1,
                    expected,
                    "{}: {module} {version}: {found:#?}",
                    ours.id
                );
                assert!(found.unknowns.is_empty(), "{found:#?}");
                held += 1;
                hits += u64::from(expected);
            }
        }
    }
    assert!(held > 30_000 && hits > 10_000 && hits < held, "{hits} of {held}");
}

/// Promise: with the whole database, a fleet's real differences are found by environment, in programs and toolchains, by
/// name and range, over a collector and from a snapshot file alike; a version that is fixed is not named.
#[test]
fn the_fleet_is_searched() {
    let collector = Collector::default();
    let machines = [Machine::new("stg-1"), Machine::new("stg-2"), Machine::new("prod-1")];
    machines[0].program("pay", "1.20.14", &[("golang.org/x/net", "v0.16.0")]);
    machines[1].program("pay", "1.20.14", &[("golang.org/x/net", "v0.17.0")]);
    machines[2].program("pay", "1.20.14", &[("golang.org/x/net", "v0.16.0")]);
    let environments = ["staging", "staging", "prod"];
    let start =
        |(machine, environment): (&Machine, &str)| Agent::start(&collector, machine.node(environment));
    let mut agents: Vec<_> = machines.iter().zip(environments).map(start).collect();
    for agent in &mut agents {
        agent.wait_acknowledged();
    }
    let cli = collector.cli();
    let places = |found: &Affected| -> Value {
        let found = found.affected.iter().flat_map(|advised| &advised.found);
        let found = found.filter(|found| found.module == "golang.org/x/net");
        found.map(|found| json!([found.thing, found.version, found.places])).collect()
    };
    let pay = "go.program[example.org/pay]";
    let both = json!([[pay, "v0.16.0", [
        {"environment": "staging", "nodes": ["stg-1"]}, {"environment": "prod", "nodes": ["prod-1"]}]]]);
    let found: Affected = cli.json(&["affected", "golang.org/x/net@<0.17.0"]);
    assert_eq!((places(&found), found.nodes), (both.clone(), 3));
    let in_prod: Affected = cli.json(&["affected", "golang.org/x/net@<0.17.0", "--env", "prod"]);
    assert_eq!(places(&in_prod), json!([[pay, "v0.16.0", [{"environment": "prod", "nodes": ["prod-1"]}]]]));
    assert_eq!(cli.run(&["affected", "golang.org/x/net@<0.17.0", "--exit-code"]).code, Some(1));
    assert_eq!(cli.run(&["affected", "golang.org/x/net@<0.1.0", "--exit-code"]).code, Some(0));

    let snapshot = collector.directory().join("stg-1.json");
    let agent = programs::path("evenkeel-agent");
    let root = machines[0].root().as_os_str();
    fs::write(&snapshot, tool(agent, &["collect".as_ref(), "--root".as_ref(), root])).unwrap();
    let file = format!("file:{}", snapshot.display());
    let offline: Affected = Cli::alone().json(&["affected", "golang.org/x/net@<0.17.0", &file]);
    assert_eq!(places(&offline), json!([[pay, "v0.16.0", [{"environment": "files", "nodes": ["stg-1"]}]]]));

    let Some(database) = database() else { return };
    let osv = database.path().display().to_string();
    let found: Affected = cli.json(&["affected", "--osv", &osv]);
    let rapid_reset =
        found.affected.iter().find(|advised| advised.id == "GO-2023-2102").expect("it is affected");
    assert!(rapid_reset.aliases.contains(&"CVE-2023-39325".to_owned()), "{rapid_reset:#?}");
    let rapid_reset = Affected { affected: vec![rapid_reset.clone()], ..found.clone() };
    assert_eq!(places(&rapid_reset), both);
    let again: Affected = Cli::alone().json(&["affected", "--osv", &osv, &file]);
    let ids =
        |found: &Affected| found.affected.iter().map(|advised| advised.id.clone()).collect::<BTreeSet<_>>();
    assert!(ids(&again).is_subset(&ids(&found)) && again.affected.len() > 20, "{}", again.affected.len());
}
