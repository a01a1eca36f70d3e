//! The units of deploy/systemd, held by systemd's own judgement, without installing them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs::{path, tree};
use evenkeel_tests::harness::skip::{has_command, skipped};

/// Each unit alone and with each drop-in, its exposure as the files say it, and the most that is promised.
const EXPOSURES: &[(&str, &str, &str, f64)] = &[
    ("evenkeel-agent.service", "", "1.9", 2.0),
    ("evenkeel-agent.service", "who.conf", "2.4", 2.4),
    ("evenkeel-agent.service", "programs.conf", "2.3", 2.3),
    ("evenkeel-agent.service", "clock.conf", "2.3", 2.3),
    ("evenkeel-collector.service", "", "1.2", 1.2),
    ("evenkeel-collector.service", "groups.conf", "1.4", 1.4),
];

fn units() -> PathBuf {
    tree().join("deploy/systemd")
}

/// Whether systemd here knows everything that the units use, and judges them offline (since 250).
fn systemd_judges() -> bool {
    has_command("systemd-analyze")
        && run(Command::new("systemd-analyze").arg("--version"))
            .stdout
            .split_whitespace()
            .nth(1)
            .and_then(|version| version.parse().ok())
            .is_some_and(|version: u32| version >= 250)
}

/// The exposure that `systemd-analyze security` finds: of a unit as it lies there, or with this drop-in.
fn exposure(directory: &Path, unit: &str, drop_in: Option<&Path>) -> String {
    let shipped = units().join(unit);
    let file = match drop_in {
        None => shipped,
        Some(drop_in) => {
            let file = directory.join(unit);
            fs::write(&file, fs::read_to_string(shipped).unwrap() + &fs::read_to_string(drop_in).unwrap())
                .unwrap();
            file
        }
    };
    let judged =
        run(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(file))
            .ok();
    let last = judged.lines().rev().find(|line| !line.trim().is_empty()).unwrap();
    last.split(": ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Promise: the agent's exposure is at most 2.0, the collector's at most 1.2, unless somebody opens more; and what each file says that it costs is so.
#[test]
fn the_sandbox_is_as_tight_as_it_says() {
    if !systemd_judges() {
        return skipped("units", "no systemd-analyze of 250 or newer");
    }
    let directory = tempfile::tempdir().unwrap();
    for (unit, drop_in, said, most) in EXPOSURES {
        let of_it = units().join("drop-ins").join(unit.trim_end_matches(".service")).join(drop_in);
        let drop_in = Some(of_it.as_path()).filter(|_| !drop_in.is_empty());
        let found = exposure(directory.path(), unit, drop_in);
        assert!(found.parse::<f64>().unwrap() <= *most, "{unit} with {drop_in:?} is exposed by {found}");
        assert_eq!(&found, said, "{unit} with {drop_in:?}");
        let text = fs::read_to_string(drop_in.unwrap_or(&units().join(unit))).unwrap();
        assert!(text.contains(&format!(" {said}.\n")), "{unit} with {drop_in:?} does not say {said}");
    }
}

/// Promise: `systemd-analyze verify` has nothing to say.
#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    if !systemd_judges() {
        return skipped("units", "no systemd-analyze of 250 or newer");
    }
    let directory = tempfile::tempdir().unwrap();
    let files = ["evenkeel-agent", "evenkeel-collector"].map(|name| {
        let file = directory.path().join(format!("{name}.service"));
        let text = fs::read_to_string(units().join(format!("{name}.service"))).unwrap();
        let installed = format!("/usr/bin/{name}");
        assert!(text.contains(&installed), "{text}");
        fs::write(&file, text.replace(&installed, path(name).to_str().unwrap())).unwrap();
        file
    });
    let verified = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(files));
    assert_eq!((verified.stdout.as_str(), verified.stderr.as_str()), ("", ""));
    assert_eq!(verified.code, Some(0));
}
