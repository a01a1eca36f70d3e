//! What the collector counts, for Prometheus.
//!
//! # Layout
//!
//! - [`calls`]: calls and requests, under the names that gRPC and HTTP servers everywhere have for them
//! - [`process`]: the process itself, likewise
//! - [`text`]: the format of Prometheus' older readers

pub mod calls;
pub mod process;
pub mod text;

use evenkeel_drift::report::{Finding, Severity, Status};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use self::calls::Calls;
use self::process::Process;
use crate::state::State;
use crate::transitions::Judged;

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

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PortLabel {
    port: &'static str,
}

/// A receiver of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReceiverLabel {
    receiver: String,
}

/// A receiver of alerts, and whether it took them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertsLabel {
    receiver: String,
    outcome: &'static str,
}

/// Findings that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingsLabel {
    severity: &'static str,
    status: &'static str,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildLabel {
    version: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What has no prefix of ours.
    conventional: Registry,
    /// Calls and requests.
    pub calls: Calls,
    /// Check-ins by answer.
    pub check_ins: Family<Word, Counter>,
    /// Enrolments by outcome.
    pub enrolments: Family<Word, Counter>,
    /// Certificates of another authority, by whether they could be used.
    pub certificates: Family<Word, Counter>,
    /// Connections by outcome: one of [`CONNECTIONS`].
    pub connections: Family<Word, Counter>,
    /// Calls by outcome: one of [`REQUESTS`].
    pub requests: Family<Word, Counter>,
    /// Calls that the table of access refused.
    pub refused_calls: Counter,
    /// Entries of the journal a transaction.
    pub group_size: Histogram,
    /// Transactions that failed.
    pub journal_failures: Counter,
    alerts: Family<AlertsLabel, Counter>,
    alerts_waiting: Family<ReceiverLabel, Gauge>,
    open: Family<PortLabel, Gauge>,
    most: Family<PortLabel, Gauge>,
    nodes: Family<NodesLabel, Gauge>,
    findings: Family<FindingsLabel, Gauge>,
    journal: Gauge,
    journal_begin: Gauge,
    store: Gauge,
    store_free: Gauge,
    /// Contents that were found damaged, and put aside.
    pub damaged: Counter,
    contents: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("evenkeel"),
            conventional: Registry::default(),
            calls: Calls::default(),
            check_ins: Family::default(),
            enrolments: Family::default(),
            certificates: Family::default(),
            connections: Family::default(),
            requests: Family::default(),
            alerts: Family::default(),
            alerts_waiting: Family::default(),
            open: Family::default(),
            most: Family::default(),
            refused_calls: Counter::default(),
            group_size: Histogram::new(exponential_buckets(1.0, 4.0, 6)),
            journal_failures: Counter::default(),
            nodes: Family::default(),
            findings: Family::default(),
            journal: Gauge::default(),
            journal_begin: Gauge::default(),
            store: Gauge::default(),
            store_free: Gauge::default(),
            damaged: Counter::default(),
            contents: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("check_ins", "Check-ins by answer", metrics.check_ins.clone());
        registry.register("enrolments", "Enrolments by outcome", metrics.enrolments.clone());
        closed(
            registry,
            "certificates_read",
            "Certificates of another authority, by whether they could be used",
            &metrics.certificates,
            &[("loaded", "They are in service"), ("refused", "Of no use; those from before are in service")],
        );
        closed(registry, "connections", "Connections by outcome", &metrics.connections, CONNECTIONS);
        closed(registry, "requests", "Calls by outcome", &metrics.requests, REQUESTS);
        registry.register("connections_open", "Open connections by port", metrics.open.clone());
        registry.register("connections_limit", "Open connections that a port may have", metrics.most.clone());
        registry.register(
            "refused_calls",
            "Calls refused by the table of access",
            metrics.refused_calls.clone(),
        );
        registry.register(
            "alerts",
            "Findings that a receiver of alerts was told of (sent), and tries that failed (failed)",
            metrics.alerts.clone(),
        );
        registry.register(
            "alerts_waiting",
            "Findings that a receiver of alerts has to be told of",
            metrics.alerts_waiting.clone(),
        );
        registry.register("journal_group_size", "Entries a transaction", metrics.group_size.clone());
        registry.register("journal_failures", "Transactions that failed", metrics.journal_failures.clone());
        registry.register("nodes", "Nodes by environment and presence", metrics.nodes.clone());
        registry.register(
            "findings",
            "Findings by severity and status; there from the second scrape on, and judged anew for as long as the collector runs",
            metrics.findings.clone(),
        );
        registry.register("journal_position", "The last entry of the journal", metrics.journal.clone());
        registry.register(
            "journal_begin",
            "The entry up to which the journal was cut off; 0: it has all",
            metrics.journal_begin.clone(),
        );
        registry.register("store_bytes", "Bytes of the journal's file", metrics.store.clone());
        registry.register("store_free_bytes", "Bytes of it that are free", metrics.store_free.clone());
        registry.register(
            "damaged_contents",
            "Contents that were found damaged, put aside, and asked for again",
            metrics.damaged.clone(),
        );
        registry.register("contents", "Distinct sections in memory", metrics.contents.clone());
        let build = Family::<BuildLabel, Gauge>::default();
        build.get_or_create(&BuildLabel { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "What runs: always 1", build);
        metrics.calls.register(&mut metrics.conventional);
        metrics.conventional.register_collector(Box::new(Process));
        metrics
    }
}

impl Metrics {
    /// The gauge of a port's open connections, of which there may be so many.
    pub fn port(&self, port: &'static str, most: usize) -> Gauge {
        self.most.get_or_create(&PortLabel { port }).set(i64::try_from(most).unwrap_or(i64::MAX));
        self.open.get_or_create(&PortLabel { port }).clone()
    }

    /// A receiver of alerts was told, or was not.
    pub fn alerts(&self, receiver: &str, outcome: &'static str, count: usize) {
        let label = AlertsLabel { receiver: receiver.to_owned(), outcome };
        self.alerts.get_or_create(&label).inc_by(count as u64);
    }

    /// So many findings wait for a receiver of alerts.
    pub fn waiting_alerts(&self, receiver: &str, count: usize) {
        let label = ReceiverLabel { receiver: receiver.to_owned() };
        self.alerts_waiting.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What the store takes of the disk, and up to where the journal was cut off.
    pub(crate) fn store(&self, bytes: u64, free: u64, begin: u64) {
        self.store.set(bytes.cast_signed());
        self.store_free.set(free.cast_signed());
        self.journal_begin.set(begin.cast_signed());
    }

    /// Everything as OpenMetrics text.
    pub fn text(&self, state: &State, judged: Option<&Judged>) -> String {
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
        if let Some(judged) = judged {
            self.count_findings(judged);
        }
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.conventional))
            .and_then(|()| encode_eof(&mut text))
            .expect("writing to a string cannot fail");
        text
    }

    fn count_findings(&self, judged: &Judged) {
        for (severity, word) in SEVERITIES {
            for (status, name) in STATUSES {
                let is_one = |finding: &&Finding| finding.severity == severity && finding.status == status;
                let count = judged.findings.iter().filter(is_one).count();
                let label = FindingsLabel { severity: word, status: name };
                self.findings.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }
}

const SEVERITIES: [(Severity, &str); 3] =
    [(Severity::Critical, "critical"), (Severity::Warning, "warning"), (Severity::Info, "info")];
const STATUSES: [(Status, &str); 3] =
    [(Status::Open, "open"), (Status::Accepted, "accepted"), (Status::Explained, "explained")];

/// What becomes of connections, and what each word means.
pub const CONNECTIONS: &[(&str, &str)] = &[
    ("accepted", "let in"),
    ("handshake_refused", "its TLS handshake failed"),
    ("handshake_timeout", "its TLS handshake took too long"),
    ("certificate_refused", "its certificate proves nothing here"),
    ("credentials_refused", "another user than the collector's on its socket"),
    ("accept_failed", "gone before it was accepted"),
    ("no_descriptor", "no descriptor was left for it"),
    ("made_room", "silent or stalled, closed to make room for others"),
    ("silent", "asked nothing in time"),
    ("no_place", "answered once: all places to stay were taken"),
    ("aged", "at the end of its age or of its certificate"),
    ("shut_down", "open at the collector's end"),
    ("cut_off", "did not end when it was asked to"),
    ("peer_closed", "its peer is no longer let in, or has newer ones"),
    ("too_many_resets", "took back too many requests"),
    ("abusive", "more resets, headers or empty frames than HTTP/2 has use for"),
    ("protocol_error", "not HTTP/2"),
    ("lost", "lost without a word, or by its other side's error"),
];

/// What becomes of calls.
pub const REQUESTS: &[(&str, &str)] = &[
    ("answered", "as asked"),
    ("refused", "the caller may not"),
    ("rate_limited", "the caller asks too often, told when to come back"),
    ("shed", "too many wait, told when to come back"),
    ("timed_out", "took too long"),
    ("oversized", "a message or a content is too large"),
    ("encoding_refused", "a compression that is not spoken"),
    ("malformed", "a message that means nothing"),
    ("failed", "anything else"),
];

/// Registers a family whose words are a closed list: each is there from the start, at zero, and the help says what it means.
fn closed(
    registry: &mut Registry,
    name: &str,
    help: &str,
    family: &Family<Word, Counter>,
    words: &[(&'static str, &str)],
) {
    let meanings: Vec<_> = words.iter().map(|(word, meaning)| format!("{word} ({meaning})")).collect();
    registry.register(name, format!("{help}: {}", meanings.join(", ")), family.clone());
    for (outcome, _) in words {
        drop(family.get_or_create(&Word { outcome }));
    }
}

/// Counts one.
pub fn count(family: &Family<Word, Counter>, outcome: &'static str) {
    family.get_or_create(&Word { outcome }).inc();
}
