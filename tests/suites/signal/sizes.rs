//! Machines of other sizes: what one kernel makes of them, as `tests/recorded/sizes` has it.

use std::fs;
use std::process::Command;

use evenkeel_drift::Report;
use evenkeel_drift::report::Status;
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::{Cli, Machine, programs};

const SIZES: [&str; 4] = ["512m-1cpu", "2048m-2cpu", "8192m-4cpu", "16384m-8cpu"];

/// A machine of this size. Its kernel is one and the same.
fn machine(size: &str) -> Machine {
    let machine = Machine::new(size);
    let recorded = programs::tree().join("tests/recorded/sizes").join(size);
    let mut files: Vec<(String, String)> = Vec::new();
    for line in fs::read_to_string(&recorded).unwrap().lines() {
        let (path, value) = line.split_once(": ").unwrap();
        match files.last_mut().filter(|(last, _)| last == path) {
            Some((_, text)) => text.extend([value, "\n"]),
            None => files.push((path.to_owned(), format!("{value}\n"))),
        }
    }
    assert!(files.len() > 30, "{size} is recorded");
    for (path, text) in files {
        machine.write(&path, &text);
    }
    machine
}

/// Promise: machines of one kernel and another size raise nothing: each parameter that the kernel derives from memory or
/// processors is explained by its formula. A parameter that somebody has set is found among them.
#[test]
fn another_size_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = |machine: &Machine, name: &str| {
        let mut collect = Command::new(programs::path("evenkeel-agent"));
        let json = run(collect.arg("collect").arg("--root").arg(machine.root())).ok();
        let path = directory.path().join(format!("{name}.json"));
        fs::write(&path, json).unwrap();
        format!("file:{}", path.display())
    };
    let machines = SIZES.map(machine);
    let files: Vec<_> = machines.iter().zip(SIZES).map(|(machine, size)| file(machine, size)).collect();
    let open = |a: &str, b: &str| -> (Vec<String>, u64) {
        let report: Report = Cli::alone().json(&["diff", a, b, "--all"]);
        let open = report.findings.iter().filter(|finding| finding.status == Status::Open);
        (
            open.map(|finding| format!("{}: {}", finding.path, finding.summary)).collect(),
            report.summary.explained,
        )
    };
    for (at, one) in files.iter().enumerate() {
        for other in &files[at + 1..] {
            let (open, explained) = open(one, other);
            assert_eq!(open, Vec::<String>::new(), "{one} {other}");
            assert!(explained >= 15, "{one} {other}: {explained} are explained");
        }
    }
    machines[0].sysctl("fs.file-max", "1000000");
    let (open, _) = open(&file(&machines[0], "set"), &files[3]);
    assert_eq!(open.len(), 1, "{open:#?}");
    assert!(open[0].starts_with("sysctl.fs.file-max: "), "{open:#?}");
}
