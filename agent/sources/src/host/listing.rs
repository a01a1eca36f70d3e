//! What a directory holds.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::fstatat;

use super::{Access, Host, Kind, Stat};

/// The most entries read of one directory; a larger one is `FileTooLarge`, never cut silently.
const MAX_ENTRIES: usize = 100_000;

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
        self.noting(path, Access::Directory, || {
            let mut directory = Dir::from_fd(self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)?;
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
                if let Ok(stat) =
                    fstatat(&directory, entries[at].name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                {
                    entries[at].kind = Stat::of(&stat).kind;
                }
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        })
    }
}

fn kind_of(kind: Type) -> Kind {
    match kind {
        Type::File => Kind::File,
        Type::Directory => Kind::Directory,
        Type::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}
