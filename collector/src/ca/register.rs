//! Which generations there are, and what each is for: `generations.json`, replaced as a whole at each step.

use std::path::{Path, PathBuf};

use evenkeel_runtime::files::{self, FileError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// The generations, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Register {
    pub(super) generations: Vec<Entry>,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) state: State,
    /// Since when it is in this state.
    pub(super) since: Timestamp,
}

/// What a generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Trusted already, so that nobody is surprised when it issues.
    Prepared,
    /// Issues.
    Active,
    /// Issues no more, and is still believed.
    Retiring,
}

impl State {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retiring => "retiring",
        }
    }
}

impl Register {
    /// Of an authority that is made now.
    pub(super) fn first(now: Timestamp) -> Self {
        Self { generations: vec![Entry { number: 1, state: State::Active, since: now }] }
    }

    /// Reads it; `None` where there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, FileError> {
        let path = file(directory);
        match files::read(&path) {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
            Ok(json) => match serde_json::from_slice::<Self>(&json) {
                Ok(register) if register.is_sound() => Ok(Some(register)),
                Ok(_) => Err(FileError::content(&path, "it does not name one active generation".to_owned())),
                Err(error) => Err(FileError::content(&path, format!("it is not what was written: {error}"))),
            },
        }
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), FileError> {
        let json = serde_json::to_vec_pretty(self).expect("numbers and words");
        files::replace(&file(directory), &json)
    }

    /// Removes the directories of generations that are none: of a step that was cut off, or retired. Their keys sign
    /// nothing that anybody believes; they need not lie about.
    pub(super) fn remove_others(&self, directory: &Path) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let number: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let is_other = |number| self.generations.iter().all(|entry| entry.number != number);
            if number.is_some_and(is_other)
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                warn!(%error, directory = %entry.path().display(), "An old generation was not removed.");
            }
        }
    }

    fn is_sound(&self) -> bool {
        let active = |entry: &&Entry| entry.state == State::Active;
        self.generations.iter().filter(active).count() == 1 && self.generations.len() <= 2
    }
}

/// Where a generation is kept.
pub(super) fn directory_of(directory: &Path, number: u32) -> PathBuf {
    directory.join(number.to_string())
}

fn file(directory: &Path) -> PathBuf {
    directory.join("generations.json")
}
