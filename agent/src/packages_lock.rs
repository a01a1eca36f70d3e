//! Whether a package manager is at work: what it has done so far is neither the old state nor the new one.

use evenkeel_sources::Host;

/// Files that package managers lock while they change what is installed: dpkg and apt, rpm and dnf, apk.
const LOCKS: &[&str] = &[
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/rpm/.rpm.lock",
    "/usr/lib/sysimage/rpm/.rpm.lock",
    "/lib/apk/db/lock",
];
/// A line has 60 bytes; a machine with 10,000 locks has other worries.
const MAX_BYTES: usize = 1024 * 1024;

/// Whether one is at work now, as far as can be seen: the kernel lists the locks of processes that the reader can see.
pub fn is_held(host: &Host) -> bool {
    let files = || LOCKS.iter().filter_map(|path| host.stat(path).ok()).map(|stat| (stat.dev, stat.ino));
    host.read_text("/proc/locks", MAX_BYTES)
        .is_ok_and(|locks| names_one(&locks, &files().collect::<Vec<_>>()))
}

/// Whether one of these files (device and inode) has a lock: `1: POSIX  ADVISORY  WRITE 3212 fe:00:393823 0 EOF`
/// (proc_locks(5)).
fn names_one(locks: &str, files: &[(u64, u64)]) -> bool {
    locks.lines().filter_map(file_of).any(|(major, minor, inode)| {
        files.iter().any(|(dev, own)| {
            // On btrfs and overlayfs files show other devices than their locks do, all of them without a driver.
            let same = (nix::sys::stat::major(*dev), nix::sys::stat::minor(*dev)) == (major, minor);
            *own == inode && (same || major == 0)
        })
    })
}

fn file_of(line: &str) -> Option<(u64, u64, u64)> {
    // Behind the number of a lock that waits for another stands `->`.
    let mut parts = line.split_ascii_whitespace().filter(|word| *word != "->").nth(5)?.split(':');
    let device = |part: Option<&str>| u64::from_str_radix(part?, 16).ok();
    Some((device(parts.next())?, device(parts.next())?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_told_by_its_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 3212 fe:01:393823 0 EOF\n1: -> FLOCK ADVISORY WRITE 9 00:1a:7 0 EOF\nx\n";
        let dev = |major, minor| nix::sys::stat::makedev(major, minor);
        assert!(names_one(locks, &[(dev(0xfe, 1), 393_823)]));
        assert!(!names_one(locks, &[(dev(0xfe, 2), 393_823)]));
        assert!(!names_one(locks, &[(dev(0xfe, 1), 393_824)]));
        assert!(names_one(locks, &[(dev(0, 0x30), 7)]));
        assert!(!names_one("", &[(0, 0)]));
    }
}
