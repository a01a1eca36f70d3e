//! What a directory holds.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{fstat, fstatat};

use super::{Access, Host, Kind, Stat};

/// The most entries read of one directory; a larger one is `FileTooLarge`, never cut silently. With what is known of its
/// files, so many take 3 MB. No directory that sources look into has 5,000.
const MAX_ENTRIES: usize = 16_384;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, without the directory.
    pub name: OsString,
    /// What it is; links are not followed.
    pub kind: Kind,
}

impl Host {
    /// What a directory holds, by name.
    pub fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
        let path = path.as_ref();
        self.note_names(path);
        self.noting(path, Access::Directory, || self.list_untold(path))
    }

    /// The names in a directory as the system gives them, each with its kind before and a zero behind it. Nothing is
    /// allocated for any of them.
    pub(super) fn names_untold(&self, path: &Path, names: &mut Vec<u8>) -> io::Result<()> {
        for entry in self.directory(path)?.iter() {
            let entry = entry?;
            names.push(entry.file_type().map_or(b'?', |kind| kind as u8));
            names.extend_from_slice(entry.file_name().to_bytes_with_nul());
        }
        Ok(())
    }

    /// What a directory holds, without noting that it was asked for.
    pub(super) fn list_untold(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        entries_of(&mut self.directory(path)?)
    }

    /// The names of a directory that are numbers: there may be more of them than names are kept.
    pub(super) fn list_numbers(&self, path: &Path) -> io::Result<Vec<u32>> {
        self.noting(path, Access::Directory, || {
            let mut numbers = Vec::new();
            for entry in self.directory(path)?.iter() {
                numbers.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
            }
            numbers.sort_unstable();
            Ok(numbers)
        })
    }

    /// The files of a directory, by name, and what they are; of links, those that `may_follow` allows and that lead to
    /// a file. One call to the system each, where [`Host::stat`] takes three. A link that may not be followed is
    /// `Unsupported`.
    pub fn files(
        &self,
        path: impl AsRef<Path>,
        may_follow: impl Fn(&OsStr) -> bool,
    ) -> io::Result<Vec<(DirEntry, io::Result<Stat>)>> {
        let path = path.as_ref();
        self.noting(path, Access::Files, || {
            let mut directory = self.directory(path)?;
            let mut files = Vec::new();
            for entry in entries_of(&mut directory)? {
                if let Some(stat) = self.file_of(&directory, path, &entry, &may_follow) {
                    files.push((entry, stat));
                }
            }
            Ok(files)
        })
    }

    /// The same for these entries, which the directory had when it was listed; it counts as listed again.
    pub(crate) fn files_of(
        &self,
        path: &Path,
        entries: Vec<DirEntry>,
        may_follow: impl Fn(&OsStr) -> bool,
    ) -> io::Result<Vec<(DirEntry, io::Result<Stat>)>> {
        self.noting(path, Access::Files, || {
            let directory = self.directory(path)?;
            let file = |entry: DirEntry| {
                self.file_of(&directory, path, &entry, &may_follow).map(|stat| (entry, stat))
            };
            Ok(entries.into_iter().filter_map(file).collect())
        })
    }

    /// What this entry is, if it is a file or may lead to one.
    fn file_of(
        &self,
        directory: &Dir,
        path: &Path,
        DirEntry { name, kind }: &DirEntry,
        may_follow: impl Fn(&OsStr) -> bool,
    ) -> Option<io::Result<Stat>> {
        let stat = match kind {
            Kind::File => fstatat(directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW),
            Kind::Symlink if !may_follow(name) => Err(Errno::EOPNOTSUPP),
            Kind::Symlink if self.is_live() => fstatat(directory, name.as_os_str(), AtFlags::empty()),
            Kind::Symlink => match self.open(&path.join(name), OFlag::O_PATH) {
                Ok(target) => fstat(target),
                Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
            },
            Kind::Directory | Kind::Other => return None,
        };
        let stat = stat.as_ref().map(Stat::of);
        let stat = stat.map_err(|errno| self.unless_hidden(&path.join(name), *errno));
        stat.as_ref().map_or(true, |stat| stat.kind == Kind::File).then_some(stat)
    }

    fn directory(&self, path: &Path) -> io::Result<Dir> {
        Ok(Dir::from_fd(self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)?)
    }
}

fn entries_of(directory: &mut Dir) -> io::Result<Vec<DirEntry>> {
    let mut unknown = Vec::new();
    let mut entries = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let kind = entry.file_type().map_or(Kind::Other, kind_of);
        if entry.file_type().is_none() {
            unknown.push(entries.len());
        }
        entries.push(DirEntry { name: OsStr::from_bytes(name.to_bytes()).to_owned(), kind });
    }
    // Some file systems do not tell the kind with the name. One that is gone by now stays `Other`.
    for at in unknown {
        if let Ok(stat) = fstatat(&*directory, entries[at].name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            entries[at].kind = Stat::of(&stat).kind;
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn kind_of(kind: Type) -> Kind {
    match kind {
        Type::File => Kind::File,
        Type::Directory => Kind::Directory,
        Type::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}
