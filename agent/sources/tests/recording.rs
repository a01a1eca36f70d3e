//! A recorded host replays as it was seen, holds nothing that is unique to the machine, and records again as itself.

use std::fs;
use std::path::Path;

use evenkeel_facts::Observation;
use evenkeel_sources::host::REFUSALS;
use evenkeel_sources::recording::{RecordError, record};
use evenkeel_sources::{Host, SourcesConfig, collect_all};
use tempfile::TempDir;

#[test]
fn this_machine_replays_as_it_was_seen() {
    let directory = TempDir::new().unwrap();
    // Programs come and go while this test runs.
    let config = SourcesConfig { disable: vec!["go_programs".into()], ..SourcesConfig::default() };
    let recording = record(Host::live(), &config, directory.path(), "canary-host").unwrap();
    assert_eq!(recording.differences, []);
    assert!(recording.bytes < 256 * 1024, "{recording:?}");

    let replayed = collect_all(&Host::at(directory.path()).unwrap(), &config);
    let identity = replayed.iter().find(|section| section.name() == "identity").unwrap();
    assert_eq!(identity.find("identity.hostname"), Some(&Observation::Present("canary-host".into())));
    let own = collect_all(&Host::live(), &config);
    let own = own.iter().find(|section| section.name() == "identity").unwrap();
    for (path, observation) in own.facts().iter().filter(|(_, seen)| matches!(seen, Observation::Present(_)))
    {
        assert_ne!(
            identity.find(path.as_str()),
            Some(observation),
            "{path} of this machine is in the recording"
        );
    }
}

#[test]
fn a_recording_recorded_is_the_same_recording() {
    let directory = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/bookworm");
    let config = SourcesConfig::default();
    let recording = record(Host::at(&source).unwrap(), &config, directory.path(), "bookworm").unwrap();
    assert_eq!(recording.differences, []);
    let sections = |root: &Path| collect_all(&Host::at(root).unwrap(), &config);
    assert_eq!(sections(directory.path()), sections(&source));
    let refusals = |root: &Path| fs::read_to_string(root.join(REFUSALS.trim_start_matches('/'))).unwrap();
    assert_eq!(refusals(directory.path()), refusals(&source));
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("mine"), "").unwrap();
    let error = record(Host::live(), &SourcesConfig::default(), directory.path(), "x").unwrap_err();
    assert!(matches!(&error, RecordError::NotEmpty(path) if path == directory.path()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
