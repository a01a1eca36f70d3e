//! Where a source looked: what must change before its facts can. The agent watches these places. No source says itself
//! what it reads, so none can forget to.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::OFlag;

use super::{Access, Host, Kind};

/// As many links the kernel follows on one path, too.
const MAX_LINKS: usize = 40;

/// The names in one directory that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// These.
    These(BTreeSet<OsString>),
    /// Every name: the directory was listed.
    All,
}

/// Where one source looked, by directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    directories: BTreeMap<PathBuf, Names>,
    silent: BTreeSet<PathBuf>,
}

impl Places {
    /// The directories, and the names in each that matter.
    pub fn directories(&self) -> impl Iterator<Item = (&Path, &Names)> {
        self.directories.iter().map(|(directory, names)| (directory.as_path(), names))
    }

    /// The kernel's files that change without telling those who watch them: `/proc/modules`, but not `/proc/sys`. All
    /// processes count as `/proc`.
    pub fn silent(&self) -> impl Iterator<Item = &Path> {
        self.silent.iter().map(PathBuf::as_path)
    }

    /// Whether every change of what was read there is told to those who watch these places.
    pub fn tell_everything(&self) -> bool {
        self.silent.is_empty() && !self.directories.is_empty()
    }

    /// Whether this name in this directory matters; `None` stands for the directory itself.
    pub fn matter(&self, directory: &Path, name: Option<&OsStr>) -> bool {
        match (self.directories.get(directory), name) {
            (Some(Names::These(names)), Some(name)) => names.contains(name),
            (Some(_), _) => true,
            (None, _) => false,
        }
    }

    /// Whether something at or below this path was looked at.
    pub fn reach_below(&self, path: &Path) -> bool {
        let all = self.directories.keys().chain(&self.silent);
        all.into_iter().any(|at| at.starts_with(path))
    }

    fn note(&mut self, path: &Path, access: Access) {
        let is_listed = matches!(access, Access::Directory | Access::Files);
        let at = if is_listed { Some(path) } else { path.parent() };
        let Some(at) = at else { return };
        if at.starts_with("/proc") && !path.starts_with("/proc/sys") {
            let process = path.components().nth(2).is_some_and(|part| is_process(part.as_os_str()));
            // Whether something is there is asked of /proc to know where the agent stands, which does not change.
            if access != Access::Stat {
                self.silent.insert(if process { "/proc".into() } else { path.to_owned() });
            }
            return;
        }
        if is_listed {
            self.directories.insert(path.to_owned(), Names::All);
        } else if let Some(name) = path.file_name() {
            match self.directories.get_mut(at) {
                Some(Names::All) => {}
                Some(Names::These(names)) if names.contains(name) => {}
                Some(Names::These(names)) => {
                    names.insert(name.to_owned());
                }
                None => {
                    let names = Names::These(BTreeSet::from([name.to_owned()]));
                    self.directories.insert(at.to_owned(), names);
                }
            }
        }
    }
}

fn is_process(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name == "self" || name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Collects places while one source after the other looks.
#[derive(Debug, Default)]
pub(super) struct Tracker(Mutex<Places>);

impl Tracker {
    pub(super) fn note(&self, path: &Path, access: Access) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(path, access);
    }

    fn take(&self) -> Places {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host {
    /// Notes that what is at this path tells nobody when it says something else: the output of a program.
    pub(crate) fn note_silent(&self, path: &Path) {
        if let Some(Tracker(places)) = &self.tracker {
            places.lock().unwrap_or_else(PoisonError::into_inner).silent.insert(path.to_owned());
        }
    }

    /// The same host, but it keeps track of the places that are looked at: [`Host::take_places`].
    #[must_use]
    pub fn tracking(mut self) -> Self {
        self.tracker = Some(Tracker::default());
        self
    }

    /// Where was looked since this was last asked; nothing unless the host is [`Host::tracking`].
    pub fn take_places(&self) -> Places {
        self.tracker.as_ref().map(Tracker::take).unwrap_or_default()
    }

    /// Notes a place that is looked at by other ways than this host's.
    pub(crate) fn note_place(&self, path: &Path, access: Access) {
        if let Some(tracker) = &self.tracker {
            tracker.note(path, access);
        }
    }

    /// The same places without links: where each link stands matters, and so does where it leads. Of a path that is
    /// not there, what matters is the first name that is missing.
    pub fn without_links(&self, places: &Places) -> Places {
        let mut walk =
            Walk { host: self, links: BTreeMap::new(), places: Places::default(), listed: BTreeSet::new() };
        walk.places.silent.clone_from(&places.silent);
        for (directory, names) in places.directories() {
            match names {
                Names::These(names) => names.iter().for_each(|name| walk.file(&directory.join(name))),
                Names::All => walk.directory(directory),
            }
        }
        walk.places
    }

    /// Holds a directory, so that it can be watched.
    pub fn hold_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY)
    }
}

/// Walks paths as the kernel does, link by link.
struct Walk<'a> {
    host: &'a Host,
    /// What is known of each name: where its link leads, or that it is none; `Err` when it is not there.
    links: BTreeMap<PathBuf, Result<Option<PathBuf>, ()>>,
    places: Places,
    listed: BTreeSet<PathBuf>,
}

impl Walk<'_> {
    fn file(&mut self, path: &Path) {
        if let Some(real) = self.real(path) {
            self.places.note(&real, Access::Content);
        }
    }

    fn directory(&mut self, path: &Path) {
        let Some(real) = self.real(path) else { return };
        if !self.listed.insert(real.clone()) {
            return;
        }
        if !is_kernels(&real) {
            for entry in self.host.list_untold(&real).unwrap_or_default() {
                if entry.kind == Kind::Symlink {
                    self.file(&real.join(entry.name));
                }
            }
        }
        self.places.note(&real, Access::Directory);
    }

    /// Where a path really leads. `None`: to nothing, and what is missing was noted.
    fn real(&mut self, path: &Path) -> Option<PathBuf> {
        let mut at = PathBuf::from("/");
        let mut rest: Vec<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            match self.link(&next) {
                Ok(None) => at = next,
                Ok(Some(target)) if links < MAX_LINKS => {
                    links += 1;
                    self.places.note(&next, Access::Content);
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    rest.extend(names(&target));
                }
                Ok(Some(_)) | Err(()) => {
                    self.places.note(&next, Access::Content);
                    return None;
                }
            }
        }
        Some(at)
    }

    fn link(&mut self, path: &Path) -> Result<Option<PathBuf>, ()> {
        if is_kernels(path) {
            return Ok(None);
        }
        if let Some(known) = self.links.get(path) {
            return known.clone();
        }
        let link = match self.host.link_untold(path) {
            Ok(target) => Ok(Some(target)),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(_) => Err(()),
        };
        self.links.insert(path.to_owned(), link.clone());
        link
    }
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

/// The kernel's files: no link there leads to what is watched elsewhere.
fn is_kernels(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/sys")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn these(names: &[&str]) -> Names {
        Names::These(names.iter().map(OsString::from).collect())
    }

    fn shown(places: &Places) -> Vec<(String, Names)> {
        places.directories().map(|(at, names)| (at.display().to_string(), names.clone())).collect()
    }

    #[test]
    fn what_is_read_and_what_is_missing_are_places() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/ssh")).unwrap();
        fs::write(root.path().join("etc/os-release"), "").unwrap();
        let host = Host::at(root.path()).unwrap().tracking();
        host.take_places();
        let _ = host.read("/etc/os-release", 10);
        let _ = host.read("/etc/nothing", 10);
        let _ = host.list("/etc/ssh");
        let _ = host.read("/etc/ssh/key", 10);
        let _ = host.read("/proc/modules", 10);
        let _ = host.open_exe(7);
        let places = host.take_places();
        let expected =
            [("/etc".to_owned(), these(&["nothing", "os-release"])), ("/etc/ssh".to_owned(), Names::All)];
        assert_eq!(shown(&places), expected);
        assert_eq!(places.silent().collect::<Vec<_>>(), [Path::new("/proc"), Path::new("/proc/modules")]);
        assert!(!places.tell_everything());
        assert_eq!(host.take_places(), Places::default());
    }

    /// Promise: a link that is changed and a file behind a link that is changed are both seen, and so is a directory
    /// that comes later.
    #[test]
    fn links_are_followed_and_missing_names_are_awaited() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc", "usr/share/zoneinfo/Europe", "opt/pay/5/bin", "usr/local/bin"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("usr/share/zoneinfo/Europe/Berlin"), "").unwrap();
        symlink("../usr/share/zoneinfo/Europe/Berlin", root.path().join("etc/localtime")).unwrap();
        symlink("5", root.path().join("opt/pay/now")).unwrap();
        symlink("/opt/pay/now/bin/pay", root.path().join("usr/local/bin/pay")).unwrap();
        fs::write(root.path().join("opt/pay/5/bin/pay"), "").unwrap();
        let host = Host::at(root.path()).unwrap().tracking();
        host.take_places();
        let _ = host.read("/etc/localtime", 10);
        let _ = host.list("/usr/local/bin");
        let _ = host.read("/snap/go/current/VERSION", 10);
        let places = host.without_links(&host.take_places());
        let expected = [
            ("/", these(&["snap"])),
            ("/etc", these(&["localtime"])),
            ("/opt/pay", these(&["now"])),
            ("/opt/pay/5/bin", these(&["pay"])),
            ("/usr/local/bin", Names::All),
            ("/usr/share/zoneinfo/Europe", these(&["Berlin"])),
        ];
        assert_eq!(shown(&places), expected.map(|(at, names)| (at.to_owned(), names)));
        assert!(places.matter(Path::new("/usr/local/bin"), Some(OsStr::new("new"))));
        assert!(!places.matter(Path::new("/etc"), Some(OsStr::new("mtab"))));
        assert!(places.matter(Path::new("/etc"), None));
        assert!(places.reach_below(Path::new("/opt/pay")) && !places.reach_below(Path::new("/opt/pa")));
    }

    #[test]
    fn links_in_circles_end() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let host = Host::at(root.path()).unwrap().tracking();
        let _ = host.read("/a/c", 10);
        assert_eq!(shown(&host.without_links(&host.take_places())), [("/".to_owned(), these(&["a", "b"]))]);
    }
}
