//! The directories that are watched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use evenkeel_sources::Host;
use nix::errno::Errno;
use nix::sys::inotify::{Inotify, WatchDescriptor};

use super::CHANGES;

/// The most directories watched. A machine with 200 Go toolchains has 500.
const MAX_DIRECTORIES: usize = 8192;

/// A directory that cannot be watched: what changes there is found by the next sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The directory.
    pub directory: PathBuf,
    /// What the system said.
    pub why: String,
    /// Whether it is that the agent's user may not read it: what lies there is reported as unreadable, too.
    pub forbidden: bool,
}

/// The directories that are watched.
#[derive(Debug, Default)]
pub(super) struct Held {
    directories: BTreeMap<PathBuf, Watched>,
    refused: BTreeMap<PathBuf, Refusal>,
}

/// A directory that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    watch: WatchDescriptor,
    /// Keeps the directory's name in the kernel's memory: without it a dropped cache ends the watch and nobody is
    /// told, for /proc makes its directories anew. A directory on a disk needs no such hold, and must not have it:
    /// nobody could unmount the disk.
    _kept: Option<OwnedFd>,
}

#[derive(Debug)]
struct Refusal {
    why: String,
    forbidden: bool,
    said: bool,
}

impl Held {
    /// Those of these directories that are not watched.
    pub(super) fn missing<'a>(&self, of: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
        of.filter(|at| !self.directories.contains_key(*at)).map(Path::to_path_buf).collect()
    }

    /// Watches exactly these directories; those that are new were begun. Returns whether one of them is new.
    pub(super) fn hold(
        &mut self,
        inotify: &Inotify,
        wanted: &BTreeSet<&Path>,
        begun: Vec<(io::Result<Watched>, PathBuf)>,
    ) -> bool {
        let gone: Vec<_> =
            self.directories.keys().filter(|at| !wanted.contains(at.as_path())).cloned().collect();
        for directory in gone {
            let held = self.directories.remove(&directory);
            // Two names may lead to one directory, which has one watch.
            if let Some(Watched { watch, .. }) = held
                && self.named(watch).next().is_none()
            {
                let _ = inotify.rm_watch(watch);
            }
        }
        self.refused.retain(|at, _| wanted.contains(at.as_path()));
        let mut new = false;
        for (watched, directory) in begun {
            let room = self.directories.len() < MAX_DIRECTORIES;
            match watched {
                // Two names may lead to one directory, which has one watch.
                Ok(Watched { watch, .. }) if !room && self.named(watch).next().is_none() => {
                    let _ = inotify.rm_watch(watch);
                    self.refuse(directory, &Errno::ENOSPC.into());
                }
                Ok(held) => {
                    self.refused.remove(&directory);
                    self.directories.insert(directory, held);
                    new = true;
                }
                // It is gone since it was looked at; its parent is watched.
                Err(error) if is_gone(&error) => {}
                Err(error) => self.refuse(directory, &error),
            }
        }
        new
    }

    fn refuse(&mut self, directory: PathBuf, why: &io::Error) {
        let forbidden = why.kind() == io::ErrorKind::PermissionDenied;
        let refusal = || Refusal { why: why.to_string(), forbidden, said: false };
        self.refused.entry(directory).or_insert_with(refusal);
    }

    /// The directories that this watch is of.
    pub(super) fn named(&self, watch: WatchDescriptor) -> impl Iterator<Item = &Path> {
        let is = move |(_, held): &(&PathBuf, &Watched)| held.watch == watch;
        self.directories.iter().filter(is).map(|(directory, _)| directory.as_path())
    }

    /// The system has ended this watch: the directory is gone, or what it was mounted on.
    pub(super) fn forget(&mut self, watch: WatchDescriptor) {
        self.directories.retain(|_, held| held.watch != watch);
    }

    pub(super) fn len(&self) -> usize {
        self.directories.len()
    }

    /// The directories that could not be watched.
    pub(super) fn refused(&self) -> impl Iterator<Item = &Path> {
        self.refused.keys().map(PathBuf::as_path)
    }

    pub(super) fn newly_refused(&mut self) -> Vec<Refused> {
        let new = self.refused.iter_mut().filter(|(_, refusal)| !refusal.said);
        new.map(|(directory, refusal)| {
            refusal.said = true;
            Refused { directory: directory.clone(), why: refusal.why.clone(), forbidden: refusal.forbidden }
        })
        .collect()
    }
}

/// Begins to watch a directory. It touches the disk, which may take time or hang: nobody may wait for it meanwhile.
pub(super) fn begin(inotify: &Inotify, host: &Host, directory: &Path) -> io::Result<Watched> {
    let door = host.hold_directory(directory)?;
    let watch = inotify.add_watch(format!("/proc/self/fd/{}", door.as_raw_fd()).as_str(), CHANGES)?;
    let kernels = directory.starts_with("/proc") || directory.starts_with("/sys");
    Ok(Watched { watch, _kept: kernels.then_some(door) })
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
