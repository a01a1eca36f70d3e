//! Source `processes`: processes that run what is no longer on the disk.
//!
//! - `process.restart_pending[NAME]`: the programs and libraries, by file name, that processes of this name run and that
//!   were replaced or deleted since; separated by blanks. The change takes effect when they are restarted
//! - `process.restart_pending` is unreadable: some processes cannot be seen. Without CAP_SYS_PTRACE an agent sees those
//!   of its own user only
//!
//! Read from `/proc/PID/maps`: of a replaced file the kernel says ` (deleted)`, for the name leads to another one.

mod known;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::{Budget, Declared, Host, Source, SourcesConfig};
use known::{Known, Mapped};

const FAMILY: &str = "process.restart_pending";
/// A browser has 2,000 lines of 100 bytes.
const MAX_MAPS_BYTES: usize = 2 * 1024 * 1024;
/// Where programs and libraries lie that somebody installed. Elsewhere programs write code of their own and delete it:
/// shared memory, just-in-time compilers, test runners.
const INSTALLED: &[&str] =
    &["/usr/", "/lib", "/bin/", "/sbin/", "/opt/", "/srv/", "/app/", "/nix/", "/snap/"];
const DELETED: &str = " (deleted)";

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "process.restart_pending[NAME]", what: "programs and libraries that processes of this name run and that were replaced or deleted since", from: "/proc/PID/maps" },
];

/// See the module.
#[derive(Debug)]
pub struct Processes;

impl Source for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &[FAMILY]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("processes");
        let mut pending: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let denied = match host.processes() {
            Ok(pids) if pids.is_empty() && host.why_not_in_proc() == Reason::Sandbox => Some(Reason::Sandbox),
            Ok(pids) => {
                // Every PID namespace has a first process. If it is not listed, /proc hides processes (`hidepid=`).
                let mut denied = (host.is_live() && !pids.contains(&1)).then_some(Reason::Permission);
                let mut known = Known::begin(host);
                for pid in pids {
                    match budget.spend(0).and_then(|()| replaced(host, pid, &mut known, denied)) {
                        Ok(files) if files.is_empty() => {}
                        Ok(files) => {
                            let name = host.read_text(format!("/proc/{pid}/comm"), 64).unwrap_or_default();
                            pending.entry(name.trim().to_owned()).or_default().extend(files);
                        }
                        Err(reason) => denied = denied.or(Some(reason)),
                    }
                }
                known.end(host);
                denied
            }
            Err(error) => Some(Reason::of_io(&error).unwrap_or_else(|| host.why_not_in_proc())),
        };
        for (name, files) in pending {
            let value = files.into_iter().collect::<Vec<_>>().join(" ");
            section.present(FactPath::keyed(FAMILY, &name), value);
        }
        match denied {
            Some(reason) => section.unreadable(FactPath::known(FAMILY), reason),
            None if section.is_empty() => section.observe(FactPath::known(FAMILY), Observation::Absent),
            None => &mut section,
        };
        vec![section.finish()]
    }
}

/// The files that a process runs and that are no longer there; none for one that has ended.
/// One that may not be looked at says nothing new where another was `denied` already.
fn replaced(
    host: &Host,
    pid: u32,
    known: &mut Known,
    denied: Option<Reason>,
) -> Result<BTreeSet<String>, Reason> {
    let program = host.is_live().then(|| host.stat_exe(pid));
    match &program {
        Some(Err(error)) if denied.is_some() && Reason::of_io(error) == Some(Reason::Permission) => {
            return Ok(BTreeSet::new());
        }
        // One of the kernel's own, or one that has ended: it has no mappings.
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Some(Ok(program)) if known.has_all(pid, program) => return Ok(BTreeSet::new()),
        _ => {}
    }
    match host.read(format!("/proc/{pid}/maps"), MAX_MAPS_BYTES) {
        Ok(maps) => {
            let gone = parse(&maps);
            if let Some(Ok(program)) = program
                && gone.is_empty()
            {
                known.put(pid, &program, mapped(&maps));
            }
            Ok(gone)
        }
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => Ok(BTreeSet::new()),
        Err(error) => Reason::of_io(&error).map_or(Ok(BTreeSet::new()), Err),
    }
}

/// The files of the mappings that would count if they were deleted. One whose name the kernel had to escape is none that
/// its name leads to.
fn mapped(maps: &[u8]) -> impl Iterator<Item = Mapped<'_>> {
    maps.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let path = &line[line.find('/')?..];
        let mut fields = line.split_ascii_whitespace();
        let counts = fields.nth(1)?.contains('x') && is_installed(path);
        counts.then(|| Some((path, known::file_of(fields.nth(1)?, fields.next()?)?)))?
    })
}

fn is_installed(path: &str) -> bool {
    INSTALLED.iter().any(|place| path.starts_with(place))
}

/// File names of the mappings that are executed and whose file was deleted: `7f00-7f01 r-xp 0000 fe:00 123  PATH
/// (deleted)` (proc_pid_maps(5)).
fn parse(maps: &[u8]) -> BTreeSet<String> {
    let of_line = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?.strip_suffix(DELETED)?;
        let rights = line.split(' ').nth(1)?;
        let path = &line[line.find('/')?..];
        let counts = rights.contains('x') && is_installed(path);
        counts.then(|| path.rsplit('/').next().map(str::to_owned))?
    };
    maps.split(|byte| *byte == b'\n').filter_map(of_line).collect()
}

/// The lines of deleted files, for recorded hosts.
pub(crate) fn redacted(maps: &str) -> String {
    let deleted = maps.lines().filter(|line| !parse(line.as_bytes()).is_empty());
    deleted.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55e0d0a00000-55e0d0a01000 r--p 00000000 fe:00 1   /usr/sbin/nginx (deleted)
55e0d0a01000-55e0d0b00000 r-xp 00001000 fe:00 1                          /usr/sbin/nginx (deleted)
7f5e2c000000-7f5e2c021000 rw-p 00000000 00:00 0
7f5e2d000000-7f5e2d100000 r-xp 00000000 fe:00 2                          /usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)
7f5e2d200000-7f5e2d300000 r-xp 00000000 fe:00 3                          /usr/lib/x86_64-linux-gnu/libssl.so.3
7f5e2d400000-7f5e2d500000 r--p 00000000 fe:00 4                          /usr/lib/locale/C.utf8/LC_CTYPE (deleted)
7f5e2d600000-7f5e2d700000 rwxp 00000000 00:01 5                          /memfd:doublemapper (deleted)
7f5e2d800000-7f5e2d900000 r-xp 00000000 fe:00 6                          /tmp/go-build1/b001/x.test (deleted)
7ffd1c000000-7ffd1c021000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn what_is_executed_and_gone_counts() {
        assert_eq!(parse(MAPS.as_bytes()), BTreeSet::from(["libc.so.6".to_owned(), "nginx".to_owned()]));
        assert_eq!(parse(redacted(MAPS).as_bytes()), parse(MAPS.as_bytes()));
        assert_eq!(redacted(MAPS).lines().count(), 2);
        assert_eq!(parse(b"\xff\n (deleted)\nx (deleted)\n"), BTreeSet::new());
    }

    #[test]
    fn files_whose_loss_would_count() {
        let there = MAPS.replace(" (deleted)", "");
        let found: Vec<_> = mapped(there.as_bytes()).map(|(path, (_, inode))| (path, inode)).collect();
        let libraries = "/usr/lib/x86_64-linux-gnu";
        assert_eq!(
            found,
            [
                ("/usr/sbin/nginx", 1),
                (&*format!("{libraries}/libc.so.6"), 2),
                (&*format!("{libraries}/libssl.so.3"), 3),
            ]
        );
        assert_eq!(mapped(b"\xff\n/\n1-2 r-xp 0 fe:0 x /usr/y\n").count(), 0);
    }
}
