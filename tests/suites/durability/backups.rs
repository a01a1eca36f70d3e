//! Backups: made while everything runs, restored into an empty directory, checked.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Command;

use evenkeel_tests::harness::cli::{Outcome, run};
use evenkeel_tests::harness::{Collector, programs, wait};

use super::{PATH, fleet, timeless};

fn collector(arguments: &[&str]) -> Outcome {
    run(Command::new(programs::path("evenkeel-collector")).args(arguments))
}

/// Promise P10: a backup that was made beside running agents restores to the same report; the agents go on with the
/// certificates that they have, and what they reported since arrives again. Nothing is drift because of it.
#[test]
fn a_backup_is_a_whole_collector() {
    let mut here = Collector::default();
    let (machines, mut agents) = fleet(&here);
    machines[2].sysctl("net.core.somaxconn", "128");
    wait::until(|| match here.cli().report(&[]).findings.len() {
        1 => Ok(()),
        count => Err(format!("{count} findings")),
    });
    let before = timeless(&here);
    let data = here.data_dir();
    let (file, place) = (here.directory().join("backup"), data.display().to_string());
    let shown = file.display().to_string();
    let said = collector(&["backup", &shown, "--data-dir", &place]).ok();
    assert!(said.contains("It holds the keys of the certificate authority"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = collector(&["backup", &shown, "--data-dir", &place]);
    again.refused(
        2,
        &format!("evenkeel-collector backup: {shown} is there already: nothing is written over\n"),
    );
    assert!(collector(&["check", "--data-dir", &place]).ok().ends_with("All is as it was written.\n"));
    assert!(collector(&["check", &shown]).ok().ends_with("All is as it was written.\n"));

    // Since then something has happened, and the machine is lost.
    machines[0].sysctl("net.core.somaxconn", "256");
    wait::until(|| match here.cli().fact("dev-1", PATH) {
        Some(value) if value == "256" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    machines[0].sysctl("net.core.somaxconn", "4096");
    wait::until(|| match here.cli().fact("dev-1", PATH) {
        Some(value) if value == "4096" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    here.kill();
    fs::remove_dir_all(&data).unwrap();
    collector(&["restore", &shown, "--data-dir", &place]).ok();
    here.restart();
    assert_eq!(timeless(&here).findings, before.findings);
    for (agent, machine) in agents.iter_mut().zip(&machines) {
        let known = agent.acknowledged().len();
        machine.sysctl("vm.swappiness", "7");
        agent.wait_acknowledged_beyond(known);
    }
    wait::until(|| match timeless(&here).findings {
        findings if findings == before.findings => Ok(()),
        findings => Err(format!("{findings:#?}")),
    });
    let there = collector(&["restore", &shown, "--data-dir", &place]);
    let expected = format!("evenkeel-collector restore: {place} holds a collector already (");
    assert!(there.code == Some(2) && there.stderr.starts_with(&expected), "{there:#?}");
}

/// Promise: a store that a newer version wrote is refused by start and check, with what to do, and left as it is; the backup of
/// before takes its place.
#[test]
fn a_store_of_a_newer_version_is_refused() {
    /// Where SQLite keeps, in four bytes, what a program calls its schema.
    const SCHEMA: u64 = 60;
    let mut here = Collector::default();
    let data = here.data_dir();
    let place = data.display().to_string();
    let backup = here.directory().join("backup").display().to_string();
    collector(&["backup", &backup, "--data-dir", &place]).ok();
    assert!(here.process().stop().success());
    let store = data.join(evenkeel_store::FILE);
    let file = fs::OpenOptions::new().read(true).write(true).open(&store).unwrap();
    let mut known = [0; 4];
    file.read_exact_at(&mut known, SCHEMA).unwrap();
    file.write_all_at(&9_999_u32.to_be_bytes(), SCHEMA).unwrap();
    let newer = fs::read(&store).unwrap();

    let known = u32::from_be_bytes(known);
    let why = format!(
        "the store has schema 9999, this version knows schemas up to {known}: start the version that wrote it, or a newer one"
    );
    let started = run(&mut here.command(here.ports()));
    started.refused(2, &format!("evenkeel-collector cannot run: {why}\n"));
    collector(&["check", "--data-dir", &place]).refused(2, &format!("evenkeel-collector check: {why}\n"));
    assert!(fs::read(&store).unwrap() == newer, "nothing is written to it");

    fs::rename(&data, here.directory().join("newer")).unwrap();
    collector(&["restore", &backup, "--data-dir", &place]).ok();
    here.restart();
    here.cli().report(&[]);
}

/// Promise P6: a damaged store is said to be, with what to do; and a collector does not start on it.
#[test]
fn a_damaged_store_is_said_to_be() {
    let mut here = Collector::default();
    let _fleet = fleet(&here);
    assert!(here.process().stop().success());
    let store = here.data_dir().join(evenkeel_store::FILE);
    // A collector that was told to stop leaves everything in the one file.
    assert_eq!(fs::metadata(here.data_dir().join("evenkeel.db-wal")).map_or(0, |log| log.len()), 0);
    let bytes = fs::read(&store).unwrap();
    // Where a name stands in an entry: SQLite sees nothing wrong with another one.
    let file = fs::OpenOptions::new().write(true).open(&store).unwrap();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"stg-1")).collect();
    assert!(!places.is_empty(), "the node's name is in the journal");
    for at in places {
        file.write_all_at(b"stg-2", at as u64).unwrap();
    }
    let place = here.data_dir().display().to_string();
    let said = collector(&["check", "--data-dir", &place]);
    assert_eq!(said.code, Some(2));
    for part in
        ["evenkeel.db is damaged:\n", "it has another digest than it was written with", "restore a backup"]
    {
        assert!(said.stderr.contains(part), "{said:#?}");
    }
    let refused = run(&mut here.command(here.ports()));
    assert_eq!(
        (refused.code, refused.stderr.contains("restore it from a backup")),
        (Some(2), true),
        "{refused:#?}"
    );
    let none = tempfile::tempdir().unwrap();
    let said = collector(&["check", "--data-dir", &none.path().display().to_string()]);
    assert!(said.stderr.contains("name the collector's data directory with --data-dir"), "{said:#?}");
}
