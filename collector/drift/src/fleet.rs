//! What is compared: environments, nodes and their sections.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_facts::{FactPath, Section};
use jiff::Timestamp;

/// A view of the fleet at one position of the journal. Cheap to build: nodes with the same content share it.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// The position of the journal that this view shows; 0 for snapshots compared without a collector.
    pub journal: u64,
    /// The environments in their order of promotion; the last is the default reference.
    pub environments: Vec<Arc<str>>,
    /// Every enrolled node, in any order.
    pub nodes: Vec<Node>,
}

/// One node as the collector knows it.
#[derive(Debug, Clone)]
pub struct Node {
    /// The UUID that its certificate carries.
    pub id: Arc<str>,
    /// Its host name: a label.
    pub name: Arc<str>,
    /// Index into [`Fleet::environments`].
    pub environment: usize,
    /// Its role; empty by default.
    pub role: Arc<str>,
    /// Whether it reported within its deadline. A stale node is named and counted, and never raises drift.
    pub fresh: bool,
    /// Its newest sections, by name. Equal contents are one allocation, shared between nodes: the engine compares
    /// pointers first and opens each distinct content once.
    pub sections: Vec<Arc<Section>>,
    /// When its first commit was taken in.
    pub since: Timestamp,
    /// For facts that changed after the first commit: when they became what they are now.
    pub changed: Arc<HashMap<FactPath, Timestamp>>,
}
