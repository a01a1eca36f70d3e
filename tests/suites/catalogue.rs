//! Every kind of fact, made from what the sources declare: docs/facts.md for people, and the list that policies are held
//! against.

use std::fmt::Write as _;
use std::fs;

use evenkeel_drift::Policy;
use evenkeel_sources::SOURCES;
use evenkeel_tests::harness::programs::tree;
use serde::Serialize;

/// Promise: the catalogue of facts is what the sources declare and how the default policy compares it.
#[test]
fn the_catalogue_is_what_the_sources_declare() {
    golden("docs/facts.md", &catalogue());
}

/// Promise: a policy that speaks of a fact which no source declares is noticed: the list that it is held against is whole.
#[test]
fn policies_are_held_against_what_the_sources_declare() {
    let mut made = "# Every kind of fact that a source declares; `*` stands for what the machine calls the thing. Made by a test from the\n\
        # sources; `UPDATE_GOLDEN=1` makes it anew.\n"
        .to_owned();
    for fact in SOURCES.iter().flat_map(|source| source.declares()) {
        made.extend([&fact.pattern("*"), "\n"]);
    }
    golden("collector/drift/policy/facts.txt", &made);
}

fn golden(name: &str, made: &str) {
    let file = tree().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, made).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "{name} is not what the sources declare; UPDATE_GOLDEN=1 makes it anew");
}

fn catalogue() -> String {
    let policy = Policy::default_policy();
    let mut page = "# Facts\n\n\
        Made by a test from what the sources declare and from the default policy; `UPDATE_GOLDEN=1` makes it anew. Words in\n\
        capitals stand for what the machine calls the thing. \"Compares as\" is the policy's comparison; a class that is not\n\
        plain configuration stands behind it. Severity is that of a difference; single paths may have another by a rule of\n\
        their own (`evenkeel policy show PATH`).\n"
        .to_owned();
    for source in SOURCES {
        let _ = write!(page, "\n## {}\n\n", source.name());
        page.push_str("| fact | what it is | read from | compares as | severity |\n|---|---|---|---|---|\n");
        let mut before = "";
        for fact in source.declares() {
            let from = if fact.from == "the same" { before } else { fact.from };
            before = from;
            let verdict = policy.verdict(&fact.pattern("x"));
            let class = word(&verdict.class);
            let compare = word(&verdict.compare);
            let compares = if class == "config" { compare } else { format!("{compare}, {class}") };
            let severity = word(&verdict.severity());
            let _ = writeln!(page, "| `{}` | {} | {from} | {compares} | {severity} |", fact.path, fact.what);
        }
    }
    page
}

/// As the policy writes it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}
