//! Who writes the kernel's files, told by the kernel when they are written (fanotify, Linux 4.20 and later). It needs
//! CAP_SYS_ADMIN, and is asked for. Best effort: a process that ends at once may be gone before it can be looked at.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use evenkeel_facts::Author;
use evenkeel_facts::author::{MAX_AUTHORS, MAX_TEXT_BYTES};
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};

/// The kernel's file systems whose files are settings.
const FILE_SYSTEMS: [&str; 2] = ["proc", "sys"];
const PARAMETERS: &str = "/proc/sys";
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";
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
    let pid = u32::try_from(event.pid()).ok().filter(|pid| *pid != std::process::id())?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    // First what goes with the process, then what stays.
    let command = read(&process.join("comm")).unwrap_or_default();
    let [status, login, group] = ["status", "loginuid", "cgroup"].map(|file| read(&process.join(file)));
    let network = fs::read_link(process.join("ns/net"));
    let file = fs::read_link(format!("/proc/self/fd/{}", event.fd()?.as_raw_fd())).ok()?;
    let file = Path::new("/").join(file.strip_prefix(root).ok()?);
    if file.starts_with("/proc") && !file.starts_with(PARAMETERS) {
        return None;
    }
    // Each network namespace has its own files of the same names.
    if file.starts_with("/proc/sys/net")
        && let (Ok(own), Ok(other)) = (fs::read_link("/proc/self/ns/net"), network)
        && own != other
    {
        return None;
    }
    let users = || read(&root.join("etc/passwd")).unwrap_or_default();
    let named = |id: u32| user_name(&users(), id).unwrap_or_else(|| id.to_string());
    let login = login.and_then(|text| text.trim().parse().ok()).filter(|id| *id != NOBODY);
    let author = Author {
        path: fact_of(&file),
        pid,
        command: command.trim_end().to_owned(),
        user: status.as_deref().and_then(user_of).map(named).unwrap_or_default(),
        login: login.map(named).unwrap_or_default(),
        unit: group.as_deref().and_then(unit_of).unwrap_or_default(),
    };
    Some(harmless(author))
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The fact that a kernel parameter's file is, by the rule of source `sysctl`; or one of transparent huge pages, as source
/// `kernel` names it; of another file its path.
fn fact_of(file: &Path) -> String {
    if let Ok(name) = file.strip_prefix(HUGE_PAGES) {
        return format!("kernel.thp.{}", name.to_string_lossy());
    }
    let Ok(parameter) = file.strip_prefix(PARAMETERS) else { return file.to_string_lossy().into_owned() };
    let names = parameter.iter().map(|name| name.to_string_lossy().replace('.', "/"));
    format!("sysctl.{}", names.collect::<Vec<_>>().join("."))
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

/// The container or systemd unit in `/proc/PID/cgroup`: the innermost `….service` or `….scope`, or a container's id as
/// docker, containerd, CRI-O and podman write it into the path.
fn unit_of(groups: &str) -> Option<String> {
    let paths = || groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let is_id = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = |name: &str| name.split(['-', '.']).find(is_id).map(|id| format!("container {}", &id[..12]));
    if let Some(container) = paths().flat_map(|path| path.rsplit('/')).find_map(id) {
        return Some(container);
    }
    let is_unit = |name: &&str| [".service", ".scope"].iter().any(|kind| name.ends_with(kind));
    paths().flat_map(|path| path.rsplit('/')).find(is_unit).map(str::to_owned)
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
    fn files_are_facts() {
        for (file, fact) in [
            ("/proc/sys/net/core/somaxconn", "sysctl.net.core.somaxconn"),
            ("/proc/sys/net/ipv4/conf/eth0.1/forwarding", "sysctl.net.ipv4.conf.eth0/1.forwarding"),
            ("/sys/kernel/mm/transparent_hugepage/enabled", "kernel.thp.enabled"),
            ("/sys/kernel/mm/ksm/run", "/sys/kernel/mm/ksm/run"),
        ] {
            assert_eq!(fact_of(Path::new(file)), fact);
        }
    }

    #[test]
    fn units_and_containers_are_told_by_the_control_group() {
        let id = "3f2a".repeat(16);
        for (groups, unit) in [
            ("0::/system.slice/ssh.service\n".to_owned(), Some("ssh.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vi.scope".to_owned(),
                Some("vi.scope"),
            ),
            (
                "12:pids:/user.slice\n1:name=systemd:/user.slice/session-3.scope\n".to_owned(),
                Some("session-3.scope"),
            ),
            (format!("0::/system.slice/docker-{id}.scope"), Some("container 3f2a3f2a3f2a")),
            (format!("4:cpu:/docker/{id}\n0::/\n"), Some("container 3f2a3f2a3f2a")),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
                Some("container 3f2a3f2a3f2a"),
            ),
            ("0::/\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(unit_of(&groups).as_deref(), unit, "{groups}");
        }
    }

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
