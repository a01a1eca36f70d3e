//! Snapshot files, compared by the engine itself: no collector.

use std::path::{Path, PathBuf};

use evenkeel_drift::{Fleet, Policy};
use evenkeel_facts::{Snapshot, snapshot_file};
use evenkeel_runtime::files;
use jiff::Timestamp;

use crate::error::CliError;

/// Two snapshots as a fleet of two environments, and the moment that its report speaks of.
pub struct Pair {
    /// The second environment is the reference.
    pub fleet: Fleet,
    /// The built-in policy.
    pub policy: Policy,
    /// When the later of the two was taken: a report of files is the same whenever it is made.
    pub as_of: Timestamp,
}

impl Pair {
    /// Reads both files.
    pub fn read(a: &Path, b: &Path) -> Result<Self, CliError> {
        let (mut first, mut second) = (read(a)?, read(b)?);
        let [label_a, label_b] = labels((a, &first), (b, &second));
        if first.host == second.host {
            // One host at two times, or two that cannot be told apart by name.
            first.host.clone_from(&label_a);
            second.host.clone_from(&label_b);
        }
        let as_of = first.taken_at.max(second.taken_at);
        let fleet = Fleet::from_snapshots([(label_a, first), (label_b, second)]);
        Ok(Self { fleet, policy: Policy::default_policy(), as_of })
    }

    /// What the two are called in the report.
    pub fn names(&self) -> [&str; 2] {
        [&self.fleet.environments[0], &self.fleet.environments[1]]
    }
}

/// Reads one file.
pub fn read(path: &Path) -> Result<Snapshot, CliError> {
    let json = files::read(path)?;
    snapshot_file::from_json(&json).map_err(|source| CliError::Snapshot { path: path.to_owned(), source })
}

/// Environments where they tell the two apart; else the names of the files; else their paths.
fn labels(a: (&Path, &Snapshot), b: (&Path, &Snapshot)) -> [String; 2] {
    match (&a.1.environment, &b.1.environment) {
        (Some(a), Some(b)) if a != b => return [a.clone(), b.clone()],
        _ => {}
    }
    let name = |path: &Path| path.file_name().map_or_else(|| PathBuf::from(path), PathBuf::from);
    let paths = match [name(a.0), name(b.0)] {
        [a_name, b_name] if a_name == b_name => [a.0.to_owned(), b.0.to_owned()],
        names => names,
    };
    paths.map(|path| path.display().to_string())
}
