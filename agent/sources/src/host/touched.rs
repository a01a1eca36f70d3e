//! What was asked of a host: the list from which a recorded host is made, so that the recording cannot miss what a
//! source reads.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

/// How a path was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Its metadata.
    Stat,
    /// The link itself.
    Link,
    /// The names in it.
    Directory,
    /// The names in it, and what each of them is.
    Files,
    /// Parts of a large file: programs and libraries.
    Program,
    /// The whole content.
    Content,
}

/// One path that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touched {
    /// The path, as it was asked for.
    pub path: PathBuf,
    /// How.
    pub access: Access,
    /// The system's error number, if it was refused.
    pub refused: Option<i32>,
}

#[derive(Debug, Default)]
pub(super) struct Log(Mutex<BTreeMap<(PathBuf, Access), Option<i32>>>);

impl Log {
    pub(super) fn note(&self, path: &Path, access: Access, error: Option<&io::Error>) {
        let refused = error.map(number_of);
        // To a recording both are the same.
        let access = if access == Access::Files { Access::Directory } else { access };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((path.to_owned(), access), refused);
    }

    pub(super) fn touched(&self) -> Vec<Touched> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter()
            .map(|((path, access), refused)| Touched {
                path: path.clone(),
                access: *access,
                refused: *refused,
            })
            .collect()
    }
}

/// The system's number for an error, also for those that the host makes itself.
fn number_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::NotFound => Errno::ENOENT,
        io::ErrorKind::FileTooLarge => Errno::EFBIG,
        io::ErrorKind::IsADirectory => Errno::EISDIR,
        io::ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        // Hidden by the sandbox of whoever recorded it.
        io::ErrorKind::PermissionDenied => Errno::EACCES,
        _ => Errno::EIO,
    } as i32)
}

/// Lines of `ERRNO PATH`, as [`super::REFUSALS`] holds them.
pub(super) fn parse_refusals(text: &str) -> io::Result<BTreeMap<PathBuf, Errno>> {
    text.lines()
        .map(|line| {
            let (number, path) = line.split_once(' ')?;
            path.starts_with('/').then_some(())?;
            Some((PathBuf::from(path), Errno::from_raw(number.parse().ok()?)))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "expected lines of an error number and a path")
        })
}
