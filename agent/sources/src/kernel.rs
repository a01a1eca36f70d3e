//! Source `kernel`: which kernel runs, how it was started, and what was decided at boot.
//!
//! What `/proc/sys/kernel` says of the kernel itself is reported here and not as a sysctl.

pub(crate) mod cmdline;
pub(crate) mod modules;
pub(crate) mod next;
mod taint;

use std::io;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::{Budget, Declared, Host, Source, SourcesConfig};

const MAX_BYTES: usize = 64 * 1024;
const VULNERABILITIES: &str = "/sys/devices/system/cpu/vulnerabilities";

type Parse = fn(&str) -> Option<String>;

/// Facts that are one small file each: path, file, how its text becomes the value.
const FILES: &[(&str, &str, Parse)] = &[
    ("kernel.release", "/proc/sys/kernel/osrelease", whole),
    ("kernel.version", "/proc/sys/kernel/version", whole),
    ("kernel.taint", "/proc/sys/kernel/tainted", taint::decode),
    ("kernel.clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource", whole),
    ("kernel.thp.enabled", "/sys/kernel/mm/transparent_hugepage/enabled", chosen),
    ("kernel.thp.defrag", "/sys/kernel/mm/transparent_hugepage/defrag", chosen),
    ("kernel.thp.shmem_enabled", "/sys/kernel/mm/transparent_hugepage/shmem_enabled", chosen),
    ("kernel.smt", "/sys/devices/system/cpu/smt/control", whole),
    ("kernel.lsm", "/sys/kernel/security/lsm", whole),
    ("kernel.lockdown", "/sys/kernel/security/lockdown", chosen),
    ("kernel.selinux", "/sys/fs/selinux/enforce", enforcing),
];
/// Files that tell a control group layout by being there; the first one counts.
const CGROUPS: &[(&str, &str)] = &[
    ("/sys/fs/cgroup/cgroup.controllers", "2"),
    ("/sys/fs/cgroup/unified/cgroup.controllers", "hybrid"),
    ("/sys/fs/cgroup/systemd/cgroup.procs", "1"),
    ("/sys/fs/cgroup/cpu/cgroup.procs", "1"),
    ("/sys/fs/cgroup/pids/cgroup.procs", "1"),
];

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "kernel.release", what: "as `uname -r` says", from: "/proc/sys/kernel/osrelease" },
    Declared { path: "kernel.version", what: "as `uname -v` says", from: "/proc/sys/kernel/version" },
    Declared { path: "kernel.arch", what: "as `uname -m` says", from: "/proc/sys/kernel/arch, or uname(2)" },
    Declared { path: "kernel.next_release", what: "the kernel that the next boot starts", from: "GRUB's configuration, /boot/loader/entries, /vmlinuz" },
    Declared { path: "kernel.installed", what: "every kernel in /boot, oldest first", from: "/boot" },
    Declared { path: "kernel.cmdline[KEY]", what: "a parameter of the command line, by allow-list", from: "/proc/cmdline" },
    Declared { path: "kernel.module[NAME]", what: "`loaded` or `builtin`, of modules that change how a machine behaves", from: "/proc/modules, /sys/module" },
    Declared { path: "kernel.modules_disabled", what: "1 when no more modules can be loaded", from: "/proc/sys/kernel/modules_disabled" },
    Declared { path: "kernel.taint", what: "why the kernel calls itself tainted, in words", from: "/proc/sys/kernel/tainted" },
    Declared { path: "kernel.clocksource", what: "what time is read from", from: "/sys/devices/system/clocksource" },
    Declared { path: "kernel.thp.enabled", what: "transparent huge pages", from: "/sys/kernel/mm/transparent_hugepage" },
    Declared { path: "kernel.thp.defrag", what: "how hard it tries to make them", from: "the same" },
    Declared { path: "kernel.thp.shmem_enabled", what: "the same for shared memory", from: "the same" },
    Declared { path: "kernel.smt", what: "whether processors run two threads each", from: "/sys/devices/system/cpu/smt/control" },
    Declared { path: "kernel.mitigation[NAME]", what: "what is done about a fault of the processor", from: "/sys/devices/system/cpu/vulnerabilities" },
    Declared { path: "kernel.lsm", what: "security modules", from: "/sys/kernel/security/lsm" },
    Declared { path: "kernel.lockdown", what: "what even root may not do", from: "/sys/kernel/security/lockdown" },
    Declared { path: "kernel.selinux", what: "`enforcing` or `permissive`", from: "/sys/fs/selinux/enforce" },
    Declared { path: "kernel.cgroup.version", what: "layout of control groups: `1`, `2` or `hybrid`", from: "/sys/fs/cgroup" },
];

/// See the module.
#[derive(Debug)]
pub struct Kernel;

impl Source for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["kernel"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("kernel");
        for (path, file, parse) in FILES {
            note(&mut section, path, read(host, file).and_then(|text| parse(&text).ok_or_else(malformed)));
        }
        note(&mut section, "kernel.modules_disabled", modules_disabled(host));
        note(&mut section, "kernel.arch", architecture(host));
        cmdline::collect(host, &mut section);
        modules::collect(host, &mut section);
        next::collect(host, &mut section);
        mitigations(host, &mut section);
        if let Some((_, version)) = CGROUPS.iter().find(|(file, _)| host.exists(file)) {
            section.present(FactPath::known("kernel.cgroup.version"), *version);
        }
        say_what_cannot_be_seen(&mut section, host);
        vec![section.finish()]
    }
}

/// A root without /proc, /sys or the security file system says nothing of what stands there, not that it is not.
fn say_what_cannot_be_seen(section: &mut SectionBuilder, host: &Host) {
    let absent = |section: &SectionBuilder, path| section.find(path).is_none();
    if absent(section, "kernel.release") {
        section.unreadable(FactPath::known("kernel"), Reason::Sandbox);
        return;
    }
    if !host.exists("/sys/devices/system/cpu") {
        for path in [
            "kernel.thp",
            "kernel.clocksource",
            "kernel.mitigation",
            "kernel.smt",
            "kernel.cgroup",
            "kernel.selinux",
        ] {
            section.unreadable(FactPath::known(path), Reason::Sandbox);
        }
    }
    if absent(section, "kernel.lsm") {
        section.unreadable(FactPath::known("kernel.lsm"), Reason::Unsupported);
        section.unreadable(FactPath::known("kernel.lockdown"), Reason::Unsupported);
    }
}

fn note(section: &mut SectionBuilder, path: &str, value: io::Result<impl Into<evenkeel_facts::Value>>) {
    let observation = match value {
        Ok(value) => Observation::Present(value.into()),
        Err(error) => match Reason::of_io(&error) {
            Some(reason) => Observation::Unreadable(reason),
            None => return,
        },
    };
    section.observe(FactPath::known(path), observation);
}

fn read(host: &Host, file: &str) -> io::Result<String> {
    host.read_text(file, MAX_BYTES)
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn modules_disabled(host: &Host) -> io::Result<i64> {
    read(host, "/proc/sys/kernel/modules_disabled")?.trim().parse().map_err(|_| malformed())
}

/// As `uname -m` says: by file since Linux 6.1, before that only by asking the kernel that this process runs on.
fn architecture(host: &Host) -> io::Result<String> {
    match read(host, "/proc/sys/kernel/arch") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !host.is_live() {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let names = nix::sys::utsname::uname()?;
            names.machine().to_str().map(str::to_owned).ok_or_else(malformed)
        }
        other => other.map(|text| text.trim().to_owned()),
    }
}

fn mitigations(host: &Host, section: &mut SectionBuilder) {
    let family = "kernel.mitigation";
    match host.list(VULNERABILITIES) {
        Ok(entries) => {
            for name in entries.iter().filter_map(|entry| entry.name.to_str()) {
                let path = FactPath::keyed(family, name);
                let value = read(host, &format!("{VULNERABILITIES}/{name}"));
                note(section, path.as_str(), value.map(|text| text.trim().to_owned()));
            }
        }
        Err(error) => {
            if let Some(reason) = Reason::of_io(&error) {
                section.unreadable(FactPath::known(family), reason);
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the parsers of a table")]
fn whole(text: &str) -> Option<String> {
    Some(text.trim().to_owned())
}

/// The word in brackets of `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

fn enforcing(text: &str) -> Option<String> {
    match text.trim() {
        "1" => Some("enforcing".to_owned()),
        "0" => Some("permissive".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_stands_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen("always"), None);
    }

    #[test]
    fn the_running_kernel_is_what_uname_says() {
        let section = &Kernel.collect(
            &Host::live(),
            &SourcesConfig::default(),
            &Budget::new(crate::source::DEADLINE, 1 << 20),
        )[0];
        let names = nix::sys::utsname::uname().unwrap();
        for (path, name) in [
            ("kernel.release", names.release()),
            ("kernel.version", names.version()),
            ("kernel.arch", names.machine()),
        ] {
            assert_eq!(
                section.find(path),
                Some(&Observation::Present(name.to_str().unwrap().into())),
                "{path}"
            );
        }
    }
}
