//! The directories that a source looks into: patterns such as `/opt/*/bin`, each directory once, none of them on a
//! network file system.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use evenkeel_facts::Reason;

use crate::Host;
use crate::host::Kind;

/// The most directories that the patterns of one source may stand for.
const MAX_DIRECTORIES: usize = 1_000;

/// The directories of one host, as one source finds them.
#[derive(Debug)]
pub(crate) struct Directories<'a> {
    host: &'a Host,
    /// What could not be looked into, and why.
    pub(crate) unseen: Vec<(PathBuf, Reason)>,
    remote: Vec<PathBuf>,
    known: BTreeSet<(u64, u64)>,
}

impl<'a> Directories<'a> {
    /// None yet.
    pub(crate) fn of(host: &'a Host) -> Self {
        Self { host, remote: host.remote_mounts(), known: BTreeSet::new(), unseen: Vec::new() }
    }

    /// What patterns stand for, in their order; a directory that several paths lead to only under the first. A `*`
    /// stands for any text without slashes, but not for a dot at the beginning. What is not there is nothing to speak
    /// of; what cannot be looked into is added to `unseen`.
    pub(crate) fn expand(&mut self, patterns: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for pattern in patterns {
            let bases = self.paths(&pattern, Kind::Directory);
            found.extend(bases.into_iter().filter(|path| self.is_new(path)));
        }
        found
    }

    /// The files that a pattern stands for; one without a `*` stands for itself, whether it is there or not.
    pub(crate) fn files(&mut self, pattern: &Path) -> Vec<PathBuf> {
        self.paths(pattern, Kind::File)
    }

    fn paths(&mut self, pattern: &Path, last: Kind) -> Vec<PathBuf> {
        let mut bases = vec![PathBuf::from("/")];
        let mut parts = pattern.components().peekable();
        while let Some(part) = parts.next() {
            let Component::Normal(part) = part else { continue };
            let kind = if parts.peek().is_some() { Kind::Directory } else { last };
            bases = match part.to_str().and_then(|part| part.split_once('*')) {
                None => bases.into_iter().map(|base| base.join(part)).collect(),
                Some((prefix, suffix)) => {
                    bases.iter().flat_map(|base| self.matching(base, prefix, suffix, kind)).collect()
                }
            };
        }
        bases
    }

    /// Whether a path lies on a network file system, or is a link that leads there at once.
    pub(crate) fn is_remote(&self, path: &Path) -> bool {
        let lies = |path: &Path| self.remote.iter().any(|mount| path.starts_with(mount));
        if self.remote.is_empty() {
            return false;
        }
        lies(path)
            || self
                .host
                .read_link(path)
                .is_ok_and(|target| lies(&lexical(&path.parent().unwrap_or(path).join(target))))
    }

    fn matching(&mut self, base: &Path, prefix: &str, suffix: &str, kind: Kind) -> Vec<PathBuf> {
        if self.is_remote(base) {
            self.unseen.push((base.to_owned(), Reason::Unsupported));
            return Vec::new();
        }
        let entries = match self.host.list(base) {
            Ok(entries) => entries,
            Err(error) => {
                self.unseen.extend(Reason::of_io(&error).map(|reason| (base.to_owned(), reason)));
                return Vec::new();
            }
        };
        let fits = |name: &str| {
            name.len() >= prefix.len() + suffix.len()
                && name.starts_with(prefix)
                && name.ends_with(suffix)
                && (!name.starts_with('.') || prefix.starts_with('.'))
        };
        entries
            .into_iter()
            .filter(|entry| entry.kind == kind || entry.kind == Kind::Symlink)
            .filter(|entry| entry.name.to_str().is_some_and(fits))
            .map(|entry| base.join(entry.name))
            .collect()
    }

    /// Whether this is a directory that was not met before.
    fn is_new(&mut self, path: &Path) -> bool {
        if self.is_remote(path) {
            self.unseen.push((path.to_owned(), Reason::Unsupported));
            return false;
        }
        let reason = match self.host.stat(path) {
            Ok(stat) if stat.kind != Kind::Directory || self.known.contains(&(stat.dev, stat.ino)) => None,
            Ok(_) if self.known.len() == MAX_DIRECTORIES => Some(Reason::Truncated),
            Ok(stat) => return self.known.insert((stat.dev, stat.ino)),
            Err(error) => Reason::of_io(&error),
        };
        self.unseen.extend(reason.map(|reason| (path.to_owned(), reason)));
        false
    }
}

/// A path without `.` and `..`, as it reads: links are not looked at.
pub(crate) fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn patterns_are_expanded_and_each_directory_is_found_once() {
        let root = tempfile::tempdir().unwrap();
        for directory in
            ["usr/bin", "opt/a/bin", "opt/b/bin", "opt/.hidden/bin", "usr/lib/go-1.19", "usr/lib/gold"]
        {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        symlink("usr/bin", root.path().join("bin")).unwrap();
        symlink("b", root.path().join("opt/c")).unwrap();
        fs::write(root.path().join("opt/file"), "").unwrap();
        let host = Host::at(root.path()).unwrap();
        let patterns = ["/usr/bin", "/bin", "/sbin", "/opt/*/bin", "/usr/lib/go-*", "/none/*/bin"];
        let mut directories = Directories::of(&host);
        let found = directories.expand(patterns.map(PathBuf::from));
        let expected = ["/usr/bin", "/opt/a/bin", "/opt/b/bin", "/usr/lib/go-1.19"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(directories.unseen, []);
    }

    #[test]
    fn remote_directories_are_named_and_not_touched() {
        let root = tempfile::tempdir().unwrap();
        symlink("../mnt/tools/./x/../bin", root.path().join("opt")).unwrap();
        let host = Host::at(root.path()).unwrap();
        let mut directories = Directories::of(&host);
        directories.remote.push("/mnt/tools".into());
        assert!(directories.is_remote(Path::new("/mnt/tools/bin")));
        assert!(directories.is_remote(Path::new("/opt")));
        assert!(!directories.is_remote(Path::new("/mnt/toolshed")));
    }
}
