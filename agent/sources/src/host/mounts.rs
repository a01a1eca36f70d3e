//! Where the host's file systems are another machine's.

use std::ffi::OsString;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::{Host, Root};

/// File systems that may answer late or never: whoever touches one whose server is gone hangs with it.
const REMOTE: &[&str] = &[
    "9p",
    "afs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "fuse",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
    "autofs",
];

impl Host {
    /// The host's paths where network file systems (and what mounts them on demand) begin, from the reader's own mount
    /// table: looking does not touch them. The root itself is never one of them: it was asked for.
    pub fn remote_mounts(&self) -> Vec<PathBuf> {
        let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let root = match &self.root {
            Root::Live => PathBuf::from("/"),
            Root::Below(root) => match std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd())) {
                Ok(path) => path,
                Err(_) => return Vec::new(),
            },
        };
        let below = |mount: PathBuf| Some(Path::new("/").join(mount.strip_prefix(&root).ok()?));
        parse(&table).into_iter().filter_map(below).filter(|mount| mount != Path::new("/")).collect()
    }
}

/// The mount points of remote file systems in a mountinfo table (proc_pid_mountinfo(5)): the fifth field, and behind a
/// lone `-` the type.
pub(super) fn parse(table: &[u8]) -> Vec<PathBuf> {
    let of_line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let mount = fields.nth(4)?;
        let kind = std::str::from_utf8(fields.skip_while(|field| *field != b"-").nth(1)?).ok()?;
        is_remote(kind).then(|| PathBuf::from(unescape(mount)))
    };
    table.split(|byte| *byte == b'\n').filter_map(of_line).collect()
}

/// Of every file system in user space somebody must answer: `fuse.sshfs` and its like.
fn is_remote(kind: &str) -> bool {
    REMOTE.contains(&kind.split('.').next().unwrap_or(kind))
}

/// Blanks, tabs, line breaks and backslashes are written `\040` and so on.
pub(super) fn unescape(mut text: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let octal =
            rest.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(byte.unwrap_or(*first));
        text = if byte.is_some() { &rest[3..] } else { rest };
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_file_systems_are_told_by_their_type() {
        let table = b"23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      40 23 0:40 / /opt/my\\040tools ro shared:7 master:2 - nfs4 filer:/tools ro,vers=4.2\n\
                      41 23 0:41 / /srv rw - xfs /dev/sdb nfs\n\
                      42 23 0:42 / /home rw - autofs systemd-1 rw\nbroken line\n\
                      43 23 0:43 / /mnt rw - fuse.sshfs a:/ rw\n44 23 8:2 / /win rw - fuseblk /dev/sda2 rw\n";
        assert_eq!(parse(table), ["/opt/my tools", "/home", "/mnt"].map(PathBuf::from));
    }

    #[test]
    fn the_root_that_was_asked_for_is_not_remote() {
        assert!(!Host::live().remote_mounts().contains(&PathBuf::from("/")));
    }
}
