//! The time zone database inside Go programs, held against the system's own.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use evenkeel_facts::snapshot_file;
use evenkeel_facts::{Observation, Section};
use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs;
use evenkeel_tests::harness::skip::{cache, has_command, is_root, skipped};

/// A machine in Berlin: the file that says so is there in this mount namespace only.
const IN_BERLIN: &str = "mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work && \
    mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc && \
    ln -sfn /usr/share/zoneinfo/Europe/Berlin /etc/localtime && exec \"$@\"";

/// Promise: a running program that carries the time zone database, built by any of these Go versions, is said to jump when
/// it does; one that carries none says nothing of it.
#[test]
fn programs_say_when_their_clock_jumps() {
    let directory = cache().join("go/programs");
    let built = fs::read_dir(&directory).map(|entries| {
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect::<Vec<_>>()
    });
    let mut built = built.unwrap_or_default();
    built.retain(|name| name.ends_with("-zones"));
    if !is_root() || !has_command("unshare") || built.len() < 6 {
        return skipped(
            "hosts",
            "it needs root, unshare, and programs by six Go versions; tests/hosts/install.sh makes them",
        );
    }
    for (name, carries) in built.iter().map(|name| (name.as_str(), true)).chain([("pay-go1.27.3", false)]) {
        let mut program = Command::new(directory.join(name));
        program.arg("and stays").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut running = program.spawn().unwrap();
        let mut collect = Command::new("unshare");
        collect
            .args(["--mount", "sh", "-c", IN_BERLIN, "sh"])
            .arg(programs::path("evenkeel-agent"))
            .arg("collect");
        let said = run(&mut collect).ok();
        // Its standard input ends with this.
        drop(running.stdin.take());
        running.wait().unwrap();
        let snapshot = snapshot_file::from_json(said.as_bytes()).unwrap();
        let facts: BTreeMap<String, Observation> = snapshot
            .sections
            .iter()
            .flat_map(Section::facts)
            .map(|(path, seen)| (path.as_str().to_owned(), seen.clone()))
            .collect();
        let own = facts.get("go.program[example.org/pay/cmd/pay].zone[Europe/Berlin]");
        let system = &facts["time.transitions"];
        assert!(
            matches!(system, Observation::Present(value) if value.to_string().contains("CEST")),
            "{system:?}"
        );
        assert_eq!(own, carries.then_some(system), "{name}");
    }
}
