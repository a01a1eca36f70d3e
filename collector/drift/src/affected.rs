//! Which nodes have a version of a Go module, of the standard library or of a toolchain that an advisory names. Cost
//! follows the distinct contents: equal sections are opened once, whoever has them.

mod found;
pub mod osv;
mod version;
pub mod wanted;

use serde::{Deserialize, Serialize};

pub use found::affected;
pub use version::Order;

/// One report on vulnerable versions, or what a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Its name: `GO-2023-2102`.
    pub id: String,
    /// Its other names: `CVE-2023-39325`.
    pub aliases: Vec<String>,
    /// One sentence; may be empty.
    pub summary: String,
    /// What it affects.
    pub packages: Vec<Package>,
}

/// A module and the versions of it that are affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The module's path; `stdlib` or `toolchain` for what comes with Go.
    pub module: String,
    /// Its affected versions.
    pub versions: Versions,
}

/// A set of versions. Texts are without `v` in front; [`Order`] says how they compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// All.
    All,
    /// As OSV says it: in any of these ranges, or one of these.
    Osv {
        /// Each range by its events.
        ranges: Vec<Vec<Event>>,
        /// Single versions.
        exact: Vec<String>,
    },
    /// As a person says it: within all of these bounds.
    Within(Vec<Bound>),
}

/// Where an OSV range begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happens at the version.
    pub kind: EventKind,
    /// The version; `0` is before all.
    pub version: String,
}

/// What happens at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// This one and those behind it are affected.
    Introduced,
    /// This one and those behind it are not.
    Fixed,
    /// Those behind this one are not.
    LastAffected,
    /// This one and those behind it are not spoken of.
    Limit,
}

/// `<0.17.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// How the version must compare.
    pub relation: Relation,
    /// The version that it is held against.
    pub version: String,
}

/// How two versions compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Before,
    /// `<=`
    UpTo,
    /// `=`
    Is,
    /// `>=`
    From,
    /// `>`
    After,
}

/// What the advisories found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// How many advisories were held against the fleet.
    pub advisories: u64,
    /// How many nodes were looked at.
    pub nodes: u64,
    /// The advisories that found something, by id.
    pub affected: Vec<Advised>,
    /// What could not be judged.
    pub unknowns: Vec<Unjudged>,
}

/// What one advisory found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advised {
    /// The advisory.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// One sentence.
    pub summary: String,
    /// Where it holds, by module, version and thing.
    pub found: Vec<Found>,
}

/// An affected version inside one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The module; `stdlib` or `toolchain`.
    pub module: String,
    /// The version that is there, as Go writes it.
    pub version: String,
    /// The first version behind it that is not affected, where there is one.
    pub fixed: Option<String>,
    /// What carries it: `go.program[github.com/acme/pay]`, `go.toolchain[/usr/local/go]`.
    pub thing: String,
    /// What runs and what lies on the disk, where these are two: `running go1.20.1 v1.4.0, on disk go1.21.6 v1.5.0`. The
    /// version is that of one of them. Empty: nothing else runs than what lies there, or nothing of it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pending: String,
    /// The nodes, by environment in order of promotion.
    pub places: Vec<Place>,
}

/// Nodes of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The environment.
    pub environment: String,
    /// The names of the fresh nodes, in order.
    pub nodes: Vec<String>,
    /// The names of the stale nodes, in order: it was so when they were last heard of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
}

/// What could not be judged on some nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unjudged {
    /// The fact.
    pub path: String,
    /// Why, as a word: `permission`, `partial`, `unversioned`, `not_collected`.
    pub reason: String,
    /// The nodes, by environment in order of promotion.
    pub places: Vec<Place>,
}
