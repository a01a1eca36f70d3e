//! Where things go in a recording: every link on the way is recorded too, so that paths resolve as on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::RecordError;
use super::redact;
use crate::host::{Access, Host, Touched};

/// Larger contents are none that a source reads whole.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

pub(super) struct Placer<'a> {
    host: &'a Host,
    target: &'a Path,
    written: BTreeSet<PathBuf>,
    bytes: u64,
}

impl<'a> Placer<'a> {
    pub(super) fn new(host: &'a Host, target: &'a Path) -> Self {
        Self { host, target, written: BTreeSet::new(), bytes: 0 }
    }

    pub(super) fn host(&self) -> &'a Host {
        self.host
    }

    /// How many files, and how many bytes.
    pub(super) fn written(&self) -> (usize, u64) {
        (self.written.len(), self.bytes)
    }

    /// A file's content, as it is or changed.
    pub(super) fn content(
        &mut self,
        path: &Path,
        change: impl Fn(Vec<u8>) -> Vec<u8>,
    ) -> Result<(), RecordError> {
        // What is gone by now was there for a moment only: the replay will say so.
        let Ok(content) = self.host.read(path, MAX_BYTES) else { return Ok(()) };
        let Some(at) = self.resolve(path, true)? else { return Ok(()) };
        self.write(&at, &change(content))
    }

    /// A program or library, shrunk to what is read of it; nothing if nothing is. What a process runs is a magic link
    /// on the machine, and a plain file here.
    pub(super) fn program(&mut self, path: &Path) -> Result<(), RecordError> {
        let running = path.strip_prefix("/proc").ok().and_then(|rest| {
            let pid = rest.parent()?.to_str()?.parse().ok()?;
            rest.ends_with("exe").then_some(pid)
        });
        let file = match running {
            Some(pid) => self.host.open_exe(pid),
            None => self.host.open_regular(path),
        };
        let Some(small) = file.ok().and_then(|file| redact::program(&file)) else { return Ok(()) };
        let at = if running.is_some() { Some(path.to_owned()) } else { self.resolve(path, true)? };
        at.map_or(Ok(()), |at| self.write(&at, &small))
    }

    /// A link, whether it leads somewhere or not.
    pub(super) fn link(&mut self, path: &Path) -> Result<(), RecordError> {
        if let Some(at) = self.resolve(path, false)?
            && let Ok(target) = self.host.read_link(&at)
        {
            self.make_link(&at, &target)?;
        }
        Ok(())
    }

    /// A directory, empty as yet.
    pub(super) fn directory(&mut self, path: &Path) -> Result<(), RecordError> {
        match self.resolve(path, true)? {
            Some(at) => make_directory(&self.within(&at)),
            None => Ok(()),
        }
    }

    /// A file that must be there, if nothing is there yet.
    pub(super) fn empty_file(&mut self, path: &Path) -> Result<(), RecordError> {
        match self.resolve(path, true)? {
            Some(at) if !self.within(&at).exists() => self.write(&at, b""),
            _ => Ok(()),
        }
    }

    /// Something at a path that will be refused, so that its directory lists it. A directory gets a file, for git keeps
    /// no empty ones.
    pub(super) fn stand_in(&mut self, touch: &Touched) -> Result<(), RecordError> {
        // A link that must not be followed cannot be resolved either: what is refused stands at its own path.
        match (touch.access, touch.path.parent(), touch.path.file_name()) {
            (Access::Directory, ..) => self.empty_file(&touch.path.join(".keep")),
            (_, Some(parent), Some(name)) => match self.resolve(parent, true)? {
                Some(parent) if !self.within(&parent.join(name)).exists() => {
                    self.write(&parent.join(name), b"")
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Writes a file at a resolved path.
    pub(super) fn write(&mut self, at: &Path, content: &[u8]) -> Result<(), RecordError> {
        let file = self.within(at);
        if let Some(parent) = file.parent() {
            make_directory(parent)?;
        }
        fs::write(&file, content).map_err(|source| RecordError::Write { path: file.clone(), source })?;
        if self.written.insert(file) {
            self.bytes += content.len() as u64;
        }
        Ok(())
    }

    /// Where the path leads on the host, recording each link on the way. `None`: nowhere.
    fn resolve(&mut self, path: &Path, follow_last: bool) -> Result<Option<PathBuf>, RecordError> {
        let mut rest: Vec<PathBuf> = reversed(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            if rest.is_empty() && !follow_last {
                return Ok(Some(next));
            }
            match self.host.read_link(&next) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(None);
                    }
                    self.make_link(&next, &target)?;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    rest.extend(reversed(&target));
                }
                Err(_) => at = next,
            }
        }
        Ok(Some(at))
    }

    fn make_link(&mut self, at: &Path, target: &Path) -> Result<(), RecordError> {
        let link = self.within(at);
        if let Some(parent) = link.parent() {
            make_directory(parent)?;
        }
        match symlink(target, &link) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(source) => Err(RecordError::Write { path: link, source }),
        }
    }

    fn within(&self, at: &Path) -> PathBuf {
        self.target.join(at.strip_prefix("/").unwrap_or(at))
    }
}

fn make_directory(directory: &Path) -> Result<(), RecordError> {
    fs::create_dir_all(directory).map_err(|source| RecordError::Write { path: directory.to_owned(), source })
}

/// The names of a path, last one first.
fn reversed(path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.rev().collect()
}
