//! How the daemon is: a small file in the state directory, written at each sweep, that `check` shows and `health` judges. It is
//! not synced: what it says is of no use after a power cut.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// In the state directory.
const FILE: &str = "status.json";
/// As many directories are shown.
const EXAMPLES: usize = 3;

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When this was written.
    pub at: Timestamp,
    /// How many directories are watched; `None`: nothing is told here, changes are found by the next sweep.
    pub watched: Option<usize>,
    /// The directories that could not be watched: the next sweep looks there.
    #[serde(default)]
    pub refused: Vec<PathBuf>,
    /// How often a sweep has found what an event should have told, since the daemon started.
    pub missed: u64,
    /// When the collector acknowledged last, be it that nothing changed.
    pub acknowledged_at: Option<Timestamp>,
    /// How long until this is written again, at the latest, in seconds.
    #[serde(default)]
    pub again_in_s: u64,
    /// What stands in the way of enrolment, of a machine that waits for it.
    #[serde(default)]
    pub waits: Option<String>,
}

impl Status {
    /// Of a machine that waits to be enrolled, and tries again after this time.
    pub fn waiting(why: String, again_in: Duration) -> Self {
        Self {
            at: Timestamp::now(),
            watched: None,
            refused: Vec::new(),
            missed: 0,
            acknowledged_at: None,
            again_in_s: again_in.as_secs(),
            waits: Some(why),
        }
    }

    /// Writes it: whole or not at all.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let beside = state_dir.join("status.json.new");
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(&beside, state_dir.join(FILE))
    }

    /// Forgets what an earlier daemon wrote: this one has done nothing yet.
    pub fn forget(state_dir: &Path) {
        let _ = fs::remove_file(state_dir.join(FILE));
    }

    /// What a daemon wrote there, if one did and it can be read.
    pub fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(state_dir.join(FILE)).ok()?).ok()
    }

    /// A few lines for a person.
    pub fn tell(&self) -> String {
        let Self { at, watched, refused, missed, acknowledged_at, again_in_s: _, waits } = self;
        if let Some(why) = waits {
            return format!("daemon, as of {at:.0}: waits to be enrolled: {}\n", why.escape_debug());
        }
        let watch = match watched {
            Some(watched) => format!("{watched} directories are watched, {missed} changes missed"),
            None => "nothing is watched: changes are found by the next sweep".to_owned(),
        };
        let acknowledged = acknowledged_at.map_or("not yet".to_owned(), |at| format!("{at:.0}"));
        let mut text = format!("daemon, as of {at:.0}: {watch}\n  last acknowledged: {acknowledged}\n");
        for directory in refused.iter().take(EXAMPLES) {
            let _ = writeln!(text, "  not watched: {}", directory.display().to_string().escape_debug());
        }
        if refused.len() > EXAMPLES {
            let _ = writeln!(text, "  and {} more", refused.len() - EXAMPLES);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Status::read(directory.path()), None);
        let at = "2026-11-22T10:00:00Z".parse().unwrap();
        let status = Status {
            at,
            watched: Some(212),
            refused: Vec::new(),
            missed: 0,
            acknowledged_at: Some(at),
            again_in_s: 66,
            waits: None,
        };
        status.write(directory.path()).unwrap();
        assert_eq!(Status::read(directory.path()), Some(status.clone()));
        assert_eq!(
            status.tell(),
            "daemon, as of 2026-11-22T10:00:00Z: 212 directories are watched, 0 changes missed\n  \
             last acknowledged: 2026-11-22T10:00:00Z\n"
        );
        let partly =
            Status { refused: ["/a", "/b\n", "/c", "/d"].map(PathBuf::from).to_vec(), ..status.clone() };
        let refused = "\n  not watched: /a\n  not watched: /b\\n\n  not watched: /c\n  and 1 more\n";
        assert!(partly.tell().ends_with(refused), "{}", partly.tell());
        Status::forget(directory.path());
        assert_eq!(Status::read(directory.path()), None);
        let waiting = Status::waiting("no collector\n".to_owned(), Duration::from_secs(9));
        assert!(waiting.tell().ends_with(": waits to be enrolled: no collector\\n\n"), "{}", waiting.tell());
        let deaf = Status { watched: None, acknowledged_at: None, ..status };
        assert!(deaf.tell().ends_with("found by the next sweep\n  last acknowledged: not yet\n"));
    }
}
