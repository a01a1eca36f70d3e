//! One golden file a source: what it sees of a recorded host. `UPDATE_GOLDEN=1` rewrites them.
//! `testdata/README.md` says where the hosts are from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_facts::{Observation, Section};
use evenkeel_sources::{Collected, Host, SOURCES, SourcesConfig, collect_each};

#[test]
fn each_source_sees_what_its_golden_file_says() {
    let host = Host::at(&testdata().join("bookworm")).unwrap();
    let mut wrong = Vec::new();
    for Collected { source, sections, fault, .. } in collect_each(&host, &SourcesConfig::default()) {
        assert_eq!(fault, None, "{source}");
        assert!(
            sections.iter().any(|section| section.name() == source),
            "{source} has no section of its name"
        );
        wrong.extend(held_against_golden("golden", source, &sections));
    }
    let alpine = Host::at(&testdata().join("alpine")).unwrap();
    let collected = collect_each(&alpine, &SourcesConfig::default());
    let packages = collected.into_iter().find(|of| of.source == "packages").unwrap();
    wrong.extend(held_against_golden("golden_alpine", "packages", &packages.sections));
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 rewrites the golden files", wrong.join("\n"));
}

/// What is wrong, if anything is.
fn held_against_golden(directory: &str, source: &str, sections: &[Section]) -> Option<String> {
    let file = testdata().join(directory).join(format!("{source}.json"));
    let facts: BTreeMap<_, BTreeMap<_, _>> =
        sections.iter().map(|section| (section.name(), section.facts().iter().cloned().collect())).collect();
    let seen = serde_json::to_string_pretty(&facts).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &seen).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap_or_default();
    (golden != seen).then(|| format!("{source}: {} says\n{golden}but seen is\n{seen}", file.display()))
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Promise: whatever a source yields, on a recorded host or on this machine, it has declared; the catalogue leaves nothing
/// out. What is unreadable may be a whole family.
#[test]
fn every_fact_is_declared() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x.txt"), "own = 1\n").unwrap();
    let mut config = SourcesConfig::default();
    config.custom.directory = directory.path().to_owned();
    config.files.paths = vec![directory.path().join("x.txt")];
    for host in [Host::live(), Host::at(&testdata().join("bookworm")).unwrap()] {
        for Collected { source, sections, .. } in collect_each(&host, &config) {
            let declared = SOURCES.iter().find(|known| known.name() == source).unwrap().declares();
            for (path, seen) in sections.iter().flat_map(Section::facts) {
                let known = declared.iter().any(|fact| fact.covers(path.as_str()));
                assert!(
                    known || !matches!(seen, Observation::Present(_)),
                    "{source}: {path} is not declared"
                );
            }
        }
    }
}
