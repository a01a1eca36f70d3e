//! The packages, of the programs as they are built here; and once more, with another version and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::harness::cli::run;
use evenkeel_tests::harness::programs;
use tempfile::TempDir;

/// Directories `1` and `2` with the three packages each.
#[derive(Debug)]
pub(super) struct Debs(TempDir);

impl Debs {
    pub(super) fn make() -> Self {
        let made = tempfile::tempdir().unwrap();
        let stripped = made.path().join("programs");
        programs::strip_to(&stripped);
        for (directory, version) in [("1", None), ("2", Some("0.1.1-test"))] {
            let out = made.path().join(directory);
            let mut packages = Command::new(programs::tree().join("deploy/packages.sh"));
            packages.arg(&stripped).arg(&out).args(version).env("LEVEL", "1");
            run(&mut packages).ok();
        }
        fs::remove_dir_all(stripped).unwrap();
        Self(made)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}
