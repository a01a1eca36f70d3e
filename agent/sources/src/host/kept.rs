//! What a host keeps for those who look again and again. Descriptors of kernel parameters: reading one again is one call
//! instead of three, and gives what the parameter is now. What was made of contents, and what sources have seen, as long
//! as their files are the same.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::once::Made;
use super::witness::Notes;
use super::{Host, Log, READ, Root, Tracker, Witness, read_to_end};
use crate::Collected;
use crate::breaker::Breakers;

/// Where the kernel's parameters are.
pub(super) const PARAMETERS: &str = "/proc/sys";
/// As many descriptors a process should be able to have: the kernel has a thousand parameters that are read.
const WANTED: u64 = 4096;
/// The kernel allocates what a reader of /proc/sys offers: a buffer of 1 MB makes each read ten times slower. Few
/// parameters say more than this.
const STEP: usize = 4096;

/// Kept descriptors, up to a budget.
#[derive(Debug, Default)]
pub(super) struct Kept {
    files: Mutex<HashMap<PathBuf, File>>,
    budget: usize,
    pub(super) made: Made,
    pub(super) notes: Notes,
    pub(super) seen: Mutex<HashMap<&'static str, (Witness, Collected)>>,
    breakers: Arc<Breakers>,
}

impl Kept {
    /// What the parameter says, if it is kept and fits one step.
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let step = in_one_step(files.get(path)?);
        if step.is_none() {
            // Gone with its module, and perhaps there again: opened anew it says so.
            files.remove(path);
        }
        step
    }

    /// Keeps a parameter's file, if there is room.
    fn keep(&self, path: &Path, file: File) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() < self.budget {
            files.insert(path.to_owned(), file);
        }
    }
}

impl Host {
    /// The same host, but it keeps kernel parameters open, as far as this process may have descriptors (half of them are
    /// left for everything else), and what was seen of files that have not changed. For processes that look again and
    /// again.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        let budget = usize::try_from(descriptors().unwrap_or(0) / 2).unwrap_or(usize::MAX);
        self.kept = Some(Kept { budget, ..Kept::default() });
        self
    }

    /// The same machine again, as it was opened, but with nothing kept or noted; only which sources keep failing stays
    /// known. For a host that somebody is left behind with.
    pub fn anew(&self) -> io::Result<Self> {
        let root = match &self.root {
            Root::Live => Root::Live,
            Root::Below(root) => Root::Below(root.try_clone()?),
        };
        let kept = self.kept.as_ref();
        Ok(Self {
            root,
            refusals: self.refusals.clone(),
            log: self.log.as_ref().map(|_| Log::default()),
            tracker: self.tracker.as_ref().map(|_| Tracker::default()),
            // The descriptors that the other keeps are not given back.
            kept: kept.map(|kept| Kept { breakers: Arc::clone(&kept.breakers), ..Kept::default() }),
            hidden: self.hidden.clone(),
        })
    }

    /// Which sources keep failing; known only to those who look again and again.
    pub(crate) fn breakers(&self) -> Option<&Breakers> {
        self.kept.as_ref().map(|kept| &*kept.breakers)
    }

    /// What a source has seen, if its files are what they were then.
    pub(crate) fn seen_before(&self, source: &'static str) -> Option<Collected> {
        let seen = self.kept.as_ref()?.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(source)
            .filter(|(witness, _)| self.still_holds(witness))
            .map(|(_, collected)| collected.clone())
    }

    /// Keeps what a source has seen, with the files that bear witness.
    pub(crate) fn keep_seen(&self, witness: Witness, collected: &Collected) {
        if let Some(kept) = &self.kept {
            let mut seen = kept.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(collected.source, (witness, collected.clone()));
        }
    }

    /// What a kernel parameter says. One that says less than a buffer holds has said all.
    pub(super) fn read_parameter(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let within = |content: Vec<u8>| {
            if content.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
        };
        if let Some(content) = self.kept.as_ref().and_then(|kept| kept.read(path)) {
            return within(content);
        }
        let file = File::from(self.open(path, READ)?);
        let Some(content) = in_one_step(&file) else { return read_to_end(file, limit) };
        if let Some(kept) = &self.kept {
            kept.keep(path, file);
        }
        within(content)
    }
}

/// Nothing when it fails or does not fit: then it is read by other means, which say why.
fn in_one_step(file: &File) -> Option<Vec<u8>> {
    let mut step = [0; STEP];
    let length = file.read_at(&mut step, 0).ok().filter(|length| *length < STEP)?;
    Some(step[..length].to_vec())
}

/// How many descriptors this process may have. The limit that it starts with is meant for programs that cannot count
/// further than 1,024.
fn descriptors() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(WANTED);
    if soft >= wanted {
        return Ok(soft);
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_or(soft, |()| wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/proc/sys/kernel/pid_max";

    #[test]
    fn what_is_kept_says_the_same() {
        let host = Host::live().keeping();
        let fresh = Host::live().read(PATH, 100).unwrap();
        assert_eq!(host.read(PATH, 100).unwrap(), fresh);
        let kept = host.kept.as_ref().unwrap();
        assert_eq!(kept.read(Path::new(PATH)), Some(fresh.clone()));
        assert_eq!(host.read(PATH, 100).unwrap(), fresh);
        assert_eq!(host.read(PATH, 1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn without_room_nothing_is_kept_and_all_is_read() {
        let mut host = Host::live().keeping();
        host.kept.as_mut().unwrap().budget = 0;
        assert!(host.read(PATH, 100).is_ok());
        assert_eq!(host.kept.as_ref().unwrap().read(Path::new(PATH)), None);
    }
}
