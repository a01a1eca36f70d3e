//! The tree is what its documents say: crates and who uses whom, lengths of files, names, sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs::tree;
use serde_json::Value;

/// Every crate, where it lies, and which of ours it uses. Whoever adds an edge changes the design.
const GRAPH: &[(&str, &str, &[&str])] = &[
    ("facts", "proto/facts", &[]),
    ("runtime", "proto/runtime", &[]),
    ("proto", "proto", &["drift", "facts"]),
    ("sources", "agent/sources", &["facts"]),
    ("agent", "agent", &["facts", "proto", "runtime", "sources"]),
    ("drift", "collector/drift", &["facts"]),
    ("store", "collector/store", &["facts"]),
    ("collector", "collector", &["drift", "facts", "proto", "runtime", "store"]),
    ("render", "cli/render", &["drift", "facts"]),
    ("cli", "cli", &["drift", "facts", "proto", "render", "runtime"]),
];

/// The crates that know no network and no event loop, so that they can be used and tested anywhere.
const PURE: &[&str] = &["facts", "drift", "sources", "render", "store"];

/// Promise: data flows one way, and the pure crates stay pure.
#[test]
fn the_crate_graph_is_the_one_designed() {
    let packages = packages();
    for (name, directory, uses) in GRAPH {
        let package = &packages[&format!("evenkeel-{name}")];
        let manifest = package["manifest_path"].as_str().unwrap();
        assert_eq!(Path::new(manifest), tree().join(directory).join("Cargo.toml"));
        let ours: BTreeSet<_> = dependencies(package)
            .filter_map(|used| used.strip_prefix("evenkeel-").map(str::to_owned))
            .collect();
        assert_eq!(ours, uses.iter().map(|used| (*used).to_owned()).collect(), "crate {name}");
        if PURE.contains(name) {
            let impure: Vec<_> = dependencies(package)
                .filter(|used| ["tokio", "tonic", "hyper"].contains(&used.as_str()))
                .collect();
            assert!(impure.is_empty(), "crate {name} uses {impure:?}");
        }
    }
    let known: BTreeSet<_> = GRAPH.iter().map(|(name, ..)| format!("evenkeel-{name}")).collect();
    let others: Vec<_> = packages.keys().filter(|name| !known.contains(*name)).collect();
    assert_eq!(others, ["evenkeel-tests"], "a crate is not in the graph");
}

/// Promise: how the journal is kept is the store's own business: another engine can take its place.
#[test]
fn only_the_store_knows_its_database() {
    let users: Vec<String> = packages()
        .into_iter()
        .filter(|(_, package)| dependencies(package).any(|used| used == "rusqlite"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(users, ["evenkeel-store"]);
    let outside = files("rs").into_iter().filter(|path| {
        (path.starts_with("collector") || path.starts_with("cli")) && !path.starts_with("collector/store")
    });
    let mut looked = 0;
    for path in outside {
        let text = fs::read_to_string(tree().join(&path)).unwrap().to_lowercase();
        assert!(!text.contains("sqlite"), "{} speaks of it", path.display());
        looked += 1;
    }
    assert!(looked > 100, "{looked} files");
}

/// Promise: mistakes that tests make on purpose are in nothing that is shipped: only what tests use turns them on.
#[test]
fn seeded_mistakes_are_for_tests_alone() {
    const FEATURE: &str = "seeded-bugs";
    let (mut declared, mut tested) = (0, 0);
    for (name, package) in &packages() {
        for (feature, enables) in package["features"].as_object().unwrap() {
            declared += usize::from(feature == FEATURE);
            assert!(!enables.to_string().contains(FEATURE), "feature {feature} of {name} turns them on");
        }
        for used in package["dependencies"].as_array().unwrap() {
            if used["features"].to_string().contains(FEATURE) {
                assert_eq!(used["kind"], "dev", "{name} uses them when it is not tested");
                tested += 1;
            }
        }
    }
    // The store's and the runtime's; the collector's tests use both, the agent's the runtime's.
    assert_eq!((declared, tested), (2, 3));
}

/// The workspace's packages by name.
fn packages() -> BTreeMap<String, Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(tree());
    let mut metadata: Value = serde_json::from_str(&run(&mut metadata).ok()).unwrap();
    let packages = metadata["packages"].take();
    let packages = packages.as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone())).collect()
}

/// What a crate uses when it is not being tested.
fn dependencies(package: &Value) -> impl Iterator<Item = String> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let used = dependencies.filter(|used| used["kind"].as_str() != Some("dev"));
    used.map(|used| used["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().into_iter()
}

/// Promise: one idea a file. Nothing over 600 lines, and half of the files at most 160.
#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, PathBuf)> = files("rs")
        .into_iter()
        .filter(|path| !path.starts_with("proto/src/generated"))
        .map(|path| (fs::read_to_string(tree().join(&path)).unwrap().lines().count(), path))
        .collect();
    lengths.sort();
    let (longest, path) = lengths.last().unwrap();
    assert!(*longest <= 600, "{} has {longest} lines", path.display());
    let (median, _) = lengths[lengths.len() / 2];
    assert!((60..=160).contains(&median), "half of the files have more than {median} lines");
}

/// Promise: a newcomer finds the way: every crate says how it is laid out, and what CONTRIBUTING names is there.
#[test]
fn the_documents_name_what_is_there() {
    for (name, directory, _) in GRAPH {
        let library = fs::read_to_string(tree().join(directory).join("src/lib.rs")).unwrap();
        assert!(library.contains("//! # Layout"), "crate {name} does not say how it is laid out");
    }
    let contributing = fs::read_to_string(tree().join("CONTRIBUTING.md")).unwrap();
    let mut named = 0;
    for word in contributing.split('`').skip(1).step_by(2) {
        let is_path = word.contains('/') && !word.contains([' ', '<', '*']) && !word.contains("NAME");
        // What tests fetch is not in a fresh clone.
        if is_path && !word.starts_with('/') && !word.ends_with("/.cache") {
            assert!(tree().join(word).exists(), "CONTRIBUTING.md names {word}, which is not there");
            named += 1;
        }
    }
    let rows = contributing.lines().filter_map(|line| line.strip_prefix("| `"));
    for tool in rows.filter_map(|row| row.split([' ', '`']).next()) {
        assert!(
            tree().join("tests/hosts").join(tool).exists(),
            "CONTRIBUTING.md names {tool}, which is not there"
        );
        named += 1;
    }
    assert!(named >= 6, "only {named} paths were found in CONTRIBUTING.md");
    let makefile = fs::read_to_string(tree().join("Makefile")).unwrap();
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(tree().join(document)).unwrap();
        for target in text.lines().filter_map(|line| line.strip_prefix("make ")) {
            let target = target.split_whitespace().next().unwrap();
            assert!(makefile.contains(&format!("\n{target}:")), "{document} names make {target}");
        }
    }
}

/// Promise: a source is one file, one line that registers it, and one golden file: all of the three, always.
#[test]
fn every_source_has_its_file_and_its_golden_file() {
    let home = tree().join("agent/sources");
    let golden: BTreeSet<_> = names(&home.join("testdata/golden"), "json");
    let registered: BTreeSet<_> =
        evenkeel_sources::SOURCES.iter().map(|source| source.name().to_owned()).collect();
    assert_eq!(golden, registered);
    for name in registered {
        assert!(
            home.join("src").join(format!("{name}.rs")).exists(),
            "source {name} has no file of its name"
        );
    }
}

/// Promise: nothing is left for later in secret, and no test is switched off.
#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not name them.
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["#[ig", "nore"], ["todo", "!("], ["unimplemented", "!("]];
    for path in files("rs") {
        let text = fs::read_to_string(tree().join(&path)).unwrap();
        for word in words.map(|parts| parts.concat()) {
            let whole = text.match_indices(&word).any(|(at, _)| {
                let next = text[at + word.len()..].chars().next();
                !text[..at].ends_with(char::is_alphanumeric)
                    && next.is_none_or(|next| !next.is_alphanumeric())
            });
            assert!(!whole, "{} says {word}", path.display());
        }
    }
}

/// The tree's files with this extension, below the crates.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> =
        ["proto", "agent", "collector", "cli", "tests"].map(PathBuf::from).to_vec();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(tree().join(&directory)).unwrap().flatten() {
            let path = directory.join(entry.file_name());
            if entry.file_name() == ".cache" || entry.file_name() == "recorded" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn names(directory: &Path, extension: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    let fits = entries.filter(|path| path.extension().is_some_and(|known| known == extension));
    fits.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}
