//! Findings as SARIF 2.1.0 (OASIS), which code scanning reads. One rule a kind of finding; the finding's id is its
//! fingerprint, so that the same difference stays one alert for as long as it lasts.

use std::fmt::Write as _;

use evenkeel_drift::report::{Finding, Kind, Severity, Status, Unknown};
use serde::Serialize;

use crate::results::{Results, held, in_one_cell};
use crate::text::escape;
use crate::view::json;
use crate::words::{kind_word, reason_words, severity_word, with_role};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The rule of what cannot be told, which is no kind of finding.
const CANNOT_TELL: &str = "cannot_tell";

/// The findings as a SARIF log of one run.
pub(crate) fn document(results: &Results<'_>) -> String {
    let found = results.findings.iter().map(|finding| of_finding(results, finding));
    let unclear = results.unknowns.iter().map(|unknown| of_unknown(unknown));
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "evenkeel",
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: rules(),
                },
            },
            invocations: [Invocation {
                execution_successful: true,
                end_time_utc: results.as_of.map(|as_of| as_of.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            }],
            automation_details: Automation { id: format!("evenkeel/{}", uri(&results.title)) },
            results: found.chain(unclear).collect(),
        }],
    };
    json(&log)
}

fn of_finding(results: &Results<'_>, finding: &Finding) -> SarifResult {
    let Finding { id, path, kind, severity, status, role, nodes, since, summary, reason, .. } = finding;
    // Whatever is no failure has no level (§3.27.9).
    let (sarif_kind, level) = match (status, severity) {
        (Status::Explained | Status::Resolved, _) => ("informational", "none"),
        (_, Severity::Critical) => ("fail", "error"),
        (_, Severity::Warning) => ("fail", "warning"),
        (_, Severity::Info) => ("fail", "note"),
    };
    let suppressions = match status {
        Status::Accepted => {
            vec![Suppression { kind: "external", status: "accepted", justification: escape(reason).into() }]
        }
        _ => Vec::new(),
    };
    let values = results.columns.iter().filter_map(|environment| {
        let held = held(finding, environment, results.reference);
        (!held.is_empty()).then(|| (escape(environment).into_owned(), in_one_cell(&held).into()))
    });
    let title = with_role(path, role);
    SarifResult {
        rule_id: kind_word(*kind),
        kind: sarif_kind,
        level,
        message: text(format!("{title}: {}", escape(summary))),
        locations: [Location::of(path, role)],
        partial_fingerprints: Some(Fingerprints { finding: escape(id).into() }),
        suppressions,
        properties: Properties {
            severity: severity_word(*severity),
            nodes: nodes.iter().map(|name| escape(name).into_owned()).collect(),
            since: results.dated.then(|| since.to_string()),
            reason: escape(reason).into_owned(),
            values: values.collect(),
            same_cause: finding
                .parts
                .iter()
                .map(|part| format!("{}: {}", escape(&part.path), escape(&part.summary)))
                .collect(),
        },
    }
}

fn of_unknown(unknown: &Unknown) -> SarifResult {
    let Unknown { path, severity, role, reason, nodes } = unknown;
    SarifResult {
        rule_id: CANNOT_TELL,
        kind: "open",
        level: "none",
        message: text(format!("{}: cannot tell: {}", with_role(path, role), reason_words(reason))),
        locations: [Location::of(path, role)],
        partial_fingerprints: None,
        suppressions: Vec::new(),
        properties: Properties {
            severity: severity_word(*severity),
            nodes: nodes.iter().map(|name| escape(name).into_owned()).collect(),
            since: None,
            reason: escape(reason).into_owned(),
            values: serde_json::Map::new(),
            same_cause: Vec::new(),
        },
    }
}

fn rules() -> Vec<Rule> {
    let kinds = [
        (
            Kind::Differs,
            "A cohort differs from the reference",
            "Most nodes of an environment hold another value than most nodes of the reference environment.",
        ),
        (
            Kind::Split,
            "The nodes of one cohort disagree",
            "Nodes of one environment and role, which should look alike, hold several values.",
        ),
        (
            Kind::Missing,
            "It is there in some environments only",
            "A fact, a program or a dependency is there in some environments and not in others.",
        ),
        (
            Kind::Violates,
            "An expectation is not met",
            "The policy says what must hold here, and it does not.",
        ),
        (
            Kind::Latent,
            "The next restart or boot brings a change",
            "What runs is not what is configured or installed: a restart or boot will change it.",
        ),
        (
            Kind::Duplicate,
            "An identity is not unique",
            "Two machines say that they are the same one, as clones do.",
        ),
        (
            Kind::Lagging,
            "An environment is behind its promotion deadline",
            "A change was promoted elsewhere and has not arrived here in time.",
        ),
    ];
    let rule = |id, short: &str, full: &str| Rule {
        id,
        short_description: text(short.to_owned()),
        full_description: text(full.to_owned()),
        help: text(format!(
            "{full} `evenkeel explain FINDING` shows values, nodes, the deciding rule, and what to do."
        )),
    };
    let mut rules: Vec<Rule> =
        kinds.iter().map(|(kind, short, full)| rule(kind_word(*kind), short, full)).collect();
    rules.push(rule(
        CANNOT_TELL,
        "It cannot be told whether this differs",
        "A fact that could differ badly enough could not be read, so that nothing can be said of it.",
    ));
    rules
}

fn text(text: String) -> Text {
    Text { text }
}

/// Percent-encoded, so that it is one relative URI.
fn uri(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    automation_details: Automation,
    results: Vec<SarifResult>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Text,
    full_description: Text,
    help: Text,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time_utc: Option<String>,
}

#[derive(Serialize)]
struct Automation {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    kind: &'static str,
    level: &'static str,
    message: Text,
    locations: [Location; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_fingerprints: Option<Fingerprints>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
    properties: Properties,
}

#[derive(Serialize)]
struct Fingerprints {
    #[serde(rename = "evenkeelFinding/v1")]
    finding: String,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    severity: &'static str,
    nodes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    reason: String,
    values: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    same_cause: Vec<String>,
}

/// A fact stands in no file of the repository, but code scanning shows only what has a place in one: the path stands
/// in for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
    logical_locations: [Logical; 1],
}

impl Location {
    fn of(path: &str, role: &str) -> Self {
        let uri = match role {
            "" => format!("evenkeel/{}", uri(path)),
            role => format!("evenkeel/{}/{}", uri(role), uri(path)),
        };
        Self {
            physical_location: Physical {
                artifact_location: Artifact { uri },
                region: Region { start_line: 1 },
            },
            logical_locations: [Logical {
                fully_qualified_name: escape(path).into_owned(),
                kind: "resource",
            }],
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
    kind: &'static str,
}
