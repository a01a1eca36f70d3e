//! The drift engine: a fleet and a policy in, a report out. Pure: no input or output, no clock, no async. The
//! collector and the CLI link the same engine, so the same input gives the same report, byte for byte.
//!
//! # Layout
//!
//! What goes in and what comes out:
//!
//! - [`fleet`]: what is compared: environments, nodes, their sections (shared by content)
//! - [`nodes`]: the nodes, kept sorted by what they say, so that a report opens each distinct content once
//! - [`policy`]: rules: which facts, how they compare, how bad a difference is, and why
//! - [`query`]: what is asked for
//! - [`report`]: what comes out: `evenkeel.report/v1`
//!
//! How, in the order in which it happens:
//!
//! - `evaluate`: the one entry, role by role, source by source
//! - `scope`: roles, cohorts, and each role's reference
//! - `contents`: the groups of nodes that say the same; each distinct content is opened once
//! - `rows`: the facts that are not the same everywhere, and what each group says of them
//! - `entity`: a missing thing is one difference, not one for each fact of it
//! - `spread`: one fact over the cohorts: values, counts, consensus
//! - [`compare`]: when two values say the same, and which version is older
//! - `judge`: from a spread to a finding; `hardware` (what the size of a machine and its kernel explain, by
//!   [`formula`] and [`kernel_default`]), `since` and `summary` are its parts
//! - `lead`: what is a part of what else is said; `fold`: one cause, one finding
//! - `violation`: what the policy expects; `promotion`: what is late; [`acceptance`]: what somebody signed off
//! - `latent`: what runs against what comes; `lookup` finds its facts
//! - `duplicate`: identities that are not unique; `clone`: keys that several machines hold
//! - `coverage`, [`unknown`]: what could not be read
//!
//! What else is asked of the same fleet:
//!
//! - [`values`]: one fact over the fleet, node by node
//! - [`explain`]: one finding or fact with the rules that decided
//! - [`affected`]: which nodes have what advisories name
//! - [`gate`]: whether one environment may be promoted into another
//! - [`moments`]: what changed between two moments
//!
//! Not for: storing, fetching or showing anything. It knows no clock: the caller says what time it is and which
//! nodes are fresh.

pub mod acceptance;
pub mod affected;
mod clone;
pub mod compare;
mod contents;
mod coverage;
mod duplicate;
mod entity;
mod evaluate;
pub mod explain;
pub mod fleet;
mod fold;
pub mod formula;
pub mod gate;
mod hardware;
mod judge;
pub mod kernel_default;
mod latent;
mod lead;
mod lookup;
pub mod moments;
pub mod nodes;
pub mod policy;
mod promotion;
pub mod query;
pub mod report;
mod rows;
mod scope;
mod since;
mod spread;
mod summary;
pub mod unknown;
pub mod values;
mod violation;

pub use acceptance::Acceptance;
pub use affected::{Affected, affected};
pub use evaluate::{Lasting, evaluate, evaluate_lasting, open_findings};
pub use explain::{Explanation, explain};
pub use fleet::{Fleet, Node, Side};
pub use gate::{GateOutcome, GateVerdict, gate};
pub use nodes::Nodes;
pub use policy::{Policy, PolicyError};
pub use query::{Query, QueryError};
pub use report::Report;
pub use values::{Values, values};
