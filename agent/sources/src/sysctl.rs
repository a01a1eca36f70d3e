//! Source `sysctl`: every readable key under `/proc/sys`, by the table in [`rules`]; and what sysctl.d will set at the
//! next boot, in the section `sysctl.persisted`.
//!
//! One section per top directory (`sysctl.net`, `sysctl.kernel` …), for they change apart; the section `sysctl` is
//! always there and holds troubles of the whole. A fact is `sysctl.` and the key as sysctl(8) prints it: dots between
//! names, and `/` where a name itself has a dot (`net.ipv4.conf.eth0/1.forwarding`).

pub(crate) mod persisted;
pub mod rules;
mod value;

use std::io;
use std::path::Path;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::host::{DirEntry, Kind};
use crate::{Budget, Declared, Host, Source, SourcesConfig};

const ROOT: &str = "/proc/sys";
/// The kernel's own limit for text keys is one page; bitmaps such as `ip_local_reserved_ports` print longer.
const MAX_VALUE_BYTES: usize = 256 * 1024;
/// The deepest directory known is `net/ipv4/conf/NAME`, five names down.
const MAX_DEPTH: usize = 16;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "sysctl.KEY", what: "a kernel parameter as it runs, named as sysctl(8) prints it; of keys of hash functions `set` or `unset`", from: "/proc/sys" },
    Declared { path: "sysctl.persisted[KEY].value", what: "what the next boot will set it to", from: "sysctl.d, in systemd's order" },
    Declared { path: "sysctl.persisted[KEY].source", what: "the line that decides: `/etc/sysctl.d/99-web.conf:12`", from: "the same" },
];

/// See the module.
#[derive(Debug)]
pub struct Sysctl;

impl Source for Sysctl {
    fn name(&self) -> &'static str {
        "sysctl"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["sysctl"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut whole = SectionBuilder::new("sysctl");
        let persisted = host.while_unchanged("sysctl.persisted", || {
            let section = persisted::collect(host, budget);
            let lasts = !section.facts().iter().any(|(_, seen)| matches!(seen, Observation::Unreadable(_)));
            (section, lasts)
        });
        let mut sections = vec![persisted];
        // No kernel is without any setting: a directory that is empty or not there hides them.
        let not_there = || io::Error::from(io::ErrorKind::NotFound);
        let listed = host.list(ROOT).and_then(|all| if all.is_empty() { Err(not_there()) } else { Ok(all) });
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => {
                let reason = Reason::of_io(&error).unwrap_or_else(|| host.why_not_in_proc());
                whole.unreadable(FactPath::known("sysctl"), reason);
                sections.push(whole.finish());
                return sections;
            }
        };
        let other_ipc = !host.shares_ipc();
        for entry in entries {
            let part = entry.name.to_str().filter(|name| is_part(name) && entry.kind == Kind::Directory);
            // While every parameter of it says the same, it is the same section.
            if let Some(Known { section, bytes }) = part.and_then(|part| host.made_of_parameters(part)) {
                sections.extend(section);
                match budget.spend(bytes) {
                    Ok(()) => continue,
                    Err(reason) => {
                        whole.unreadable(FactPath::known("sysctl"), reason);
                        break;
                    }
                }
            }
            if host.is_live() {
                host.begin_parameters();
            }
            let mut own = part.map(|name| SectionBuilder::new(&format!("sysctl.{name}")));
            let section = own.as_mut().unwrap_or(&mut whole);
            let mut walk = Walk { host, budget, section, other_ipc, bytes: 0, spent: None };
            if entry.name == "net" && !host.shares_network() {
                walk.section.unreadable(FactPath::known("sysctl.net"), Reason::Namespace);
            } else {
                walk.entry(Path::new(ROOT), "", &entry, 0);
            }
            let (spent, bytes) = (walk.spent, walk.bytes);
            let section = own.filter(|section| !section.is_empty()).map(SectionBuilder::finish);
            let known = Known { section: section.clone(), bytes };
            let lasts = part.is_some() && spent.is_none();
            host.keep_made_of_parameters(part.unwrap_or_default(), lasts.then_some(known));
            sections.extend(section);
            if let Some(reason) = spent {
                whole.unreadable(FactPath::known("sysctl"), reason);
                break;
            }
        }
        sections.push(whole.finish());
        sections
    }
}

/// Whether a directory's name can be part of a section's name. The kernel's all can.
fn is_part(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

/// The section of one top directory, if it has any key, and what it takes of the budget.
#[derive(Debug, Clone)]
struct Known {
    section: Option<Section>,
    bytes: usize,
}

struct Walk<'a> {
    host: &'a Host,
    budget: &'a Budget,
    section: &'a mut SectionBuilder,
    /// Whether what belongs to an IPC namespace is not the host's.
    other_ipc: bool,
    /// What was taken of the budget.
    bytes: usize,
    /// Why the walk ended early, if it did.
    spent: Option<Reason>,
}

impl Walk<'_> {
    fn entry(&mut self, directory: &Path, prefix: &str, entry: &DirEntry, depth: usize) {
        let name = entry.name.to_string_lossy();
        let separator = if prefix.is_empty() { "" } else { "." };
        let key = format!("{prefix}{separator}{}", name.replace('.', "/"));
        let rule = rules::of(&key);
        if self.spent.is_some() || rule == rules::Treatment::Leave {
            return;
        }
        let Ok(fact) = FactPath::new(&format!("sysctl.{key}")) else {
            return self.note_trouble(prefix, Reason::Malformed);
        };
        self.spend(fact.as_str().len());
        if self.spent.is_some() {
            return;
        }
        if self.other_ipc && rules::is_of_ipc(&key) {
            self.section.unreadable(fact, Reason::Namespace);
            return;
        }
        let path = directory.join(&entry.name);
        match entry.kind {
            Kind::Directory => self.directory(&path, &key, fact, depth + 1),
            Kind::File => self.file(&path, fact, rule == rules::Treatment::SetOrUnset),
            Kind::Symlink | Kind::Other => {}
        }
    }

    fn directory(&mut self, path: &Path, key: &str, fact: FactPath, depth: usize) {
        let entries =
            if depth < MAX_DEPTH { self.host.list(path) } else { Err(io::ErrorKind::FileTooLarge.into()) };
        match entries {
            Ok(entries) => entries.iter().for_each(|entry| self.entry(path, key, entry, depth)),
            // Gone since its parent was listed: an interface, a module.
            Err(error) => {
                if let Some(reason) = Reason::of_io(&error) {
                    self.section.unreadable(fact, reason);
                }
            }
        }
    }

    fn file(&mut self, path: &Path, fact: FactPath, secret: bool) {
        if secret {
            match value::set_or_unset(&self.host.read_secret(path, MAX_VALUE_BYTES)) {
                Ok(word) => self.section.present(fact, word),
                Err(reason) => self.section.unreadable(fact, reason),
            };
            return;
        }
        match self.host.read(path, MAX_VALUE_BYTES) {
            Ok(bytes) => match value::canonical(&bytes) {
                Some(text) => {
                    self.spend(text.len());
                    self.section.present(fact, text);
                }
                None => {
                    self.section.unreadable(fact, Reason::Malformed);
                }
            },
            Err(error) => {
                if let Some(reason) = Reason::of_io(&error).filter(|_| !self.is_write_only(path, &error)) {
                    self.section.unreadable(fact, reason);
                }
            }
        }
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.spent = self.spent.or(self.budget.spend(bytes).err());
    }

    /// A file that nobody may read is a button, not a setting.
    fn is_write_only(&self, path: &Path, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::PermissionDenied
            && self.host.stat(path).is_ok_and(|stat| stat.mode & 0o444 == 0)
    }

    fn note_trouble(&mut self, prefix: &str, reason: Reason) {
        let path = if prefix.is_empty() { "sysctl".to_owned() } else { format!("sysctl.{prefix}") };
        self.section.unreadable(FactPath::known(&path), reason);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn value(host: &Host, key: &str) -> Option<Observation> {
        let budget = Budget::new(Duration::from_secs(60), 1 << 20);
        let sections = Sysctl.collect(host, &SourcesConfig::default(), &budget);
        sections.iter().find_map(|section| section.find(key)).cloned()
    }

    /// Promise: whoever looks again and again sees what a key says now, on a machine in a directory as on the live one.
    #[test]
    fn what_changed_is_seen_by_those_who_look_again() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("proc/sys/kernel");
        fs::create_dir_all(&directory).unwrap();
        let host = Host::at(root.path()).unwrap().tracking().keeping();
        for number in ["1", "2"] {
            fs::write(directory.join("pid_max"), number).unwrap();
            assert_eq!(value(&host, "sysctl.kernel.pid_max"), Some(Observation::Present(number.into())));
        }
        let live = Host::live().tracking().keeping();
        for _ in 0..3 {
            let again = value(&live, "sysctl.kernel.pid_max");
            assert_eq!(again, value(&Host::live(), "sysctl.kernel.pid_max"));
            assert!(live.take_places().reach_below(Path::new("/proc/sys/kernel")));
        }
    }
}
