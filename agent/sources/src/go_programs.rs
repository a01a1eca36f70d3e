//! Source `go_programs`: the Go programs on disk and those that run, and what each was built from.
//!
//! Looked into are the directories of the default `PATH` (`/usr/local/bin`, `/usr/bin`, `/usr/sbin` …), `/opt/*`,
//! `/opt/*/bin` and `/opt/*/*/bin`, those that are configured, and the program of every running process, be its file
//! still on disk or not. Go's own tree (`/usr/local/go`) is the business of source `go_toolchain`. Only regular files
//! of a size that a Go program can have are opened, one page of each is read to see whether it is an ELF program;
//! network file systems are not touched.
//!
//! Facts are keyed by main package and not by path, so that a program is compared with itself wherever it was put:
//! `go.program[github.com/acme/pay].go_version`, `.go_vendor`, `.go_experiment`, `.version` (of the main module),
//! `.main_module`, `.module[PATH]`, `.setting[NAME]`; and `.restart_pending` while a process runs a build whose file was
//! replaced or deleted: `running go1.20.1 v1.4.0, on disk go1.21.6 v1.5.0`. A program whose main package has no name (built from loose files
//! or without modules) is keyed by its file's name. Several builds of one program on a node are one value, sorted and
//! joined by ` | `; a build without that value counts as `(none)`. `.zone[NAME]` is when the local clock jumps by the copy of
//! the time zone database that a running program carries, if it does; of programs that do not run nobody looks for it.
//!
//! What may hide programs is said without making every known program unknown:
//!
//! - `go.program_directory[DIR]` is unreadable: the directory is there but cannot be listed
//! - `go.program_file[PATH]` is unreadable: a file cannot be read, is malformed, or is a Go program without build info
//! - `go.process[NAME]` is unreadable: the same for a running program whose file is in no directory looked into
//! - `go.process` is unreadable: the programs of some processes cannot be seen. This is what an agent without
//!   CAP_SYS_PTRACE sees of other users' processes: one fact, however many processes
//! - `go.program` is unreadable (`partial`): one of the above, or `go.program_directory`, hides something, so a program
//!   that was not seen may be there all the same: it is neither absent nor missing
//! - `go.program` is unreadable for another reason: no directory could be listed
//!
//! An agent that looks again and again, and that is told what is written, goes through a directory that has not changed
//! every ten minutes: in between it looks only at links, and at the files that are Go programs.

mod facts;
mod known;
mod settings;
mod unchanged;
mod zones;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};
use jiff::Timestamp;
use nix::errno::Errno;

use crate::directories::Directories;
use crate::go_buildinfo::BuildInfo;
use crate::host::{Kind, Pid, Stat};
use crate::{Budget, Declared, Host, Source, SourcesConfig, time};
use facts::{OnDisk, Programs};
use known::{is_known_to_be_other, read};
use unchanged::Unchanged;

/// Where programs are looked for, configured directories apart.
const DIRECTORIES: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/*",
    "/opt/*/bin",
    "/opt/*/*/bin",
];

/// Smaller files of a running machine are not opened, in bytes. An empty program without symbols has three times as
/// many (seen: Go 1.19 to 1.27, 32 and 64 bits). Those of recorded hosts are made small.
const SMALLEST: u64 = 256 * 1024;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "go.program[MAIN PACKAGE].go_version", what: "the Go that built it", from: "build info in the program's file, on disk or running" },
    Declared { path: "go.program[MAIN PACKAGE].go_vendor", what: "who built that Go, if not the Go project", from: "the same" },
    Declared { path: "go.program[MAIN PACKAGE].go_experiment", what: "GOEXPERIMENTs of the build", from: "the same" },
    Declared { path: "go.program[MAIN PACKAGE].version", what: "of the main module", from: "the same" },
    Declared { path: "go.program[MAIN PACKAGE].main_module", what: "its path", from: "the same" },
    Declared { path: "go.program[MAIN PACKAGE].module[PATH]", what: "version of a dependency, and what replaces it", from: "the same" },
    Declared { path: "go.program[MAIN PACKAGE].setting[NAME]", what: "a build setting", from: "the same" },
    Declared { path: "go.program[MAIN PACKAGE].restart_pending", what: "what runs and what its file has become since", from: "/proc/PID/exe, /proc/PID/root" },
    Declared { path: "go.program[MAIN PACKAGE].zone[NAME]", what: "when this machine's zone jumps, by the copy of the database in a running program", from: "the program's constants" },
    Declared { path: "go.program_directory[DIR]", what: "unreadable: programs may be in there", from: "" },
    Declared { path: "go.program_file[PATH]", what: "unreadable: may be a Go program", from: "" },
    Declared { path: "go.process[NAME]", what: "unreadable: may run a Go program", from: "" },
];

/// See the module.
#[derive(Debug)]
pub struct GoPrograms;

impl Source for GoPrograms {
    fn name(&self) -> &'static str {
        "go_programs"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["go.program", "go.process"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, config: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut search = Search {
            host,
            budget,
            section: SectionBuilder::new("go_programs"),
            programs: Programs::default(),
            seen: BTreeSet::new(),
            zone: time::zone_name(host),
            unchanged: host.recall().unwrap_or_default(),
        };
        let directories = search.directories(&config.go_programs.directories);
        host.remember(std::mem::take(&mut search.unchanged));
        search.processes();
        let Search { mut section, programs, .. } = search;
        let found_none = programs.is_empty();
        programs.note(&mut section, budget);
        let hidden = section.find("go.process").is_some() || section.hides("go.program_directory");
        match directories {
            Err(reason) => section.unreadable(FactPath::known("go.program"), reason),
            // Programs that were seen are known all the same; one that was not may be where nobody could look.
            Ok(()) if hidden => section.unreadable(FactPath::known("go.program"), Reason::Partial),
            // Nobody could conclude it from the source's name: the first word of its facts is another.
            Ok(()) if found_none => section.observe(FactPath::known("go.program"), Observation::Absent),
            Ok(()) => &mut section,
        };
        vec![section.finish()]
    }
}

/// A file's content, as far as the system tells without reading it: device, inode, size, and time of change.
type Identity = (u64, u64, u64, (i64, i64));

struct Search<'a> {
    host: &'a Host,
    budget: &'a Budget,
    section: SectionBuilder,
    programs: Programs,
    seen: BTreeSet<Identity>,
    /// The machine's time zone, where it can be told.
    zone: Option<String>,
    /// The directories that were gone through not long ago.
    unchanged: Unchanged,
}

impl Search<'_> {
    /// Looks into the directories. `Err`: there are some, and none could be listed.
    fn directories(&mut self, configured: &[PathBuf]) -> Result<(), Reason> {
        let usual = DIRECTORIES.iter().map(PathBuf::from);
        let mut directories = Directories::of(self.host);
        let mut listed = false;
        for directory in directories.expand(usual.chain(configured.iter().cloned())) {
            match self.directory(&directory, &directories) {
                Ok(()) => listed = true,
                Err(reason) => directories.unseen.push((directory, reason)),
            }
        }
        for (directory, reason) in &directories.unseen {
            let path = FactPath::keyed("go.program_directory", &directory.to_string_lossy());
            self.section.unreadable(path, *reason);
        }
        match directories.unseen.first() {
            Some((_, reason)) if !listed => Err(*reason),
            _ => Ok(()),
        }
    }

    fn directory(&mut self, directory: &Path, all: &Directories<'_>) -> Result<(), Reason> {
        self.budget.spend(0)?;
        // Before it is listed: a change in between is one to the next look.
        let stat = self.host.stat(directory);
        let may_follow = |name: &OsStr| !all.is_remote(&directory.join(name));
        let known = stat.as_ref().ok().and_then(|stat| self.unchanged.take(directory, stat));
        let (files, since) = match known {
            Some(known) => (self.host.files_of(directory, known.entries, may_follow), known.since),
            None => (self.host.files(directory, may_follow), Instant::now()),
        };
        let files = match files {
            Ok(files) => files,
            Err(error) => return Reason::of_io(&error).map_or(Ok(()), Err),
        };
        let mut again = Vec::new();
        for (entry, stat) in files {
            self.budget.spend(0)?;
            let path = directory.join(&entry.name);
            let is_of_interest = self.file(&path, stat).unwrap_or_else(|reason| {
                self.section.unreadable(FactPath::keyed("go.program_file", &path.to_string_lossy()), reason);
                true
            });
            if is_of_interest || entry.kind == Kind::Symlink {
                again.push(entry);
            }
        }
        if let Ok(stat) = stat {
            self.unchanged.put(directory, &stat, since, again);
        }
        Ok(())
    }

    /// Looks at one file. Whether it is to be looked at again also where its directory has not changed: not what is no
    /// program of Go's.
    fn file(&mut self, path: &Path, stat: io::Result<Stat>) -> Result<bool, Reason> {
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = match stat {
            Ok(stat) if stat.kind != Kind::File || stat.size < self.smallest() => return Ok(false),
            Ok(stat) if !self.is_new(&stat) => return Ok(true),
            Ok(stat) if is_known_to_be_other(self.host, &stat) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Err(error),
            // What could not be looked at is asked for again, so that a recorded host has the refusal.
            _ => self.host.open_regular(path),
        };
        match file {
            Ok(file) => self.program(&file, name),
            // A link in circles is no program, nor is one that leads nowhere; and a file may be gone by now.
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => Ok(true),
            Err(error) => Reason::of_io(&error).map_or(Ok(true), Err),
        }
    }

    /// Looks at the programs of running processes.
    fn processes(&mut self) {
        let pids = match self.host.processes() {
            Ok(pids) => pids,
            Err(error) => {
                if let Some(reason) = Reason::of_io(&error) {
                    self.section.unreadable(FactPath::known("go.process"), reason);
                }
                return;
            }
        };
        // Every PID namespace has a first process. If it is not listed, /proc hides processes (`hidepid=`).
        let hidden = self.host.is_live() && !pids.contains(&1);
        let mut denied = hidden.then_some(Reason::Permission);
        for pid in pids {
            if let Err(reason) = self.budget.spend(0) {
                denied = Some(reason);
                break;
            }
            // Most are known already, or the kernel's own.
            match self.host.stat_exe(pid) {
                Ok(stat) if is_known_to_be_other(self.host, &stat) => continue,
                Err(error) if Reason::of_io(&error).is_none() => continue,
                // One more that may not be looked at says nothing new.
                Err(error) if denied.is_some() && Reason::of_io(&error) == Some(Reason::Permission) => {
                    continue;
                }
                Ok(_) | Err(_) => {}
            }
            let name =
                || self.host.read_text(format!("/proc/{pid}/comm"), 64).map(|name| name.trim().to_owned());
            match self.host.open_exe(pid) {
                Ok(program) => {
                    let name = name().unwrap_or_default();
                    if let Err(reason) = self.running(pid, &program, &name) {
                        self.section.unreadable(FactPath::keyed("go.process", &name), reason);
                    }
                }
                Err(error) => {
                    denied = denied.or_else(|| Reason::of_io(&error).filter(|_| !self.has_no_program(pid)));
                }
            }
        }
        if let Some(reason) = denied {
            self.section.unreadable(FactPath::known("go.process"), reason);
        }
    }

    /// Adds a running program. Go's own commands are a build at work, not something that was deployed here: they
    /// would come and go with every build, and `go_toolchain` speaks of them.
    fn running(&mut self, pid: Pid, program: &File, name: &str) -> Result<(), Reason> {
        match read(self.host, program) {
            Ok(Some(info)) if !info.path.starts_with("cmd/") => {
                if let Some(pending) = self.pending(pid, &info) {
                    self.programs.restart_pending(&info, name, pending);
                }
                if let Some(zone) = &self.zone
                    && let Some(seen) = zones::transitions_of(self.host, program, zone, Timestamp::now())
                {
                    self.programs.zone(&info, name, zone, seen);
                }
                self.programs.add(info, || name.to_owned());
            }
            Ok(_) => {}
            Err(error) => return Err(error.reason()),
        }
        Ok(())
    }

    /// What the next start of a running program brings, if its file was replaced by another build or deleted. The file is
    /// looked for where the process sees it, be that in a container.
    fn pending(&self, pid: Pid, running: &BuildInfo) -> Option<String> {
        let link = self.host.read_link(format!("/proc/{pid}/exe")).ok()?;
        let path = link.to_str()?.strip_suffix(" (deleted)")?;
        let on_disk = match self.host.open_as_seen_by(pid, Path::new(path)) {
            Ok(file) => match read(self.host, &file) {
                Ok(Some(info)) => OnDisk::Program(Box::new(info)),
                Ok(None) | Err(_) => OnDisk::SomethingElse,
            },
            Err(error) if Reason::of_io(&error).is_none() => OnDisk::Nothing,
            Err(_) => OnDisk::SomethingElse,
        };
        // The same build put there again is no change.
        let same = matches!(&on_disk, OnDisk::Program(info) if **info == *running)
            && !facts::is_unversioned(running);
        (!same).then(|| facts::replaced(running, &on_disk))
    }

    /// Whether a process is the kernel's own, or has ended: these have no program, but only the superuser is told so.
    fn has_no_program(&self, pid: Pid) -> bool {
        match self.host.read_text(format!("/proc/{pid}/stat"), 4096) {
            Ok(stat) => state_and_flags(&stat)
                .is_some_and(|(state, flags)| state == "Z" || flags & KERNEL_THREAD != 0),
            Err(error) => Reason::of_io(&error).is_none(),
        }
    }

    /// No smaller file is opened.
    fn smallest(&self) -> u64 {
        if self.host.is_live() { SMALLEST } else { 0 }
    }

    /// Whether this file was not met before.
    fn is_new(&mut self, stat: &Stat) -> bool {
        let Stat { dev, ino, size, ctime, .. } = *stat;
        self.seen.insert((dev, ino, size, ctime))
    }

    /// Adds a program, if it is Go's. Whether it is.
    fn program(&mut self, file: &File, name: impl FnOnce() -> String) -> Result<bool, Reason> {
        match read(self.host, file) {
            Ok(Some(info)) => {
                self.programs.add(info, name);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(error.reason()),
        }
    }
}

/// In a process's flags: a kernel thread (`PF_KTHREAD` of linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Fields 3 and 9 of `/proc/PID/stat` (proc_pid_stat(5)), behind the command's name in parentheses.
fn state_and_flags(stat: &str) -> Option<(&str, u64)> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace();
    Some((fields.next()?, fields.nth(5)?.parse().ok()?))
}

#[cfg(test)]
mod tests;
