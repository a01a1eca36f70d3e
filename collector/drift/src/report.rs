//! What comes out: the report, `evenkeel.report/v1`. Fields are added, never renamed.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.report/v1";

/// Where the environments differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The moment that the report speaks of.
    pub as_of: Timestamp,
    /// The position of the journal that it was made from; 0 for snapshot files.
    pub journal: u64,
    /// The policy, as `name@version`.
    pub policy: String,
    /// The environment that the others are held against.
    pub reference: String,
    /// Every environment asked for, in order of promotion.
    pub environments: Vec<Environment>,
    /// The findings asked for, the most severe first, then by path and role.
    pub findings: Vec<Finding>,
    /// What could not be judged, the most severe first, then by path and role. In the report itself at most
    /// [`MAX_UNKNOWNS`]; `summary.unknown` counts them all.
    #[serde(default)]
    pub unknowns: Vec<Unknown>,
    /// Counts over everything that was compared, also over what was not asked for.
    pub summary: Summary,
    /// What keeps changing by itself, and is quarantined for it; none while nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// How many unknowns a report names.
pub const MAX_UNKNOWNS: usize = 100;

/// One environment in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// How many nodes are enrolled in it.
    pub nodes: u64,
    /// How many of them reported within their deadline.
    pub fresh: u64,
    /// How many did not; they raise no drift.
    pub stale: u64,
    /// The names of the stale nodes, in order.
    #[serde(default)]
    pub stale_nodes: Vec<String>,
    /// The share of the facts of fresh nodes that could be read, 0 to 1, rounded down to three digits; 1 when there
    /// is nothing to read.
    pub coverage: f64,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable: the same difference has the same id for as long as it lasts, and again when it returns.
    pub id: String,
    /// The fact, or the thing (`go.program[x]`) when all that is known of it is missing.
    pub path: String,
    /// What kind of difference.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// The role whose cohorts differ.
    pub role: String,
    /// The values per environment: environments in order of promotion from the reference down, in each the most
    /// frequent value first.
    pub values: Vec<ValueCount>,
    /// The names of the nodes that deviate, in order.
    pub nodes: Names,
    /// Since when the difference is as it is.
    pub since: Timestamp,
    /// One sentence: `staging: 9 of 12 nodes have 4096, prod has 65535`.
    pub summary: String,
    /// Why it has this severity or status: the reason of the policy's rule, or the formula that explains it.
    #[serde(default)]
    pub reason: String,
    /// What the policy expects here, as it is written there: `1.21.6`, `>= 65535`. Only of `violates` and `lagging`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Differences of the same nodes, from the same moment on: one cause, so they are listed here and not by
    /// themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Who signed it off, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<SignOff>,
}

/// A difference that has the same cause as the finding that lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The id that it has as a finding of its own.
    pub id: String,
    /// The fact or thing.
    pub path: String,
    /// What kind of difference.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
}

/// Who accepted a finding, why and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOff {
    /// The acceptance, as `evenkeel accepted` lists it and `evenkeel unaccept` ends it.
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
}

/// How much changes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    /// How many changes of facts were taken in within the last 24 hours.
    pub changes: u64,
    /// How many of them were changes of quarantined facts.
    pub quarantined_changes: u64,
    /// The facts, by path: their differences are explained and raise no alarm.
    pub quarantined: Vec<Quarantined>,
}

/// A fact that keeps changing on many nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The fact.
    pub path: String,
    /// How often it changed within the last 24 hours.
    pub changes: u64,
    /// On how many nodes.
    pub nodes: u64,
}

/// How many nodes of an environment hold a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueCount {
    /// The environment.
    pub environment: String,
    /// The value as text; `None` (`null`) when `state` is not `present`.
    pub value: Option<String>,
    /// Whether it is there.
    #[serde(default)]
    pub state: State,
    /// How many fresh nodes.
    pub nodes: u64,
}

/// The state of an observation, in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There, with a value.
    #[default]
    Present,
    /// Looked for and not there.
    Absent,
    /// Cannot tell.
    Unreadable,
}

/// What kind of difference a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A cohort's consensus differs from the reference's.
    Differs,
    /// The nodes of one cohort disagree.
    Split,
    /// It is there in some environments and not in others.
    Missing,
    /// An expectation of the policy is not met.
    Violates,
    /// What runs differs from what the next restart or boot will bring.
    Latent,
    /// An identity that must be unique is not.
    Duplicate,
    /// An environment is behind its promotion deadline.
    Lagging,
}

/// How bad a finding is. Greater is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Compared, and hidden unless asked for.
    Info,
    /// Worth a look before the next promotion.
    Warning,
    /// Breaks things.
    Critical,
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has said anything of it.
    Open,
    /// A rule explains it: counted, shown with `--all`, never an alarm.
    Explained,
    /// Somebody accepted it, with a reason and an end.
    Accepted,
    /// It is over.
    Resolved,
}

/// Names in order. What cannot be told is often the same on every node: such lists are one, and cost nothing to copy.
pub type Names = Arc<[String]>;

/// A fact that could not be judged: on some fresh nodes it could not be read, and no finding speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// The fact, or the whole subtree that could not be read.
    pub path: String,
    /// How bad a difference there could be.
    pub severity: Severity,
    /// The role.
    pub role: String,
    /// Why, as a word: `permission`, `not_collected`, `stale` (no fresh node in an environment)…
    pub reason: String,
    /// The names of the nodes, in order; for `stale` those of the environment.
    pub nodes: Names,
}

/// Counts over everything that was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Open findings that are critical.
    pub critical: u64,
    /// Open findings that are warnings.
    pub warning: u64,
    /// Open findings that are hidden unless asked for.
    pub info: u64,
    /// Findings that a rule explains.
    pub explained: u64,
    /// Findings that somebody accepted.
    pub accepted: u64,
    /// Facts that could not be judged.
    pub unknown: u64,
}

impl Summary {
    /// Counts one finding.
    pub(crate) fn count(&mut self, status: Status, severity: Severity) {
        let count = match (status, severity) {
            (Status::Open, Severity::Critical) => &mut self.critical,
            (Status::Open, Severity::Warning) => &mut self.warning,
            (Status::Open, Severity::Info) => &mut self.info,
            (Status::Explained, _) => &mut self.explained,
            (Status::Accepted, _) => &mut self.accepted,
            (Status::Resolved, _) => return,
        };
        *count += 1;
    }
}
