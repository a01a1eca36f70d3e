//! `evenkeel-collector backup`, `restore` and `check`: the data directory as a whole, also beside a collector that runs.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Instant;

use evenkeel_runtime::files::{self, FileError};
use evenkeel_store::backup::Kept;
use evenkeel_store::{Checked, FILE, Reader, StoreError};

use crate::state::State;

/// What lies beside the journal, below the data directory: nothing of either is worth anything without the other.
const AUTHORITY: &str = "ca";
/// So often is begun anew when the authority moved meanwhile.
const TRIES: usize = 3;

/// The command failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreCommandError {
    /// The store, or the backup.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing to back up or check.
    #[error("there is no {} in {}: name the collector's data directory with --data-dir", FILE, .0.display())]
    Nothing(PathBuf),
    /// What was found.
    #[error(
        "{} is damaged:\n  {}\nStop the collector, move the data directory aside, and restore a backup: evenkeel-collector restore FILE",
        .file.display(),
        .problems.join("\n  ")
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// The authority never stood still.
    #[error(
        "the certificate authority is being moved: try again when `evenkeel-collector ca rotate` is done"
    )]
    Moving,
}

/// Writes everything that a collector is into one file, and says what to do with it.
pub fn backup(data_dir: &Path, to: &Path) -> Result<String, StoreCommandError> {
    store_in(data_dir)?;
    for _ in 0..TRIES {
        let kept = authority(data_dir)?;
        let checked = evenkeel_store::backup(data_dir, &kept, to)?;
        if authority(data_dir)? == kept {
            let mut text = format!("{}: {}.\n", to.display(), told(&checked));
            let _ = writeln!(
                text,
                "It holds the keys of the certificate authority: keep it where nobody else reads it.\n\
                 To restore it into an empty data directory: evenkeel-collector restore {} --data-dir DIR",
                to.display()
            );
            return Ok(text);
        }
        files::remove(to)?;
    }
    Err(StoreCommandError::Moving)
}

/// Makes a data directory of a backup. What root restores belongs to whom the directory belongs to: a service's user could not
/// read it otherwise.
pub fn restore(from: &Path, data_dir: &Path) -> Result<String, StoreCommandError> {
    let checked = evenkeel_store::restore(from, data_dir)?;
    give_to_owner(data_dir)?;
    Ok(format!(
        "{}: {}.\nWhat came after the backup is not in it: say again who was banned, evicted or revoked since.\n",
        data_dir.display(),
        told(&checked)
    ))
}

/// Gives what root has just written below the directory to the directory's owner; others' files and links to them are left alone.
fn give_to_owner(data_dir: &Path) -> Result<(), FileError> {
    let top = data_dir.symlink_metadata().map_err(FileError::io("look at", data_dir))?;
    if top.uid() == 0 {
        return Ok(());
    }
    let mut directories = vec![data_dir.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(FileError::io("list", &directory))? {
            let path = entry.map_err(FileError::io("list", &directory))?.path();
            let found = path.symlink_metadata().map_err(FileError::io("look at", &path))?;
            if found.is_dir() {
                directories.push(path.clone());
            }
            if found.uid() == 0 && (found.is_dir() || found.nlink() == 1) {
                lchown(&path, Some(top.uid()), Some(top.gid()))
                    .map_err(FileError::io("give to its owner", &path))?;
            }
        }
    }
    Ok(())
}

/// Looks at everything that a data directory or a backup holds.
pub fn check(data_dir: &Path, file: Option<&Path>) -> Result<String, StoreCommandError> {
    let file = match file {
        Some(file) => {
            evenkeel_store::backup::is_database(file)?;
            file.to_owned()
        }
        None => store_in(data_dir)?,
    };
    let checked = evenkeel_store::check_and(&file, replay)?;
    if checked.problems.is_empty() {
        Ok(format!("{}: {}. All is as it was written.\n", file.display(), told(&checked)))
    } else {
        Err(StoreCommandError::Damaged { file, problems: checked.problems })
    }
}

/// Whether the journal makes a state, as at a start.
fn replay(reader: &Reader) -> Result<(), StoreError> {
    let mut state = State::new(&[], Instant::now());
    state.replay(reader, u64::MAX, &mut |digest| reader.content(digest))
}

fn store_in(data_dir: &Path) -> Result<PathBuf, StoreCommandError> {
    let store = data_dir.join(FILE);
    if store.is_file() { Ok(store) } else { Err(StoreCommandError::Nothing(data_dir.to_owned())) }
}

fn told(Checked { entries, sections, put_aside, bytes, problems: _ }: &Checked) -> String {
    let plural = |number: u64| if number == 1 { "" } else { "s" };
    let kib = bytes.div_ceil(1024);
    let aside = match put_aside {
        0 => String::new(),
        some => format!(" ({some} damaged and put aside)"),
    };
    format!(
        "{entries} journal entr{}, {sections} content{}{aside}, {kib} KiB",
        if *entries == 1 { "y" } else { "ies" },
        plural(*sections)
    )
}

/// Every file of the authority, in order.
fn authority(data_dir: &Path) -> Result<Vec<Kept>, FileError> {
    let mut kept = Vec::new();
    let mut directories = vec![PathBuf::from(AUTHORITY)];
    while let Some(below) = directories.pop() {
        let directory = data_dir.join(&below);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(FileError::io("list", &directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(FileError::io("list", &directory))?;
            let kind = entry.file_type().map_err(FileError::io("look at", &entry.path()))?;
            let path = below.join(entry.file_name());
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() {
                kept.push((path.clone(), files::read(&data_dir.join(&path))?));
            }
        }
    }
    kept.sort();
    Ok(kept)
}
