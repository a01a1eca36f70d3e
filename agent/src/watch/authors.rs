//! Who writes the kernel's files, told by the kernel when they are written (fanotify, Linux 4.20 and later). It needs
//! CAP_SYS_ADMIN, and is asked for. Best effort: a process that ends at once may be gone before it can be looked at.
//!
//! What is written through another mount of /proc (a container's own, where it has its own processes) is told nobody.

pub mod named;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use evenkeel_facts::Author;
use evenkeel_facts::author::{MAX_AUTHORS, MAX_TEXT_BYTES};
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};

/// The kernel's file systems whose files are settings.
const FILE_SYSTEMS: [&str; 2] = ["proc", "sys"];
const MAX_BYTES: u64 = 64 * 1024;
/// A user id that stands for none (audit: the session has no login).
const NOBODY: u32 = u32::MAX;

/// Those who wrote since they were last asked for.
#[derive(Debug, Clone)]
pub struct Authors(Arc<Mutex<Vec<Author>>>);

impl Authors {
    /// Listens from now on, on a thread of its own: a process must be looked at before it ends.
    pub fn listen(root: &Path) -> io::Result<Self> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC;
        let fanotify = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
        for name in FILE_SYSTEMS {
            let mark = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
            fanotify.mark(mark, MaskFlags::FAN_MODIFY, AT_FDCWD, Some(&root.join(name)))?;
        }
        let authors = Self(Arc::default());
        let (heard, root) = (authors.clone(), root.to_owned());
        thread::Builder::new().name("authors".to_owned()).stack_size(64 * 1024).spawn(move || {
            while let Ok(events) = fanotify.read_events() {
                for event in events {
                    if let Some(author) = author(&event, &root) {
                        heard.add(author);
                    }
                }
            }
        })?;
        Ok(authors)
    }

    /// Those who wrote since this was last asked.
    pub fn take(&self) -> Vec<Author> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last one who wrote something counts, and the last of many writes.
    fn add(&self, author: Author) {
        let mut authors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        authors.retain(|earlier| earlier.path != author.path);
        if authors.len() == MAX_AUTHORS {
            authors.remove(0);
        }
        authors.push(author);
    }
}

fn author(event: &FanotifyEvent, root: &Path) -> Option<Author> {
    // In another PID namespace than the listener's a process has no number.
    let pid = u32::try_from(event.pid()).ok().filter(|pid| ![0, std::process::id()].contains(pid))?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    // First what goes with the process, then what stays.
    let command = read(&process.join("comm")).unwrap_or_default();
    let [status, login, group] = ["status", "loginuid", "cgroup"].map(|file| read(&process.join(file)));
    let network = network_of(&process);
    let file = fs::read_link(format!("/proc/self/fd/{}", event.fd()?.as_raw_fd())).ok()?;
    let fact = named::fact(&file)?;
    // Each network namespace has its own files of the same names.
    if fact.starts_with("sysctl.net.")
        && let (Some(own), Some(other)) = (network_of(Path::new("/proc/self")), network)
        && own != other
    {
        return None;
    }
    let users = || read(&root.join("etc/passwd")).unwrap_or_default();
    let named = |id: u32| user_name(&users(), id).unwrap_or_else(|| id.to_string());
    let login = login.and_then(|text| text.trim().parse().ok()).filter(|id| *id != NOBODY);
    let author = Author {
        path: fact,
        pid,
        command: command.trim_end().to_owned(),
        user: status.as_deref().and_then(user_of).map(named).unwrap_or_default(),
        login: login.map(named).unwrap_or_default(),
        unit: group.as_deref().and_then(named::unit).unwrap_or_default(),
    };
    Some(harmless(author))
}

/// Which network namespace a process is in: the files below `net` have one inode a namespace, and whoever may not follow
/// the link in `ns` may look at these.
fn network_of(process: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(process.join("net/dev")).ok()?;
    Some((file.dev(), file.ino()))
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The real user id in `/proc/PID/status` (proc_pid_status(5)).
fn user_of(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// The name of a user in passwd(5). Only the file is asked: a directory service may answer late.
fn user_name(passwd: &str, id: u32) -> Option<String> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    };
    passwd.lines().find_map(of_line)
}

/// Names come from whoever starts a process.
fn harmless(author: Author) -> Author {
    let clean = |text: String| {
        let harmless =
            text.char_indices().filter(|(at, c)| at + c.len_utf8() <= MAX_TEXT_BYTES && !c.is_control());
        harmless.map(|(_, c)| c).collect::<String>()
    };
    let Author { path, pid, command, user, login, unit } = author;
    let [path, command, user, login, unit] = [path, command, user, login, unit].map(clean);
    Author { path, pid, command, user, login, unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_by_the_file() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ada"));
        assert_eq!(user_name(passwd, 7), None);
        assert_eq!(user_of("Name:\tsh\nUid:\t1000\t0\t0\t0\n"), Some(1000));
    }

    #[test]
    fn the_last_one_who_wrote_counts() {
        let authors = Authors(Arc::default());
        let wrote = |pid, path: &str| Author { pid, path: path.to_owned(), ..Author::default() };
        for author in [wrote(1, "a"), wrote(2, "b"), wrote(3, "a")] {
            authors.add(author);
        }
        assert_eq!(authors.take(), [wrote(2, "b"), wrote(3, "a")]);
        assert_eq!(authors.take(), []);
        for pid in 0..=u32::try_from(MAX_AUTHORS).unwrap() {
            authors.add(wrote(pid, &pid.to_string()));
        }
        let kept = authors.take();
        assert_eq!((kept.len(), kept[0].pid), (MAX_AUTHORS, 1));
    }
}
