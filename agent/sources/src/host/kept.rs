//! What a host keeps for those who look again and again. Descriptors of kernel parameters: reading one again is one call
//! instead of three, and gives what the parameter is now. What was made of contents, and what sources have seen, as long
//! as their files are the same.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::once::Made;
use super::parameters::{MadeOfParameters, Said};
use super::witness::Notes;
use super::{Access, Host, Log, READ, Root, Tracker, Witness, read_to_end};
use crate::Collected;
use crate::breaker::Breakers;

/// Where the kernel's parameters are.
pub(super) const PARAMETERS: &str = "/proc/sys";
/// As many descriptors a process should be able to have: the kernel has a thousand parameters that are read.
const WANTED: u64 = 4096;
/// The kernel allocates what a reader of /proc/sys offers: a buffer of 1 MB makes each read ten times slower. Few
/// parameters say more than this.
const STEP: usize = 4096;
/// The most that any parameter is let say, in bytes; whoever reads it may allow less.
const MAX_BYTES: usize = 1024 * 1024;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) files: Mutex<Files>,
    pub(super) made: Made,
    pub(super) notes: Notes,
    pub(super) seen: Mutex<HashMap<&'static str, (Witness, Collected)>>,
    pub(super) said: Mutex<Option<Said>>,
    pub(super) of_parameters: Mutex<MadeOfParameters>,
    /// What sources remember, by its type.
    memories: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
    breakers: Arc<Breakers>,
}

/// Kernel parameters that are kept open, up to a budget.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_path: HashMap<PathBuf, u32>,
    /// `None`: it failed, and was closed.
    open: Vec<Option<File>>,
    pub(super) budget: usize,
}

impl Files {
    /// What the parameter says, if it is kept and fits one step.
    fn read(&mut self, path: &Path, step: &mut [u8; STEP]) -> Option<(u32, usize)> {
        let at = *self.by_path.get(path)?;
        let length = self.open[at as usize].as_ref().and_then(|file| in_one_step(file, step));
        if length.is_none() {
            // Gone with its module, and perhaps there again: opened anew it says so.
            self.open[at as usize] = None;
            self.by_path.remove(path);
        }
        Some((at, length?))
    }

    /// Whether this file says exactly this.
    pub(super) fn says(&self, file: u32, text: &[u8]) -> bool {
        let mut step = [0; STEP];
        let file = self.open.get(file as usize).and_then(Option::as_ref);
        file.and_then(|file| in_one_step(file, &mut step)).is_some_and(|length| step[..length] == *text)
    }

    /// Keeps a parameter's file, if there is room.
    fn keep(&mut self, path: &Path, file: File) -> Option<u32> {
        if self.by_path.len() >= self.budget {
            return None;
        }
        let at = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        let number = u32::try_from(at).ok()?;
        if at == self.open.len() {
            self.open.push(None);
        }
        self.open[at] = Some(file);
        self.by_path.insert(path.to_owned(), number);
        Some(number)
    }
}

impl Host {
    /// The same host, but it keeps kernel parameters open, as far as this process may have descriptors (half of them are
    /// left for everything else), and what was seen of files that have not changed. For processes that look again and
    /// again.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        let budget = usize::try_from(descriptors().unwrap_or(0) / 2).unwrap_or(usize::MAX);
        let files = Mutex::new(Files { budget, ..Files::default() });
        self.kept = Some(Kept { files, ..Kept::default() });
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

    /// Takes what a source remembered of this type: it is to be remembered again.
    pub(crate) fn recall<T: Send + 'static>(&self) -> Option<T> {
        let mut memories = self.kept.as_ref()?.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(&TypeId::of::<T>())?.downcast().ok().map(|memory| *memory)
    }

    /// Remembers it for the next look; a host that keeps nothing does not.
    pub(crate) fn remember<T: Send + 'static>(&self, memory: T) {
        if let Some(kept) = &self.kept {
            let mut memories = kept.memories.lock().unwrap_or_else(PoisonError::into_inner);
            memories.insert(TypeId::of::<T>(), Box::new(memory));
        }
    }

    /// Forgets what sources remember: the next look takes nothing for granted that may have changed without leaving a
    /// trace. For those who were told that something happened, and those who are told nothing.
    pub fn look_closely(&self) {
        if let Some(kept) = &self.kept {
            kept.memories.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// What a kernel parameter says. One that says less than a buffer holds has said all.
    pub(super) fn read_parameter(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let content = match self.read_open(path) {
            Some(content) => Ok(content),
            None => self.open(path, READ).map(File::from).and_then(|file| self.read_and_keep(path, file)),
        };
        content.and_then(|content| within(content, limit))
    }

    /// The same of a secret: it is not kept in any form that it could be read from.
    pub(crate) fn read_secret(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        if !self.is_live() {
            return self.read(path, limit);
        }
        self.noting(path, Access::Content, || {
            let content = self.read_parameter_anew(path);
            self.note_other(path, &content);
            content.and_then(|content| within(content, limit))
        })
    }

    /// Opened, read and closed.
    pub(super) fn read_parameter_anew(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_to_end(self.open(path, READ)?.into(), MAX_BYTES)
    }

    fn read_open(&self, path: &Path) -> Option<Vec<u8>> {
        let mut files = self.kept.as_ref()?.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut step = [0; STEP];
        let (file, length) = files.read(path, &mut step)?;
        drop(files);
        self.note_open(file, &step[..length]);
        Some(step[..length].to_vec())
    }

    fn read_and_keep(&self, path: &Path, file: File) -> io::Result<Vec<u8>> {
        let mut step = [0; STEP];
        let Some(length) = in_one_step(&file, &mut step) else {
            let content = read_to_end(file, MAX_BYTES);
            self.note_other(path, &content);
            return content;
        };
        let content = step[..length].to_vec();
        let number = self
            .kept
            .as_ref()
            .and_then(|kept| kept.files.lock().unwrap_or_else(PoisonError::into_inner).keep(path, file));
        match number {
            Some(number) => self.note_open(number, &content),
            None => self.note_other(path, &Ok(content.clone())),
        }
        Ok(content)
    }
}

fn within(content: Vec<u8>, limit: usize) -> io::Result<Vec<u8>> {
    if content.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

/// Nothing when it fails or does not fit: then it is read by other means, which say why.
fn in_one_step(file: &File, step: &mut [u8; STEP]) -> Option<usize> {
    file.read_at(step, 0).ok().filter(|length| *length < STEP)
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
        assert_eq!(host.read_open(Path::new(PATH)), Some(fresh.clone()));
        assert_eq!(host.read(PATH, 100).unwrap(), fresh);
        assert_eq!(host.read(PATH, 1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn without_room_nothing_is_kept_and_all_is_read() {
        let mut host = Host::live().keeping();
        host.kept.as_mut().unwrap().files.get_mut().unwrap().budget = 0;
        assert!(host.read(PATH, 100).is_ok());
        assert_eq!(host.read_open(Path::new(PATH)), None);
    }
}
