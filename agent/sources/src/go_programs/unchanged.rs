//! Directories that were gone through not long ago and have not changed since: a machine has 3,000 programs, and to ask
//! the system what each of them is takes more than everything else about them.
//!
//! A file that is written over leaves its directory as it was. Whoever is told of it has the host forget what is known
//! here ([`Host::look_closely`](crate::Host::look_closely)), and so does whoever is told nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::host::{DirEntry, Stat, is_settled};

/// What is told of nobody is found after this time at the latest.
const LASTS: Duration = Duration::from_secs(600);

/// The directories, by path.
#[derive(Debug, Default)]
pub(super) struct Unchanged(HashMap<PathBuf, Known>);

/// One of them.
#[derive(Debug)]
pub(super) struct Known {
    was: Stat,
    /// When it was gone through as a whole.
    pub(super) since: Instant,
    /// What is to be looked at again all the same.
    pub(super) entries: Vec<DirEntry>,
}

impl Unchanged {
    /// What is known of this directory, if it is the same as it was, and for long enough.
    pub(super) fn take(&mut self, directory: &Path, stat: &Stat) -> Option<Known> {
        let known = self.0.remove(directory)?;
        (known.was == *stat && known.since.elapsed() < LASTS).then_some(known)
    }

    /// It was gone through, and these are to be looked at again. One that changed just now may change again without
    /// showing it.
    pub(super) fn put(&mut self, directory: &Path, stat: &Stat, since: Instant, mut entries: Vec<DirEntry>) {
        if is_settled(stat) {
            entries.shrink_to_fit();
            self.0.insert(directory.to_owned(), Known { was: *stat, since, entries });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Kind;

    fn stat(ctime: i64) -> Stat {
        Stat { dev: 1, ino: 2, size: 3, ctime: (ctime, 0), mode: 0o755, kind: Kind::Directory }
    }

    #[test]
    fn a_directory_is_known_while_it_is_the_same_and_not_for_ever() {
        let directory = Path::new("/usr/bin");
        let mut unchanged = Unchanged::default();
        let mut knows = |put: i64, since: Instant, take: i64| {
            unchanged.put(directory, &stat(put), since, Vec::new());
            unchanged.take(directory, &stat(take)).is_some()
        };
        let now = Instant::now();
        assert!(knows(7, now, 7));
        assert!(!knows(7, now, 8));
        assert!(!knows(i64::MAX, now, i64::MAX), "it may change again within a moment");
        if let Some(long_ago) = now.checked_sub(LASTS) {
            assert!(!knows(7, long_ago, 7));
        }
    }
}
