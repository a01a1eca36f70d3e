//! What the collector counts, for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::state::State;

/// A label with one word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Word {
    /// From a closed list.
    pub outcome: &'static str,
}

/// Environment and presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NodesLabel {
    environment: String,
    state: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Check-ins by answer.
    pub check_ins: Family<Word, Counter>,
    /// Enrolments by outcome.
    pub enrolments: Family<Word, Counter>,
    /// Connections by outcome.
    pub connections: Family<Word, Counter>,
    /// Calls that the table of access refused.
    pub refused_calls: Counter,
    /// Entries of the journal a transaction.
    pub group_size: Histogram,
    /// Transactions that failed.
    pub journal_failures: Counter,
    nodes: Family<NodesLabel, Gauge>,
    journal: Gauge,
    contents: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("evenkeel"),
            check_ins: Family::default(),
            enrolments: Family::default(),
            connections: Family::default(),
            refused_calls: Counter::default(),
            group_size: Histogram::new(exponential_buckets(1.0, 4.0, 6)),
            journal_failures: Counter::default(),
            nodes: Family::default(),
            journal: Gauge::default(),
            contents: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("check_ins", "Check-ins by answer", metrics.check_ins.clone());
        registry.register("enrolments", "Enrolments by outcome", metrics.enrolments.clone());
        registry.register("connections", "Connections by outcome", metrics.connections.clone());
        registry.register(
            "refused_calls",
            "Calls refused by the table of access",
            metrics.refused_calls.clone(),
        );
        registry.register("journal_group_size", "Entries a transaction", metrics.group_size.clone());
        registry.register("journal_failures", "Transactions that failed", metrics.journal_failures.clone());
        registry.register("nodes", "Nodes by environment and presence", metrics.nodes.clone());
        registry.register("journal_position", "The last entry of the journal", metrics.journal.clone());
        registry.register("contents", "Distinct sections in memory", metrics.contents.clone());
        metrics
    }
}

impl Metrics {
    /// Everything as OpenMetrics text.
    pub fn text(&self, state: &State) -> String {
        for environment in state.environments() {
            for (word, fresh) in [("fresh", true), ("stale", false)] {
                let label = NodesLabel { environment: environment.to_string(), state: word };
                let count = state
                    .nodes()
                    .filter(|node| node.environment == *environment && node.view.fresh == fresh)
                    .count();
                self.nodes.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.journal.set(state.journal.cast_signed());
        self.contents.set(i64::try_from(state.distinct_contents()).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string cannot fail");
        text
    }
}

/// Counts one.
pub fn count(family: &Family<Word, Counter>, outcome: &'static str) {
    family.get_or_create(&Word { outcome }).inc();
}
