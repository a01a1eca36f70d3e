//! Reports in the OSV format, from a file or a directory: an offline copy of a vulnerability database.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_drift::affected::Advisory;
use evenkeel_drift::affected::osv;
use evenkeel_runtime::exit;
use evenkeel_runtime::files::{self, FileError};

use crate::error::CliError;

/// What was read.
#[derive(Debug)]
pub struct Advisories {
    /// The reports that stand and speak of Go.
    pub reports: Vec<Advisory>,
    /// The files of a directory that are none, and why: they do not keep the others from being read.
    pub unread: Vec<String>,
}

/// Reads one file, or every `*.json` below a directory.
pub fn read(place: &Path) -> Result<Advisories, CliError> {
    if !place.is_dir() {
        let report = one(place)?;
        return Ok(Advisories { reports: report.into_iter().collect(), unread: Vec::new() });
    }
    let paths = below(place)?;
    if paths.is_empty() {
        return Err(CliError::NoReports { path: place.to_owned() });
    }
    let mut read = Advisories { reports: Vec::new(), unread: Vec::new() };
    for path in paths {
        match one(&path) {
            Ok(report) => read.reports.extend(report),
            Err(error) => read.unread.push(exit::chain(&error)),
        }
    }
    if read.reports.is_empty() && !read.unread.is_empty() {
        return Err(CliError::Unread { failed: read.unread });
    }
    Ok(read)
}

fn one(path: &Path) -> Result<Option<Advisory>, CliError> {
    let json = files::read(path).map_err(CliError::Input)?;
    osv::parse(&json).map_err(|source| CliError::Report { path: path.to_owned(), source })
}

/// By name, so that the order never depends on the file system. The index of a database is no report.
fn below(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = fs::read_dir(&directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for entry in entries.map_err(FileError::io("read", &directory))? {
            let path = entry.path();
            let kind = entry.file_type().map_err(FileError::io("read", &path))?;
            if kind.is_dir() && entry.file_name() != "index" {
                waiting.push(path);
            } else if !kind.is_dir() && path.extension() == Some(OsStr::new("json")) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
