//! From the facts of nodes to what advisories find there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use evenkeel_facts::{Observation, Section};

use super::version::Order;
use super::{Advised, Advisory, Affected, Found, Package, Place, Unjudged};
use crate::entity::thing_of;
use crate::fleet::{Fleet, Node};

/// Stands between the values of several builds of one program on one node.
const SEVERAL: &str = " | ";
/// Stands for the value of a build that has none.
const NONE: &str = "(none)";
/// The reason of an [`Unjudged`] version that no range can be held against: `(devel)`, a replaced directory.
const UNVERSIONED: &str = "unversioned";
/// The reason of an [`Unjudged`] node that says nothing of its programs.
const NOT_COLLECTED: &str = "not_collected";

/// Where the fleet, or these environments of it, have what the advisories name. Stale nodes count, and are told apart:
/// they may still run it.
pub fn affected(fleet: &Fleet, environments: Option<&[String]>, advisories: &[Advisory]) -> Affected {
    let asked = |at: usize| {
        let name = fleet.environments.get(at).map(|name| &**name);
        environments.is_none_or(|names| names.iter().any(|asked| Some(asked.as_str()) == name))
    };
    let nodes: Vec<&Node> =
        fleet.nodes.iter().map(|node| &**node).filter(|node| asked(node.environment)).collect();
    let mut wanted: HashMap<&str, Vec<(usize, &Package)>> = HashMap::new();
    for (at, advisory) in advisories.iter().enumerate() {
        for package in &advisory.packages {
            wanted.entry(&package.module).or_default().push((at, package));
        }
    }
    let mut hits: BTreeMap<(usize, Hit), BTreeSet<usize>> = BTreeMap::new();
    let mut unknowns: BTreeMap<(String, String), BTreeSet<usize>> = BTreeMap::new();
    for (section, nodes) in contents(&nodes) {
        let mut look = Look { wanted: &wanted, section, hits: Vec::new(), unknowns: Vec::new() };
        look.through();
        for hit in look.hits {
            hits.entry(hit).or_default().extend(&nodes);
        }
        for unknown in look.unknowns {
            unknowns.entry(unknown).or_default().extend(&nodes);
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        if !node.sections.iter().any(|section| section.name().starts_with("go")) {
            let unknown = ("go.program".to_owned(), NOT_COLLECTED.to_owned());
            unknowns.entry(unknown).or_default().insert(at);
        }
    }
    let mut by_advisory: BTreeMap<(&str, usize), Vec<Found>> = BTreeMap::new();
    for ((at, Hit { module, version, thing, fixed, pending }), having) in hits {
        let found = Found { module, version, fixed, thing, pending, places: places(fleet, &nodes, &having) };
        by_advisory.entry((&advisories[at].id, at)).or_default().push(found);
    }
    let affected = by_advisory.into_iter().map(|((_, at), found)| {
        let Advisory { id, aliases, summary, packages: _ } = advisories[at].clone();
        Advised { id, aliases, summary, found }
    });
    let unknowns = unknowns.into_iter().map(|((path, reason), having)| Unjudged {
        path,
        reason,
        places: places(fleet, &nodes, &having),
    });
    Affected {
        advisories: advisories.len() as u64,
        nodes: nodes.len() as u64,
        affected: affected.collect(),
        unknowns: unknowns.collect(),
    }
}

/// Every distinct section that may speak of Go, and the nodes (indices) that have it.
fn contents<'a>(nodes: &[&'a Node]) -> Vec<(&'a Section, Vec<usize>)> {
    let mut by_address: HashMap<*const Section, (&Section, Vec<usize>)> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for section in node.sections.iter().filter(|section| section.name().starts_with("go")) {
            by_address.entry(Arc::as_ptr(section)).or_insert_with(|| (section, Vec::new())).1.push(at);
        }
    }
    by_address.into_values().collect()
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    module: String,
    version: String,
    thing: String,
    fixed: Option<String>,
    pending: String,
}

/// What is found in one section.
struct Look<'a> {
    wanted: &'a HashMap<&'a str, Vec<(usize, &'a Package)>>,
    section: &'a Section,
    hits: Vec<(usize, Hit)>,
    unknowns: Vec<(String, String)>,
}

impl Look<'_> {
    fn through(&mut self) {
        for (path, observation) in self.section.facts() {
            let path = path.as_str();
            match observation {
                Observation::Present(value) => self.fact(path, &value.to_string()),
                Observation::Unreadable(reason) if self.hides(path) => {
                    self.unknowns.push((path.to_owned(), reason.to_string()));
                }
                Observation::Unreadable(_) | Observation::Absent => {}
            }
        }
    }

    /// Whether what is asked for may be hidden there.
    fn hides(&self, path: &str) -> bool {
        let program = path == "go" || path == "go.program" || path.starts_with("go.program[");
        let toolchain = path.starts_with("go.toolchain") && self.wanted.contains_key("toolchain");
        // What is known of a module is what its own fact says.
        let other =
            thing_of(path).is_some_and(|thing| path.len() > thing.len() && !path.contains("].module["));
        (program && !other) || toolchain
    }

    fn fact(&mut self, path: &str, value: &str) {
        let Some(thing) = thing_of(path) else { return };
        let rest = &path[thing.len()..];
        let is_program = thing.starts_with("go.program[");
        if is_program && rest == ".go_version" {
            self.versions("stdlib", value, thing, path);
        } else if thing.starts_with("go.toolchain[") && rest == ".version" {
            self.versions("toolchain", value, thing, path);
        } else if let Some(module) = rest.strip_prefix(".module[").and_then(|rest| rest.strip_suffix(']'))
            && is_program
        {
            let module = unescape(module);
            for one in value.split(SEVERAL).filter(|one| *one != NONE) {
                match one.split_once(" => ") {
                    None => self.version(&module, one, thing, path),
                    // What is built in is what replaces it, under its own name.
                    Some((_, by)) => match by.rsplit_once(' ') {
                        Some((module, version)) => self.version(module, version, thing, path),
                        None => self.unversioned(&module, path),
                    },
                }
            }
        } else if is_program && rest == ".version" {
            // Of a program that is a wanted module itself.
            let main = self.section.find(&format!("{thing}.main_module"));
            if let Some(Observation::Present(main)) = main {
                self.versions(&main.to_string(), value, thing, path);
            }
        }
    }

    fn versions(&mut self, module: &str, value: &str, thing: &str, path: &str) {
        for one in value.split(SEVERAL).filter(|one| *one != NONE) {
            self.version(module, one, thing, path);
        }
    }

    fn version(&mut self, module: &str, text: &str, thing: &str, path: &str) {
        let Some(wanted) = self.wanted.get(module) else { return };
        let version = Order::of(module).version(text);
        for (advisory, package) in wanted {
            let fixed = match &version {
                Some(version) if package.versions.include(version) => package.versions.fixed_after(version),
                Some(_) => continue,
                // Whatever it is, it is one of all.
                None if package.versions.is_all() => None,
                None => {
                    self.unversioned(module, path);
                    continue;
                }
            };
            let pending = match self.section.find(&format!("{thing}.restart_pending")) {
                Some(Observation::Present(pending)) => pending.to_string(),
                _ => String::new(),
            };
            let hit = Hit {
                module: module.to_owned(),
                version: text.to_owned(),
                thing: thing.to_owned(),
                fixed,
                pending,
            };
            self.hits.push((*advisory, hit));
        }
    }

    fn unversioned(&mut self, module: &str, path: &str) {
        if self.wanted.contains_key(module) {
            self.unknowns.push((path.to_owned(), UNVERSIONED.to_owned()));
        }
    }
}

/// A key as the machine wrote it: `%5B` is `[`.
fn unescape(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The nodes by environment, in order of promotion.
fn places(fleet: &Fleet, nodes: &[&Node], having: &BTreeSet<usize>) -> Vec<Place> {
    let mut places: BTreeMap<usize, Place> = BTreeMap::new();
    for node in having.iter().map(|at| nodes[*at]) {
        let Some(environment) = fleet.environments.get(node.environment) else { continue };
        let place = places.entry(node.environment).or_insert_with(|| Place {
            environment: environment.to_string(),
            nodes: Vec::new(),
            stale: Vec::new(),
        });
        if node.fresh { &mut place.nodes } else { &mut place.stale }.push(node.name.to_string());
    }
    for place in places.values_mut() {
        place.nodes.sort_unstable();
        place.stale.sort_unstable();
    }
    places.into_values().collect()
}
