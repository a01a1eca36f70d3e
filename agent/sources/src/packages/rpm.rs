//! rpm's database, in the two forms that rpm writes today: an SQLite file, and its own ndb. Of each package only the
//! first bytes of its header are read; the rest of a database is lists of files. The old Berkeley DB form is said to be
//! unsupported.
//!
//! SQLite's own library cannot be kept below a `--root`, and wants to write beside a database that has a write-ahead log:
//! the little that is needed of the file format is in `sqlite`.

mod header;
mod ndb;
mod sqlite;
mod wal;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use evenkeel_facts::Reason;

use super::Package;
use crate::host::Stat;
use crate::{Budget, Host};

/// Where distributions keep it: often one of these is a link to another.
const DIRECTORIES: [&str; 3] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm"];
/// The names of the three forms. Which form a file has is told by its first bytes.
const FILES: [&str; 3] = ["rpmdb.sqlite", "Packages.db", "Packages"];
/// More packages than any distribution has.
const MAX_PACKAGES: usize = 200_000;
/// A database that is written to while it is read is read again, so often.
const ATTEMPTS: usize = 3;

/// Adds what is installed.
pub(super) fn read(host: &Host, budget: &Budget, packages: &mut Vec<Package>) -> Result<bool, Reason> {
    let mut seen = Vec::new();
    let mut trouble = None;
    for directory in DIRECTORIES {
        for name in FILES {
            let path = Path::new(directory).join(name);
            let Ok(stat) = host.stat(&path) else { continue };
            if seen.contains(&(stat.dev, stat.ino)) {
                continue;
            }
            seen.push((stat.dev, stat.ino));
            match unchanged(host, &path, budget) {
                Ok(found) => packages.extend(found),
                Err(reason) => trouble = trouble.or(Some(reason)),
            }
        }
    }
    trouble.map_or(Ok(!seen.is_empty()), Err)
}

/// What the database says between two writes.
fn unchanged(host: &Host, path: &Path, budget: &Budget) -> Result<Vec<Package>, Reason> {
    let mut outcome = Err(Reason::Partial);
    for _ in 0..ATTEMPTS {
        let before = state(host, path);
        let read = database(host, path, budget);
        let spent = budget.spend(0);
        outcome = read.map_err(|error| spent.err().or(Reason::of_io(&error)).unwrap_or(Reason::Partial));
        if state(host, path) == before {
            return outcome;
        }
    }
    outcome.and(Err(Reason::Partial))
}

/// Changes whenever the database or its log is written to.
fn state(host: &Host, path: &Path) -> [Option<Stat>; 2] {
    [path, &log_of(path)].map(|path| host.stat(path).ok())
}

/// SQLite's write-ahead log of a database.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn database(host: &Host, path: &Path, budget: &Budget) -> io::Result<Vec<Package>> {
    let file = host.open_regular(path)?;
    let log = match host.open_regular(log_of(path)) {
        Ok(log) => Some(log),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    packages_of(&file, log.as_ref(), budget)
}

fn packages_of(file: &File, log: Option<&File>, budget: &Budget) -> io::Result<Vec<Package>> {
    if file.metadata()?.len() == 0 {
        return Ok(Vec::new());
    }
    match exactly(file, 0, 16)?.as_slice() {
        mark if mark == sqlite::MARK => sqlite::packages(file, log, budget),
        mark if mark.starts_with(ndb::MARK) => ndb::packages(file, budget),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A database as small as can be, in the ndb form, with the same packages; nothing if this is none.
pub(crate) fn shrink(file: &File) -> Option<Vec<u8>> {
    let budget = Budget::new(crate::source::DEADLINE, crate::source::MAX_SOURCE_BYTES);
    let packages = packages_of(file, None, &budget).ok()?;
    (!packages.is_empty()).then(|| ndb::write(&packages))
}

/// `size` bytes at an offset; an end of the file before that is `InvalidData`.
fn exactly(file: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => malformed("an rpm database cut short"),
        _ => error,
    })?;
    Ok(bytes)
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
