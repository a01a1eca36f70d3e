//! The collector's clock is ahead by a year, for a moment.

use std::fs;
use std::path::Path;

use evenkeel_drift::Report;
use evenkeel_drift::report::Status;
use evenkeel_render::accepted::Accepted;
use evenkeel_tests::harness::{Agent, Collector, Machine, Settings, skip};

/// Of Debian's package libfaketime: the clock of a process is what a file says.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Promise P7: a clock that jumps ahead by a year ends no sign-off early, stamps nothing with a moment that has not come,
/// and what was reported meanwhile is found again afterwards.
#[test]
fn a_clock_that_is_ahead_for_a_moment_ends_nothing_early() {
    if !Path::new(LIBRARY).exists() {
        return skip::skipped("clock", "there is no libfaketime (Debian: faketime)");
    }
    ahead_for_a_moment(Settings::default());
}

/// Its control: a collector that believes such a clock is noticed.
#[test]
fn a_clock_that_is_believed_is_noticed() {
    if !Path::new(LIBRARY).exists() {
        return skip::skipped("clock", "there is no libfaketime (Debian: faketime)");
    }
    let broken = std::panic::catch_unwind(|| ahead_for_a_moment(Settings::broken("ClockBelieved")));
    let why = broken.expect_err("it was not noticed");
    let why = why.downcast_ref::<String>().map_or("", String::as_str);
    assert!(why.contains("Status::Open"), "{why}");
}

fn ahead_for_a_moment(settings: Settings) {
    let directory = tempfile::tempdir().unwrap();
    let offset = directory.path().join("offset");
    let set = |text: &str| fs::write(&offset, text).unwrap();
    set("+0");
    let by = [
        "env".to_owned(),
        format!("LD_PRELOAD={LIBRARY}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ];
    let by = by.into_iter().map(Into::into).chain(settings.by).collect();
    let settings = Settings { by, program: settings.program, ..Settings::default() };
    let mut collector = Collector::start(&settings);
    let machines = [Machine::new("stg-1"), Machine::new("prod-1")];
    machines[0].sysctl("net.core.somaxconn", "1024");
    let _agents = Agent::all(&collector, machines.iter().zip(["staging", "prod"]));
    let cli = collector.cli();
    let before = cli.report(&[]);
    cli.ok(&["accept", "--all-open", "--owner", "web", "--reason", "load test", "--until", "30d"]);

    set("+1y");
    let printed = cli.ok(&["report", "--all", "-o", "json"]);
    let meanwhile: Report = serde_json::from_str(&printed).unwrap();
    let open = meanwhile.findings.iter().filter(|finding| finding.status == Status::Open).count();
    assert_eq!(open, 0, "findings with Status::Open though they are signed off: {printed}");
    assert!(meanwhile.findings.iter().any(|finding| finding.status == Status::Accepted), "{printed}");
    let passed = meanwhile.as_of.duration_since(before.as_of);
    assert!(passed.as_hours() < 24, "the report is of {}, {passed:#} after the one before", meanwhile.as_of);
    assert!(!cli.json::<Accepted>(&["accepted"]).acceptances[0].expired);
    collector
        .process()
        .wait_for("The clock jumped ahead; the time that has passed is believed instead.", |_| true);
    // What is written meanwhile has its place in time, too.
    cli.ok(&["baseline", "create", "meanwhile", "--from", "prod"]);
    let written = cli.ok(&["report", "--all", "-o", "json"]);

    set("+0");
    let after: Report = cli.json(&["report", "--all"]);
    assert_eq!(after.summary.accepted, before.findings.len() as u64);
    for text in [printed, written] {
        let report: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(cli.ok(&["report", "--all", "--at", &report.as_of.to_string(), "-o", "json"]), text);
    }
}
