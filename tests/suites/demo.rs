//! `make demo` tells the incident, on this machine, as whoever runs the tests.

use std::fs;
use std::process::Command;

use evenkeel_tests::harness::programs;

/// What the demo promises: four environments, the founding differences of staging, one promotion that may happen and
/// one that may not, and nothing left behind.
#[test]
fn the_demo_tells_the_incident_and_leaves_nothing() {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let built = programs::path("evenkeel").parent().expect("programs lie in a directory").to_owned();
    let output = Command::new(programs::tree().join("deploy/demo/run.sh"))
        .arg(&built)
        .env("TMPDIR", scratch.path())
        .env_remove("EVENKEEL_DEMO_STAY")
        .output()
        .expect("bash runs the demo");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "");

    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let after = |head: &str| {
        let at = lines.iter().position(|line| line.starts_with(head));
        at.map_or(&[][..], |at| &lines[at + 1..])
    };
    let report = after("$ evenkeel report");
    for (path, said) in [
        ("go.version ", "staging has 1.19.8, older than prod's 1.21.13"),
        ("go.program[example.org/pay/cmd/pay].go_version ", "staging has 1.19.8, older than prod's 1.21.13"),
        ("glibc.version ", "staging has 2.31, older than prod's 2.41"),
        ("tzdata.version ", "staging has 2024a, older than prod's 2026"),
        ("sysctl.net.core.somaxconn ", "staging has 4096"),
    ] {
        let at = report.iter().position(|line| line.starts_with(path));
        let at = at.unwrap_or_else(|| panic!("{path}is not in the report:\n{text}"));
        assert!(report[at + 1].starts_with(said), "{path}: {}", report[at + 1]);
    }
    let exit_code = |gate: &str| after(gate).iter().find(|line| line.starts_with("exit code")).copied();
    assert_eq!(exit_code("$ evenkeel gate --from test --to prod"), Some("exit code 0"), "{text}");
    assert_eq!(exit_code("$ evenkeel gate --from staging --to prod"), Some("exit code 1"), "{text}");

    let left: Vec<_> = fs::read_dir(scratch.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
