//! docs/facts.md: every kind of fact, made from what the sources declare and from the default policy.

use std::fmt::Write as _;
use std::fs;

use evenkeel_drift::Policy;
use evenkeel_sources::SOURCES;
use evenkeel_tests::harness::programs::tree;
use serde::Serialize;

/// Promise: the catalogue of facts is what the sources declare and how the default policy compares it.
#[test]
fn the_catalogue_is_what_the_sources_declare() {
    let file = tree().join("docs/facts.md");
    let made = catalogue();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "docs/facts.md is not what the sources declare; UPDATE_GOLDEN=1 makes it anew");
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
