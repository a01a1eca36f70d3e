//! The formats that others read, read by others: SARIF held against the official schema, JUnit read by a CI's parser.

use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::skip::{cache, has_command, skipped};
use evenkeel_tests::harness::{Cli, programs};
use serde_json::{Value, json};

/// Comparisons of snapshot files, and how many results each has. The hostile one names a program with a script,
/// escape sequences and a direction mark.
const COMPARED: &[(&[&str], usize)] = &[
    (&["diff", "file:staging.json", "file:prod.json", "--all"], 7),
    (&["diff", "file:prod-again.json", "file:prod.json"], 0),
    (&["diff", "file:hostile.json", "file:prod.json", "--all"], 0),
    (&["gate", "file:staging.json", "file:prod.json"], 5),
    (&["gate", "file:blind.json", "file:prod.json"], 1),
];

/// Runs `validate.py` over what `evenkeel` prints; `None`: it cannot be run here.
fn validate(kind: &str, arguments: &[&str]) -> Option<Value> {
    let (packages, schema) = (cache().join("python"), cache().join("sarif-2.1.0.json"));
    if !has_command("python3") || !packages.join("jsonschema").exists() || !schema.exists() {
        skipped(
            "formats",
            "python3, its validators or the schema are not there; tests/hosts/install.sh fetches them",
        );
        return None;
    }
    let mut command = Cli::alone().command(&[arguments, &["-o", kind]].concat());
    let shown = run(command.current_dir(programs::tree().join("cli/tests/snapshots")));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shown");
    std::fs::write(&file, shown.stdout).unwrap();
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", packages)
        .arg(programs::tree().join("tests/suites/third_party/validate.py"))
        .arg(kind);
    if kind == "sarif" {
        python.arg(schema);
    }
    Some(serde_json::from_str(&run(python.arg(file)).ok()).unwrap())
}

/// Promise: every SARIF log is valid by the schema of the standard.
#[test]
fn sarif_is_valid() {
    for (arguments, results) in COMPARED {
        let Some(said) = validate("sarif", arguments) else { return };
        assert_eq!(said["errors"], json!([]), "{arguments:?}");
        if *results > 0 {
            assert_eq!(said["results"], *results, "{arguments:?}");
        }
    }
}

/// Promise: a CI reads each finding as a test that failed, what cannot be told as an error, and consistency as success.
#[test]
fn junit_is_read() {
    let gate = |file: &str| validate("junit", &["gate", file, "file:prod.json"]);
    let Some(drift) = gate("file:staging.json") else { return };
    assert_eq!((&drift["tests"], &drift["failures"], &drift["errors"]), (&json!(5), &json!(5), &json!(0)));
    assert_eq!(drift["outcomes"]["evenkeel.go: go.version (web)"], "Failure");
    let blind = gate("file:blind.json").unwrap();
    assert_eq!(blind["outcomes"], json!({"evenkeel.go: go (web)": "Error"}));
    let alike = gate("file:prod-again.json").unwrap();
    assert_eq!((&alike["tests"], &alike["failures"], &alike["errors"]), (&json!(1), &json!(0), &json!(0)));
}
