//! A machine as a small directory that can be replayed: `evenkeel-agent record DIR`.
//!
//! Every source is run over a host that remembers what it is asked for, and exactly that is written: the recording
//! cannot miss what a source reads, now or later. What a source reads but does not send, and whatever is unique to the
//! machine, is left out or replaced ([`redact`]); programs and libraries shrink to what is read of them. What could not
//! be read is listed in [`REFUSALS`], with the system's error, and replays as the same error for whoever replays it.
//!
//! At the end the recording is replayed, and each fact that is not what it was is named.

mod place;
mod redact;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use evenkeel_facts::{FactPath, Observation, Section};
use nix::errno::Errno;

use crate::host::{Access, CLOCK, Host, HostError, Kind, REFUSALS, Touched};
use crate::{SourcesConfig, collect_all};

use place::Placer;

/// What a recording came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// How many files were written.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// Facts that replay otherwise than they were seen, `identity` aside. Empty unless the machine changed meanwhile.
    pub differences: Vec<Difference>,
}

/// One fact that replays otherwise than it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The fact.
    pub path: FactPath,
    /// As it was seen on the machine.
    pub seen: Observation,
    /// As it replays.
    pub replayed: Observation,
}

/// Why a recording could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is something in the directory already.
    #[error("{0} is not empty: a recording needs a directory of its own")]
    NotEmpty(PathBuf),
    /// Something cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// What.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The recording cannot be replayed.
    #[error("cannot replay the recording")]
    Replay(#[from] HostError),
}

/// Records a host into a directory, under another name.
pub fn record(
    host: Host,
    config: &SourcesConfig,
    directory: &Path,
    name: &str,
) -> Result<Recording, RecordError> {
    claim(directory)?;
    let host = host.remembering();
    let seen = collect_all(&host, config);
    let mut touched = host.touched();
    // Contents first: whether a path must be there as an empty file or directory shows only then.
    touched.sort_by(|a, b| (b.access, &a.path).cmp(&(a.access, &b.path)));
    let mut placer = Placer::new(&host, directory);
    let mut refusals = BTreeMap::new();
    let unread = |path| {
        touched
            .iter()
            .any(|other| other.access == Access::Content && &other.path == path && other.refused.is_some())
    };
    for touch in touched.iter().filter(|touch| !is_of_the_reader(&touch.path)) {
        match touch.refused {
            // Looked at because it could not be read: a refusal, or a button that is no part of the recording.
            None if touch.access == Access::Stat && unread(&touch.path) => {}
            None => keep(&mut placer, touch, name)?,
            Some(number) if is_refusal(&host, touch, number) => {
                placer.stand_in(touch)?;
                refusals.insert(&touch.path, number);
            }
            Some(_) => {}
        }
    }
    if !refusals.is_empty() {
        let lines = refusals.iter().map(|(path, number)| format!("{number} {}\n", path.display()));
        placer.write(Path::new(REFUSALS), lines.collect::<Vec<_>>().concat().as_bytes())?;
    }
    // No file tells it.
    if let Ok(Some(is)) = host.clock_is_synchronised() {
        placer.write(Path::new(CLOCK), format!("{is}\n").as_bytes())?;
    }
    let (files, bytes) = placer.written();
    let replayed = collect_all(&Host::at(directory)?, config);
    Ok(Recording { files, bytes, differences: differences(&seen, &replayed) })
}

fn claim(directory: &Path) -> Result<(), RecordError> {
    let error = |source| RecordError::Write { path: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(error)?;
    let empty = std::fs::read_dir(directory).map_err(error)?.next().is_none();
    if empty { Ok(()) } else { Err(RecordError::NotEmpty(directory.to_owned())) }
}

/// Where the agent itself stands is no part of the host.
fn is_of_the_reader(path: &Path) -> bool {
    ["/proc/self", "/proc/1/net"].iter().any(|own| path.starts_with(own))
}

/// Whether an error is the answer to be replayed: not what is not there, no program that is no regular file, and no
/// button that has no read bit.
fn is_refusal(host: &Host, touch: &Touched, number: i32) -> bool {
    let errno = Errno::from_raw(number);
    let no_file = touch.access == Access::Program && matches!(errno, Errno::EISDIR | Errno::EOPNOTSUPP);
    let nothing = matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH);
    let button = || host.stat(&touch.path).is_ok_and(|stat| stat.mode & 0o444 == 0);
    let no_link = touch.access == Access::Link && errno == Errno::EINVAL;
    !nothing && !no_file && !no_link && !button()
}

fn keep(placer: &mut Placer<'_>, touch: &Touched, name: &str) -> Result<(), RecordError> {
    match touch.access {
        Access::Content => placer.content(&touch.path, |content| redact::content(&touch.path, content, name)),
        Access::Program => placer.program(&touch.path),
        Access::Link => placer.link(&touch.path),
        Access::Directory | Access::Files => placer.directory(&touch.path),
        Access::Stat => match placer.host().stat(&touch.path).map(|stat| stat.kind) {
            Ok(Kind::Directory) => placer.directory(&touch.path),
            Ok(Kind::File) => placer.empty_file(&touch.path),
            _ => Ok(()),
        },
    }
}

fn differences(seen: &[Section], replayed: &[Section]) -> Vec<Difference> {
    let facts = |sections: &[Section]| -> BTreeMap<FactPath, Observation> {
        sections.iter().filter(|of| of.source() != "identity").flat_map(|of| of.facts().to_vec()).collect()
    };
    let (seen, replayed) = (facts(seen), facts(replayed));
    let of = |facts: &BTreeMap<_, _>, path| facts.get(path).cloned().unwrap_or(Observation::Absent);
    let mut paths: Vec<_> = seen.keys().chain(replayed.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .map(|path| Difference { path: path.clone(), seen: of(&seen, path), replayed: of(&replayed, path) })
        .filter(|difference| difference.seen != difference.replayed)
        .collect()
}
