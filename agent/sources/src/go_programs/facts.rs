//! From the programs of one machine to its facts, by main package.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_facts::{FactPath, Observation, SectionBuilder};

use super::settings;
use crate::Budget;
use crate::go_buildinfo::{BuildInfo, Module};

/// Stands for the value of a build that has none, where another build of the same program has one.
const NONE: &str = "(none)";
/// Between the values of several builds of one program.
const AND: &str = " | ";

/// Every build found, by main package.
#[derive(Debug, Default)]
pub(super) struct Programs {
    builds: BTreeMap<String, Vec<Build>>,
    /// What the next start of running programs brings.
    pending: BTreeMap<String, BTreeSet<String>>,
    /// By program and zone, when the clock jumps by the copies that running builds carry.
    zones: BTreeMap<(String, String), BTreeSet<String>>,
}

/// The facts of one build, by what stands behind `go.program[MAIN PACKAGE]`.
type Build = BTreeMap<Name, String>;

/// `.go_version`, or `.module[golang.org/x/net]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Plain(&'static str),
    Keyed(&'static str, String),
}

impl Programs {
    pub(super) fn is_empty(&self) -> bool {
        self.builds.is_empty()
    }

    /// Adds a build. `file` names it when its main package has no name of its own.
    pub(super) fn add(&mut self, info: BuildInfo, file: impl FnOnce() -> String) {
        let key = key_of(&info, file);
        let build = facts_of(info);
        let builds = self.builds.entry(key).or_default();
        if !builds.contains(&build) {
            builds.push(build);
        }
    }

    /// Adds what the next start of a running program brings.
    pub(super) fn restart_pending(&mut self, running: &BuildInfo, file: &str, pending: String) {
        self.pending.entry(key_of(running, || file.to_owned())).or_default().insert(pending);
    }

    /// Adds when the clock jumps by the copy of the zone that a running build carries.
    pub(super) fn zone(&mut self, running: &BuildInfo, file: &str, zone: &str, seen: Observation) {
        let key = (key_of(running, || file.to_owned()), zone.to_owned());
        let told = match seen {
            Observation::Present(value) => value.to_string(),
            Observation::Absent | Observation::Unreadable(_) => "(malformed)".to_owned(),
        };
        self.zones.entry(key).or_default().insert(told);
    }

    /// Notes every fact. What the budget does not hold is said to be left out, program by program.
    pub(super) fn note(self, section: &mut SectionBuilder, budget: &Budget) {
        for (key, pending) in self.pending {
            let path = FactPath::keyed("go.program", &key).child("restart_pending");
            let value = pending.into_iter().collect::<Vec<_>>().join(AND);
            if let Some(path) = path.ok().filter(|_| budget.spend(key.len() + value.len()).is_ok()) {
                section.present(path, value);
            }
        }
        for ((key, zone), told) in self.zones {
            let path = FactPath::keyed(&format!("{}.zone", FactPath::keyed("go.program", &key)), &zone);
            let value = told.into_iter().collect::<Vec<_>>().join(AND);
            if budget.spend(path.as_str().len() + value.len()).is_ok() {
                section.present(path, value);
            }
        }
        for (key, builds) in self.builds {
            let program = FactPath::keyed("go.program", &key);
            let names: BTreeSet<Name> = builds.iter().flat_map(|build| build.keys().cloned()).collect();
            for name in names {
                let values: BTreeSet<&str> =
                    builds.iter().map(|build| build.get(&name).map_or(NONE, String::as_str)).collect();
                let value = values.into_iter().collect::<Vec<_>>().join(AND);
                let path = match &name {
                    Name::Plain(name) => FactPath::new(&format!("{program}.{name}")),
                    Name::Keyed(family, key) => Ok(FactPath::keyed(&format!("{program}.{family}"), key)),
                };
                let Ok(path) = path else { continue };
                if let Err(reason) = budget.spend(path.as_str().len() + value.len()) {
                    section.unreadable(program.clone(), reason);
                    break;
                }
                section.present(path, value);
            }
        }
    }
}

/// By its main package; one without a name by its file's.
fn key_of(info: &BuildInfo, file: impl FnOnce() -> String) -> String {
    match info.path.as_str() {
        "" | "command-line-arguments" => file(),
        _ => info.path.clone(),
    }
}

/// Whether two builds that say the same may be of different sources all the same.
pub(super) fn is_unversioned(info: &BuildInfo) -> bool {
    let has_version = info.main.as_ref().is_some_and(|main| !matches!(main.version.as_str(), "" | "(devel)"));
    let modified = info.settings.iter().any(|(name, value)| name == "vcs.modified" && value == "true");
    modified || !has_version && !info.settings.iter().any(|(name, _)| name == "vcs.revision")
}

/// What stands where a running program was started from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OnDisk {
    Nothing,
    SomethingElse,
    Program(Box<BuildInfo>),
}

/// What runs, and what has taken its place.
pub(super) fn replaced(running: &BuildInfo, on_disk: &OnDisk) -> String {
    let told = |info: &BuildInfo| {
        let version = info.main.as_ref().map(|main| format!(" {}", version(main))).unwrap_or_default();
        let revision = info.settings.iter().find(|(name, _)| name == "vcs.revision");
        let revision = revision.map(|(_, revision)| format!(" {revision:.12}")).unwrap_or_default();
        format!("go{}{version}{revision}", info.go_version)
    };
    let now = match on_disk {
        OnDisk::Nothing => "deleted".to_owned(),
        OnDisk::SomethingElse => "on disk something else".to_owned(),
        OnDisk::Program(other) if other.path != running.path => {
            format!("on disk {} {}", other.path, told(other))
        }
        OnDisk::Program(other) => format!("on disk {}", told(other)),
    };
    format!("running {}, {now}", told(running))
}

fn facts_of(info: BuildInfo) -> Build {
    let BuildInfo { go_version, go_vendor, experiments, path: _, main, deps, settings } = info;
    let mut build = Build::new();
    build.insert(Name::Plain("go_version"), go_version);
    if let Some(vendor) = go_vendor {
        build.insert(Name::Plain("go_vendor"), vendor);
    }
    if !experiments.is_empty() {
        build.insert(Name::Plain("go_experiment"), experiments.join(","));
    }
    if let Some(main) = main {
        build.insert(Name::Plain("version"), version(&main));
        build.insert(Name::Plain("main_module"), main.path);
    }
    for module in deps {
        let version = version(&module);
        build.insert(Name::Keyed("module", module.path), version);
    }
    for (name, value) in settings {
        if let Some(value) = settings::canonical(&name, &value) {
            build.insert(Name::Keyed("setting", name), value);
        }
    }
    build
}

/// `v1.2.3`; of a replaced module `v1.2.3 => github.com/acme/fork v0.1.0`, or `v1.2.3 => ./fork` for a directory.
/// Where a directory lies is the build machine's own affair when its path is absolute.
fn version(module: &Module) -> String {
    match &module.replace {
        None => module.version.clone(),
        Some(by) if by.path.starts_with('/') => format!("{} => /…", module.version),
        Some(by) => format!("{} => {} {}", module.version, by.path, by.version).trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_facts::{Observation, Reason};

    use super::*;

    fn build(go_version: &str, deps: &[(&str, &str)]) -> BuildInfo {
        let module = |(path, version): &(&str, &str)| Module {
            path: (*path).into(),
            version: (*version).into(),
            ..Module::default()
        };
        BuildInfo {
            go_version: go_version.into(),
            path: "github.com/acme/pay".into(),
            deps: deps.iter().map(module).collect(),
            ..BuildInfo::default()
        }
    }

    fn facts(builds: Vec<BuildInfo>, bytes: usize) -> Vec<(String, Observation)> {
        let mut programs = Programs::default();
        for build in builds {
            programs.add(build, || "pay".into());
        }
        let mut section = SectionBuilder::new("go_programs");
        programs.note(&mut section, &Budget::new(Duration::from_secs(3600), bytes));
        section.finish().facts().iter().map(|(path, seen)| (path.to_string(), seen.clone())).collect()
    }

    #[test]
    fn several_builds_of_one_program_are_all_named() {
        let builds = vec![
            build("1.21.6", &[("golang.org/x/net", "v0.17.0"), ("new", "v1.0.0")]),
            build("1.20.1", &[("golang.org/x/net", "v0.17.0")]),
            build("1.20.1", &[("golang.org/x/net", "v0.17.0")]),
        ];
        let expected = [
            ("go.program[github.com/acme/pay].go_version", "1.20.1 | 1.21.6"),
            ("go.program[github.com/acme/pay].module[golang.org/x/net]", "v0.17.0"),
            ("go.program[github.com/acme/pay].module[new]", "(none) | v1.0.0"),
        ];
        assert_eq!(
            facts(builds, 1_000_000),
            expected.map(|(path, value)| (path.to_owned(), Observation::Present(value.into())))
        );
    }

    #[test]
    fn what_the_budget_does_not_hold_is_said_to_be_left_out() {
        let found = facts(vec![build("1.21.6", &[("a", "v1"), ("b", "v1")])], 90);
        let left_out = Observation::Unreadable(Reason::Truncated);
        assert_eq!(found[0], ("go.program[github.com/acme/pay]".to_owned(), left_out));
        assert!(found.len() < 4, "{found:?}");
    }

    #[test]
    fn a_replaced_module_names_both() {
        let by = |path: &str, version: &str| Module {
            path: "a".into(),
            version: "v1.2.3".into(),
            sum: None,
            replace: Some(Box::new(Module {
                path: path.into(),
                version: version.into(),
                ..Module::default()
            })),
        };
        assert_eq!(version(&by("github.com/acme/fork", "v0.1.0")), "v1.2.3 => github.com/acme/fork v0.1.0");
        assert_eq!(version(&by("./fork", "")), "v1.2.3 => ./fork");
        assert_eq!(version(&by("/home/ann/fork", "(devel)")), "v1.2.3 => /…");
    }
}
