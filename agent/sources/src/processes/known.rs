//! Processes whose files were all there when their mappings were read last. To read the mappings of every process is
//! most of what a look at them takes; while each of these files is still the one that its name leads to, none of them
//! was replaced or deleted.
//!
//! A process may have mapped another file since: a share of them is read anew at each look, each within [`TURNS`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;

use crate::Host;
use crate::host::{Pid, Stat, file_at};

/// After so many looks, each process was read anew.
const TURNS: u32 = 8;
/// After so many looks, what is known is forgotten: files that nobody maps any more would be looked at for ever.
const LASTS: u32 = 64;

/// A file that is mapped, and its device and inode.
pub(super) type Mapped<'a> = (&'a str, (u64, u64));

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    turn: u32,
    processes: HashMap<Pid, Process>,
    /// Whether each is still what it was.
    files: Vec<(PathBuf, (u64, u64), bool)>,
    places: HashMap<PathBuf, u32>,
}

#[derive(Debug)]
struct Process {
    /// A number may be another process's by now, and a process may run another program.
    program: (u64, u64, (i64, i64)),
    files: Vec<u32>,
    turn: u32,
}

impl Known {
    /// A look begins: what is known of a machine that is looked at again and again.
    pub(super) fn begin(host: &Host) -> Self {
        let mut known: Self = host.recall().unwrap_or_default();
        known.turn += 1;
        if known.turn >= LASTS {
            known = Self::default();
        }
        for (path, was, same) in &mut known.files {
            *same = file_at(path).is_ok_and(|file| file == *was);
        }
        known
    }

    /// The look is over.
    pub(super) fn end(mut self, host: &Host) {
        let turn = self.turn;
        self.processes.retain(|_, process| process.turn == turn);
        host.remember(self);
    }

    /// Whether no file of this process, which runs this program, was replaced or deleted since it was read.
    pub(super) fn has_all(&mut self, pid: Pid, program: &Stat) -> bool {
        let Some(process) = self.processes.get_mut(&pid) else { return false };
        let same = process.program == identity(program) && pid % TURNS != self.turn % TURNS;
        let has_all = same && process.files.iter().all(|file| self.files[*file as usize].2);
        process.turn = self.turn;
        has_all
    }

    /// The files of this process are these, and all are there.
    pub(super) fn put<'a>(&mut self, pid: Pid, program: &Stat, mapped: impl Iterator<Item = Mapped<'a>>) {
        let mut files = Vec::new();
        for (path, file) in mapped {
            let at = if let Some(at) = self.places.get(Path::new(path)) {
                *at
            } else {
                let Ok(at) = u32::try_from(self.files.len()) else { return };
                self.files.push((path.into(), file, true));
                self.places.insert(path.into(), at);
                at
            };
            // The same name in two file systems: containers have their own.
            if self.files[at as usize].1 != file {
                self.processes.remove(&pid);
                return;
            }
            if !files.contains(&at) {
                files.push(at);
            }
        }
        files.shrink_to_fit();
        self.processes.insert(pid, Process { program: identity(program), files, turn: self.turn });
    }
}

fn identity(program: &Stat) -> (u64, u64, (i64, i64)) {
    (program.dev, program.ino, program.ctime)
}

/// Device and inode as a line of `/proc/PID/maps` has them: `fe:00 1234`.
pub(super) fn file_of(device: &str, inode: &str) -> Option<(u64, u64)> {
    let (major, minor) = device.split_once(':')?;
    let number = |hex| u64::from_str_radix(hex, 16).ok();
    Some((makedev(number(major)?, number(minor)?), inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Kind;

    fn program(ino: u64) -> Stat {
        Stat { dev: 1, ino, size: 3, ctime: (7, 0), mode: 0o755, kind: Kind::File }
    }

    /// Promise: a process is taken for granted only while its program and all of its files are what they were.
    #[test]
    fn whoever_has_all_files_need_not_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("lib.so");
        std::fs::write(&library, "1").unwrap();
        let path = library.to_str().unwrap();
        let host = Host::live().keeping();
        let mut known = Known::begin(&host);
        let file = file_at(&library).unwrap();
        // Not one of those that are read anew at the next looks.
        known.put(20, &program(1), [(path, file), (path, file)].into_iter());
        known.put(28, &program(1), [(path, file)].into_iter());
        known.put(28, &program(1), [(path, (9, 9))].into_iter());
        known.end(&host);
        let mut known = Known::begin(&host);
        assert!(known.has_all(20, &program(1)));
        assert!(
            !known.has_all(20, &program(2))
                && !known.has_all(28, &program(1))
                && !known.has_all(3, &program(1))
        );
        known.end(&host);
        std::fs::rename(directory.path().join("lib.so"), directory.path().join("old")).unwrap();
        let mut known = Known::begin(&host);
        assert!(!known.has_all(20, &program(1)));
        known.end(&host);
        std::fs::rename(directory.path().join("old"), directory.path().join("lib.so")).unwrap();
        let read_anew = |_| {
            let mut known = Known::begin(&host);
            let has_all = known.has_all(20, &program(1));
            known.end(&host);
            usize::from(!has_all)
        };
        assert_eq!((0..TURNS).map(read_anew).sum::<usize>(), 1);
    }

    #[test]
    fn devices_and_inodes_of_mappings() {
        assert_eq!(file_of("fe:01", "12"), Some((makedev(0xfe, 1), 12)));
        assert_eq!((file_of("fe", "12"), file_of("fe:01", "x")), (None, None));
    }
}
