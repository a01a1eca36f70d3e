//! Source `packages`: what the package manager has installed, read from its own database and never by running it.
//!
//! - `package[NAME].version`: the version, as the manager prints it (`1:9.18.1-1`, `2.38-59.fc40`, `3.1.4-r5`)
//! - `package[NAME].state`: only where an installation is not complete (`unpacked`, `half-configured`)
//! - `package` is unreadable: the database, or some of it, cannot be read. A package that was not seen may be there
//!   all the same
//!
//! Databases: dpkg's status with its journal (also the `status.d` of small images), rpm's in its sqlite and ndb forms,
//! and apk's. A package of another architecture than the manager's own is keyed `NAME:ARCHITECTURE`, so that adding
//! one renames nothing. Several versions of one package side by side (kernels, keys) are one value, sorted and joined
//! by ` | `. Removed packages whose configuration files are left (`rc`) are not installed.

mod apk;
mod dpkg;
mod paragraphs;
mod rpm;

use std::collections::BTreeMap;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::{Budget, Declared, Host, Source, SourcesConfig};

pub(crate) use apk::redacted as redacted_apk;
pub(crate) use dpkg::redacted as redacted_dpkg;
pub(crate) use rpm::shrink as shrink_rpm;

/// Between the versions of one package that is installed more than once.
const AND: &str = " | ";

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "package[NAME].version", what: "of an installed package; `NAME:ARCHITECTURE` for a foreign one", from: "the databases of dpkg, rpm (sqlite, ndb) and apk" },
    Declared { path: "package[NAME].state", what: "only where an installation is not complete: `unpacked`, `half-configured`", from: "dpkg's status" },
];

/// See the module.
#[derive(Debug)]
pub struct Packages;

impl Source for Packages {
    fn name(&self) -> &'static str {
        "packages"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["package"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn sees_only_files(&self) -> bool {
        true
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("packages");
        let mut trouble = None;
        let mut databases = 0;
        for Manager { own, read } in MANAGERS {
            let mut packages = Vec::new();
            let outcome = read(host, budget, &mut packages);
            databases += usize::from(outcome != Ok(false));
            let noted = note(&mut section, budget, packages, own);
            trouble = trouble.or(outcome.err()).or(noted.err());
        }
        let whole = FactPath::known("package");
        match trouble {
            Some(reason) => section.unreadable(whole, reason),
            // A distribution whose manager is not known here; an image without any shell has no packages.
            None if databases == 0 && host.exists("/bin/sh") => {
                section.unreadable(whole, Reason::Unsupported)
            }
            None if section.is_empty() => section.observe(whole, Observation::Absent),
            None => &mut section,
        };
        vec![section.finish()]
    }
}

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Package {
    name: String,
    /// Empty for one that belongs to no architecture.
    architecture: String,
    version: String,
    /// How far its installation came, if it is not complete.
    state: Option<&'static str>,
}

/// A package manager: the package that is the manager itself, and how its database is read.
struct Manager {
    own: &'static str,
    read: Read,
}

/// Adds what is installed. `Ok(false)`: there is no such database. `Err`: some of it could not be read.
type Read = fn(&Host, &Budget, &mut Vec<Package>) -> Result<bool, Reason>;

const MANAGERS: &[Manager] = &[
    Manager { own: "dpkg", read: dpkg::read },
    Manager { own: "rpm", read: rpm::read },
    Manager { own: "apk-tools", read: apk::read },
];

/// The version of one package, by whichever database has it; `None` when none of them has.
pub(crate) fn version_of(host: &Host, budget: &Budget, name: &str) -> Result<Option<String>, Reason> {
    let mut trouble = None;
    for Manager { read, .. } in MANAGERS {
        let mut packages = Vec::new();
        trouble = trouble.or(read(host, budget, &mut packages).err());
        if let Some(found) = packages.into_iter().find(|package| package.name == name) {
            return Ok(Some(found.version));
        }
    }
    trouble.map_or(Ok(None), Err)
}

fn note(
    section: &mut SectionBuilder,
    budget: &Budget,
    packages: Vec<Package>,
    own: &str,
) -> Result<(), Reason> {
    let native = native_architecture(&packages, own).to_owned();
    let mut versions = Vec::with_capacity(packages.len());
    for Package { name, architecture, version, state } in packages {
        let foreign = !architecture.is_empty() && architecture != native;
        let key = if foreign { format!("{name}:{architecture}") } else { name };
        budget.spend("package[].version".len() + key.len() + version.len())?;
        if let Some(state) = state
            && let Ok(path) = FactPath::keyed_child("package", &key, "state")
        {
            section.present(path, state);
        }
        if let Ok(path) = FactPath::keyed_child("package", &key, "version") {
            versions.push((path, version));
        }
    }
    // By path, and of each by version: the words of several versions are in one order wherever they were found.
    versions.sort();
    versions.dedup();
    let mut versions = versions.into_iter().peekable();
    while let Some((path, mut version)) = versions.next() {
        let mut known = !version.is_empty();
        while let Some((_, another)) = versions.next_if(|(next, _)| *next == path) {
            known &= !another.is_empty();
            version = version + AND + &another;
        }
        if known {
            section.present(path, version);
        } else {
            section.unreadable(path, Reason::Malformed);
        }
    }
    Ok(())
}

/// The architecture that the manager itself was built for. In an image without its manager, the one that most packages
/// have.
fn native_architecture<'a>(packages: &'a [Package], own: &str) -> &'a str {
    if let Some(manager) = packages.iter().find(|package| package.name == own) {
        return &manager.architecture;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages.iter().filter(|package| !package.architecture.is_empty()) {
        *counts.entry(&package.architecture).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or("", |(architecture, _)| architecture)
}

#[cfg(test)]
mod tests;
