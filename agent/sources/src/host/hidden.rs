//! What the agent's own sandbox hides: systemd covers directories with empty ones that nobody may enter, with an empty
//! file system in memory, or with a private directory. Whoever looks there would take for absent what is only hidden.
//!
//! All of it stands in the reader's own mount table (proc_pid_mountinfo(5)), which needs no permission. A home in memory
//! with nothing in it counts as hidden, too: nobody can tell it from one that is.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use evenkeel_facts::observation::HiddenBySandbox;
use nix::errno::Errno;

use super::mounts::{self, unescape};
use super::{Host, Root};
use crate::directories::lexical;

/// As many links are followed to a hidden place.
const MAX_LINKS: usize = 8;
/// What is not there when /proc shows processes only (`subset=pid`): files that sources read.
const NO_PROCESSES: &[&str] = &["sys", "cmdline", "modules", "cpuinfo", "meminfo", "mounts", "locks"];

/// A place that the agent's own sandbox hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Where it begins.
    pub path: PathBuf,
    /// The setting of systemd.exec(5) that hides it.
    pub setting: &'static str,
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.setting)
    }
}

impl Host {
    /// The places that the agent's own sandbox hides. Below a root none are: it was asked for as it is.
    pub fn hidden(&self) -> &[Hidden] {
        &self.hidden
    }

    /// Refuses what lies in a hidden place.
    pub(super) fn refuse_hidden(&self, path: &Path) -> io::Result<()> {
        if self.hidden.iter().any(|hidden| lies_below(path, &hidden.path)) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, HiddenBySandbox));
        }
        Ok(())
    }

    /// What an error really means: of a path whose links lead into a hidden place, that it is hidden.
    pub(super) fn unless_hidden(&self, path: &Path, error: Errno) -> io::Error {
        // The links of /proc lead to processes: many of these may not be looked at, and none is hidden by itself.
        if !self.hidden.is_empty()
            && !path.starts_with("/proc")
            && matches!(self.root, Root::Live)
            && matches!(error, Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR)
            && let Err(hidden) = self.refuse_hidden(&without_links(path))
        {
            return hidden;
        }
        error.into()
    }
}

/// The hidden places of this process.
pub(super) fn of_this_process() -> Vec<Hidden> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let is_empty = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let mut hidden = parse(&table, is_empty);
    if hidden.is_empty() {
        return hidden;
    }
    // Where `/lib` leads to `/usr/lib`, what is hidden has two names.
    let links = std::fs::read_dir("/").into_iter().flatten().flatten().filter_map(|entry| {
        let link = entry.path();
        let target = lexical(&Path::new("/").join(std::fs::read_link(&link).ok()?));
        Some((link, target))
    });
    for (link, target) in links.collect::<Vec<_>>() {
        let below = |of: &Hidden| {
            let rest = of.path.strip_prefix(&target).ok()?;
            Some(Hidden { path: link.join(rest), setting: of.setting })
        };
        let also: Vec<_> = hidden.iter().filter_map(below).collect();
        hidden.extend(also);
    }
    hidden
}

struct Mount<'a> {
    /// Which directory of the file system is shown.
    root: &'a [u8],
    point: PathBuf,
    options: &'a [u8],
    kind: &'a [u8],
    super_options: &'a [u8],
}

/// What a mount table (proc_pid_mountinfo(5)) says: where remote file systems begin, and what a sandbox hides. `is_empty`
/// looks into a directory.
pub fn told_by_mounts(table: &[u8], is_empty: impl Fn(&Path) -> bool) -> (Vec<PathBuf>, Vec<Hidden>) {
    (mounts::parse(table), parse(table, is_empty))
}

/// `is_empty` looks into a directory: only what is mounted there tells a home in memory from one that is hidden.
fn parse(table: &[u8], is_empty: impl Fn(&Path) -> bool) -> Vec<Hidden> {
    let mounts: Vec<Mount<'_>> = table.split(|byte| *byte == b'\n').filter_map(mount).collect();
    let mut hidden = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        // What is mounted over it later counts, not this.
        if mounts[index + 1..].iter().any(|later| later.point == mount.point) {
            continue;
        }
        if mount.point == Path::new("/proc") && has_option(mount.super_options, "subset=pid") {
            let files = NO_PROCESSES.iter().map(|name| mount.point.join(name));
            hidden.extend(files.map(|path| Hidden { path, setting: "ProcSubset=pid" }));
        }
        if let Some(setting) = setting(mount, &mounts, &is_empty) {
            hidden.push(Hidden { path: mount.point.clone(), setting });
        }
    }
    hidden
}

fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = PathBuf::from(unescape(fields.next()?));
    let options = fields.next()?;
    let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = behind.next()?;
    let super_options = behind.nth(1).unwrap_or_default();
    Some(Mount { root, point, options, kind, super_options })
}

/// The setting that made this mount, if it hides what is below it.
fn setting(mount: &Mount<'_>, all: &[Mount<'_>], is_empty: impl Fn(&Path) -> bool) -> Option<&'static str> {
    let root = String::from_utf8_lossy(mount.root);
    let is_home = ["/home", "/root", "/run/user"].iter().any(|home| mount.point == Path::new(home));
    // Of `/run/systemd`, and in a container of systemd's of `/run/host`.
    if ["dir", "reg"].iter().any(|kind| root.ends_with(&format!("/inaccessible/{kind}"))) {
        let are_modules = mount.point.ends_with("lib/modules");
        return Some(match (is_home, are_modules) {
            (true, _) => "ProtectHome=",
            (_, true) => "ProtectKernelModules=",
            _ => "InaccessiblePaths=",
        });
    }
    if root.split('/').any(|name| name.starts_with("systemd-private-")) {
        return Some("PrivateTmp=");
    }
    let holds = |other: &Mount<'_>| other.point != mount.point && other.point.starts_with(&mount.point);
    if mount.kind != b"tmpfs" || mount.point == Path::new("/") || all.iter().any(holds) {
        return None;
    }
    if is_home {
        return is_empty(&mount.point).then_some("ProtectHome=");
    }
    // Read-only memory without anything in it: a cover. The kernel's own places have such for other reasons.
    let kernels = ["/proc", "/sys", "/dev", "/run"].iter().any(|of| mount.point.starts_with(of));
    (has_option(mount.options, "ro") && !kernels).then_some("TemporaryFileSystem=")
}

fn has_option(options: &[u8], wanted: &str) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == wanted.as_bytes())
}

/// As `Path::starts_with`, which is slower: this is asked for each file.
fn lies_below(path: &Path, directory: &Path) -> bool {
    let (path, directory) = (path.as_os_str().as_bytes(), directory.as_os_str().as_bytes());
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Where a path leads, as far as its links can be read.
fn without_links(path: &Path) -> PathBuf {
    let mut path = lexical(path);
    for _ in 0..MAX_LINKS {
        // The root itself is no link.
        let mut prefixes: Vec<_> = path.ancestors().filter(|prefix| prefix.parent().is_some()).collect();
        prefixes.reverse();
        let link = prefixes.into_iter().find_map(|prefix| Some((prefix, std::fs::read_link(prefix).ok()?)));
        let Some((prefix, target)) = link else { break };
        let rest = path.strip_prefix(prefix).unwrap_or(Path::new(OsStr::new("")));
        path = lexical(&prefix.parent().unwrap_or(Path::new("/")).join(target).join(rest));
    }
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Lines of real units' tables (systemd 252, also in a container; ProtectHome=yes or tmpfs, ProtectKernelModules=, PrivateTmp=,
    /// ProcSubset=pid), and of things that look alike.
    #[test]
    fn hidden_places_are_told_by_the_mount_table() {
        let table = b"\
60 40 0:24 /systemd/inaccessible/dir /home ro,nosuid,nodev,noexec shared:3 master:1 - tmpfs tmpfs rw,mode=755\n\
61 40 0:24 /systemd/inaccessible/dir /usr/lib/modules ro,nosuid,noexec - tmpfs tmpfs rw,mode=755\n\
62 40 0:24 /systemd/inaccessible/reg /etc/shadow ro - tmpfs tmpfs rw,mode=755\n\
63 40 8:1 /tmp/systemd-private-0a1b-evenkeel-agent.service-x/tmp /tmp rw - ext4 /dev/sda1 rw\n\
64 40 0:50 / /root rw,relatime shared:132 - tmpfs tmpfs rw\n\
368 318 0:49 /host/inaccessible/dir /lib/modules ro,nosuid shared:133 master:8 - tmpfs tmpfs rw,mode=755\n\
73 40 0:56 / /run/user rw - tmpfs tmpfs rw\n\
65 40 0:51 / /opt/cover ro - tmpfs tmpfs rw\n\
66 40 0:52 / /opt/memory rw - tmpfs tmpfs rw\n\
67 40 0:53 / /opt/shelf ro - tmpfs tmpfs rw\n\
68 67 8:2 / /opt/shelf/disk ro - ext4 /dev/sdb rw\n\
69 40 0:54 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
70 40 0:55 / /srv/late ro - tmpfs tmpfs rw\n\
71 40 8:3 / /srv/late rw - ext4 /dev/sdc rw\n\
72 40 0:22 / /proc rw - proc proc rw,hidepid=invisible,subset=pid\n\
broken\n";
        let told: Vec<_> =
            parse(table, |path| path == Path::new("/root")).iter().map(Hidden::to_string).collect();
        let mut expected = [
            "/home (ProtectHome=)",
            "/usr/lib/modules (ProtectKernelModules=)",
            "/etc/shadow (InaccessiblePaths=)",
            "/tmp (PrivateTmp=)",
            "/root (ProtectHome=)",
            "/lib/modules (ProtectKernelModules=)",
            "/opt/cover (TemporaryFileSystem=)",
        ]
        .map(str::to_owned)
        .to_vec();
        expected.extend(NO_PROCESSES.iter().map(|name| format!("/proc/{name} (ProcSubset=pid)")));
        assert_eq!(told, expected);
    }

    /// Promise: what lies in a hidden place is never absent, whichever way leads there.
    #[test]
    fn what_is_hidden_is_never_absent() {
        use evenkeel_facts::Reason;

        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("covered")).unwrap();
        symlink("covered/none", at("link")).unwrap();
        symlink(at("link"), at("second")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let mut host = Host::live();
        host.hidden = vec![Hidden { path: at("covered"), setting: "InaccessiblePaths=" }];
        let reason = |name: &str| Reason::of_io(&host.read(at(name), 1).unwrap_err());
        for name in ["covered", "covered/none", "link", "second/x"] {
            assert_eq!(reason(name), Some(Reason::Sandbox), "{name}");
        }
        assert!(host.list(at("covered")).is_err() && !host.exists(at("covered")));
        for name in ["covered-not", "dangling", "none"] {
            assert_eq!(reason(name), None, "{name}");
        }
        let files = host.files(root.path(), |_| true).unwrap();
        let refused = |name: &str| {
            let (_, stat) = files.iter().find(|(file, _)| file.name == *name).unwrap();
            Reason::of_io(stat.as_ref().unwrap_err())
        };
        assert_eq!((refused("link"), refused("dangling")), (Some(Reason::Sandbox), None));
    }
}
