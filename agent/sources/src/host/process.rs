//! The programs of running processes.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use evenkeel_facts::Reason;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat, stat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::{Access, Host, Kind, READ, Root, Stat, read_to_end};

/// The number of a process.
pub type Pid = u32;

impl Host {
    /// Why a file of /proc that is not there says nothing: /proc itself is not to be seen from here (a root without it, an empty
    /// one), or this kernel has no such file.
    pub fn why_not_in_proc(&self) -> Reason {
        if self.exists("/proc/sys/kernel/osrelease") { Reason::Unsupported } else { Reason::Sandbox }
    }

    /// The processes that run now, by number.
    pub fn processes(&self) -> io::Result<Vec<Pid>> {
        self.list_numbers(Path::new("/proc"))
    }

    /// Opens the program that a process runs, even one whose file was replaced or deleted since. `NotFound` when the
    /// process is gone or has no program (kernel threads).
    ///
    /// `/proc/PID/exe` is a magic link and leads wherever the program lies, also out of a `--root`: it is followed only
    /// where `/proc` truly is the kernel's. In a recorded host it is a plain file.
    pub fn open_exe(&self, pid: Pid) -> io::Result<File> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let link = directory.join("exe");
        self.noting(&link, Access::Program, || {
            if let Some(errno) = self.refusals.get(&link) {
                return Err((*errno).into());
            }
            let process = self.open(&directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            if fstatfs(&process)?.filesystem_type() == PROC_SUPER_MAGIC {
                open_program(&process).map_err(gone)
            } else {
                self.reopen_regular(&link)
            }
        })
    }

    /// Opens a regular file as a process sees it: in the root of its container. Below a `--root` only where `/proc` truly
    /// is the kernel's; links never lead out of the process's root.
    pub fn open_as_seen_by(&self, pid: Pid, path: &Path) -> io::Result<File> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let process = self.open(&directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        if fstatfs(&process)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(io::ErrorKind::NotFound.into());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = openat(&process, "root", flags, Mode::empty()).map_err(|errno| gone(errno.into()))?;
        Self::with(Root::Below(root)).reopen_regular(path)
    }

    /// What the program of a process is, without opening it: many processes run the same one. Fails as
    /// [`Host::open_exe`] does.
    pub fn stat_exe(&self, pid: Pid) -> io::Result<Stat> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let link = directory.join("exe");
        let look = || {
            if let Some(errno) = self.refusals.get(&link) {
                return Err((*errno).into());
            }
            if self.is_live() {
                return Ok(Stat::of(&stat(&link)?));
            }
            let process = self.open(&directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            if fstatfs(&process)?.filesystem_type() == PROC_SUPER_MAGIC {
                Ok(Stat::of(&fstatat(&process, "exe", AtFlags::empty())?))
            } else {
                Ok(Stat::of(&fstat(self.open(&link, OFlag::O_PATH)?)?))
            }
        };
        self.note_place(&link, Access::Program);
        let outcome = look().map_err(gone);
        // A refusal is part of a recording; of a program that was only looked at there is nothing to record.
        if let (Some(log), Err(error)) = (&self.log, &outcome) {
            log.note(&link, Access::Program, Some(error));
        }
        outcome
    }
}

/// Device and inode of the file that a path of the live machine leads to. Not noted: it is asked of files that are of
/// interest for other reasons.
pub(crate) fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let Stat { dev, ino, .. } = Stat::of(&stat(path)?);
    Ok((dev, ino))
}

/// The held directory is the process itself, not its number; that its start time stays the same says that what was
/// opened is its program and not that of a later process of the same number.
fn open_program(process: &OwnedFd) -> io::Result<File> {
    let before = start_time(process)?;
    let program = File::from(openat(process, "exe", READ | OFlag::O_CLOEXEC, Mode::empty())?);
    if Stat::of(&fstat(&program)?).kind != Kind::File {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if start_time(process)? != before {
        return Err(Errno::ESRCH.into());
    }
    Ok(program)
}

fn start_time(process: &OwnedFd) -> io::Result<u64> {
    let stat = openat(process, "stat", READ | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = read_to_end(stat.into(), 4096)?;
    parse_start_time(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Field 22 of `/proc/PID/stat`, in clock ticks since boot (proc_pid_stat(5)). The second field, the command's name in
/// parentheses, may itself hold blanks and parentheses.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let field =
        stat[behind_name..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(19)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn gone(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(Errno::ESRCH as i32) { io::ErrorKind::NotFound.into() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_stands_behind_whatever_the_name_is() {
        let stat = b"7 (a) b (1) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n";
        assert_eq!(parse_start_time(stat), Some(4711));
        assert_eq!(parse_start_time(b"7 (a"), None);
        assert_eq!(parse_start_time(b"7 (a) S 1"), None);
    }

    #[test]
    fn own_program_is_found_among_the_running() {
        let host = Host::live();
        let own = std::process::id();
        assert!(host.processes().unwrap().contains(&own));
        let program = host.open_exe(own).unwrap();
        let seen = program.metadata().unwrap().len();
        assert_eq!(seen, std::fs::metadata(std::env::current_exe().unwrap()).unwrap().len());
    }

    #[test]
    fn a_process_that_is_not_there_is_not_found() {
        let error = Host::live().open_exe(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
