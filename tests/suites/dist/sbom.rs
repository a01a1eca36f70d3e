//! What a release says that it is made of, held against the programs themselves and against Cargo.lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use evenkeel_tests::harness::programs::{path, tree};
use serde_json::Value;

use super::Release;

/// Where cargo keeps a crate's sources: what a crate says when it panics names a file below.
const SOURCES: &str = "/registry/src/";

/// Promise: every crate that is in a program is in the list, with the version and the checksum that Cargo.lock has, and what only
/// tests use is not.
#[test]
fn the_bill_of_materials_names_what_is_linked() {
    let Some(release) = Release::make() else { return };
    let text = fs::read_to_string(release.file("evenkeel-", ".cdx.json")).unwrap();
    let bom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let components: BTreeMap<_, _> =
        list(&bom["components"]).map(|one| (text_of(one, "bom-ref"), one)).collect();
    let uses: BTreeMap<_, BTreeSet<_>> = list(&bom["dependencies"])
        .map(|one| {
            (text_of(one, "ref"), list(&one["dependsOn"]).map(|used| used.as_str().unwrap()).collect())
        })
        .collect();

    for program in ["evenkeel", "evenkeel-agent", "evenkeel-collector"] {
        // From the program through everything that is used.
        let mut reached = BTreeSet::new();
        let mut waiting = vec![format!("program:{program}")];
        while let Some(next) = waiting.pop() {
            assert!(components.contains_key(next.as_str()), "{next} is used and not listed");
            waiting.extend(
                uses[next.as_str()]
                    .iter()
                    .filter(|used| !reached.contains(**used))
                    .map(|used| (*used).to_owned()),
            );
            reached.insert(next);
        }
        let linked = linked(program);
        assert!(linked.len() > 30, "only {linked:?} were found in {program}");
        for krate in linked {
            assert!(
                reached.contains(&format!("pkg:cargo/{krate}")),
                "{program} has {krate}, which is not in its list"
            );
        }
        let digest = text_of(&components[format!("program:{program}").as_str()]["hashes"][0], "content");
        let file = release.programs().join(program);
        let sum = evenkeel_tests::harness::cli::tool("sha256sum", &[file]);
        assert!(sum.starts_with(digest), "{program}");
    }
    let carried = components.keys().filter(|name| name.starts_with("pkg:generic/"));
    let carried: Vec<_> = carried.map(|name| name.split('@').next().unwrap()).collect();
    assert_eq!(carried, ["pkg:generic/rust-std", "pkg:generic/sqlite", "pkg:generic/zstd"]);

    let locked = checksums();
    for (reference, component) in &components {
        let Some(krate) = reference.strip_prefix("pkg:cargo/") else { continue };
        assert_eq!(component["hashes"][0]["content"].as_str(), locked[krate].as_deref(), "{krate}");
        assert!(component["licenses"][0]["expression"].is_string(), "{krate} has no license");
    }
    for test_only in ["proptest", "insta", "tempfile"] {
        let begin = format!("pkg:cargo/{test_only}@");
        assert!(!components.keys().any(|name| name.starts_with(&begin)), "{test_only} is in no program");
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// The crates, as `name@version`, whose sources a program names.
fn linked(program: &str) -> BTreeSet<String> {
    let bytes = fs::read(path(program)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let places = text.split(SOURCES).skip(1);
    // .../INDEX/NAME-VERSION/src/...
    // Strings stand side by side, or end with a zero byte.
    let names = places.filter_map(|place| place.split(['/', '\0']).nth(1));
    let crates = names.filter_map(|name| {
        let at = name
            .match_indices('-')
            .find(|(at, _)| name[at + 1..].starts_with(|next: char| next.is_ascii_digit()))?
            .0;
        Some(format!("{}@{}", &name[..at], &name[at + 1..]))
    });
    crates.collect()
}

/// What Cargo.lock has, by `name@version`; our own crates have no checksum.
fn checksums() -> BTreeMap<String, Option<String>> {
    let lock = fs::read_to_string(tree().join("Cargo.lock")).unwrap();
    let field = |package: &str, name: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    let named = packages.map(|package| {
        let (name, version) = (field(package, "name").unwrap(), field(package, "version").unwrap());
        (format!("{name}@{version}"), field(package, "checksum"))
    });
    named.collect()
}
