//! Reports as they travel.

use evenkeel_drift::gate::{GateOutcome, GateVerdict};
use evenkeel_drift::report as words;

use crate::{Malformed, report as wire, times};

/// Pairs each word with its number on the wire, both ways.
macro_rules! pairs {
    ($to:ident, $from:ident, $name:ident: $($variant:ident)*) => {
        /// The word on the wire.
        pub fn $to(word: words::$name) -> wire::$name {
            match word { $(words::$name::$variant => wire::$name::$variant,)* }
        }

        /// The word from the wire; `None` when it is not said, or not known to this version.
        pub fn $from(number: i32) -> Option<words::$name> {
            match wire::$name::try_from(number) {
                $(Ok(wire::$name::$variant) => Some(words::$name::$variant),)*
                _ => None,
            }
        }
    };
}

pairs!(severity_to_wire, severity_from_wire, Severity: Info Warning Critical);
pairs!(kind_to_wire, kind_from_wire, Kind: Differs Split Missing Violates Latent Duplicate Lagging);
pairs!(status_to_wire, status_from_wire, Status: Open Explained Accepted Resolved);
pairs!(state_to_wire, state_from_wire, State: Present Absent Unreadable);

/// A report on the wire.
pub fn to_wire(report: words::Report) -> wire::Report {
    let words::Report {
        schema,
        as_of,
        journal,
        policy,
        reference,
        environments,
        findings,
        unknowns,
        summary,
        noise,
    } = report;
    let words::Summary { critical, warning, info, explained, accepted, unknown } = summary;
    wire::Report {
        schema,
        as_of: Some(times::to_wire(as_of)),
        journal,
        policy,
        reference,
        environments: environments.into_iter().map(environment_to_wire).collect(),
        findings: findings.into_iter().map(finding_to_wire).collect(),
        unknowns: unknowns.into_iter().map(unknown_to_wire).collect(),
        summary: Some(wire::Summary { critical, warning, info, explained, accepted, unknown }),
        noise: noise.map(noise_to_wire),
    }
}

/// A report from the wire.
pub fn from_wire(report: wire::Report) -> Result<words::Report, Malformed> {
    let wire::Report {
        schema,
        as_of,
        journal,
        policy,
        reference,
        environments,
        findings,
        unknowns,
        summary,
        noise,
    } = report;
    let summary = summary.ok_or_else(|| Malformed::new("summary", "not there"))?;
    let wire::Summary { critical, warning, info, explained, accepted, unknown } = summary;
    Ok(words::Report {
        schema,
        as_of: times::from_wire("as_of", as_of)?,
        journal,
        policy,
        reference,
        environments: environments.into_iter().map(environment_from_wire).collect(),
        findings: findings.into_iter().map(finding_from_wire).collect::<Result<_, _>>()?,
        unknowns: unknowns.into_iter().map(unknown_from_wire).collect::<Result<_, _>>()?,
        summary: words::Summary { critical, warning, info, explained, accepted, unknown },
        noise: noise.map(noise_from_wire),
    })
}

/// A gate's answer on the wire.
pub fn gate_to_wire(outcome: GateOutcome) -> wire::GateResponse {
    let GateOutcome { verdict, from, to, fail_on, findings, accepted, unknowns } = outcome;
    let verdict = match verdict {
        GateVerdict::Consistent => wire::gate_response::Verdict::Consistent,
        GateVerdict::Drift => wire::gate_response::Verdict::Drift,
        GateVerdict::CannotTell => wire::gate_response::Verdict::CannotTell,
    };
    wire::GateResponse {
        verdict: verdict.into(),
        from,
        to,
        fail_on: severity_to_wire(fail_on).into(),
        findings: findings.into_iter().map(finding_to_wire).collect(),
        unknowns: unknowns.into_iter().map(unknown_to_wire).collect(),
        accepted,
    }
}

/// A gate's answer from the wire.
pub fn gate_from_wire(response: wire::GateResponse) -> Result<GateOutcome, Malformed> {
    let wire::GateResponse { verdict, from, to, fail_on, findings, unknowns, accepted } = response;
    let verdict = match wire::gate_response::Verdict::try_from(verdict) {
        Ok(wire::gate_response::Verdict::Consistent) => GateVerdict::Consistent,
        Ok(wire::gate_response::Verdict::Drift) => GateVerdict::Drift,
        Ok(wire::gate_response::Verdict::CannotTell) => GateVerdict::CannotTell,
        _ => return Err(unknown_word("verdict")),
    };
    Ok(GateOutcome {
        verdict,
        from,
        to,
        fail_on: severity_from_wire(fail_on).ok_or_else(|| unknown_word("fail_on"))?,
        findings: findings.into_iter().map(finding_from_wire).collect::<Result<_, _>>()?,
        accepted,
        unknowns: unknowns.into_iter().map(unknown_from_wire).collect::<Result<_, _>>()?,
    })
}

fn environment_to_wire(environment: words::Environment) -> wire::Environment {
    let words::Environment { name, nodes, fresh, stale, stale_nodes, coverage } = environment;
    wire::Environment { name, nodes, fresh, stale, stale_nodes, coverage }
}

fn environment_from_wire(environment: wire::Environment) -> words::Environment {
    let wire::Environment { name, nodes, fresh, stale, stale_nodes, coverage } = environment;
    words::Environment { name, nodes, fresh, stale, stale_nodes, coverage }
}

/// A finding on the wire.
pub fn finding_to_wire(finding: words::Finding) -> wire::Finding {
    let words::Finding {
        id,
        path,
        kind,
        severity,
        status,
        role,
        values,
        nodes,
        since,
        summary,
        reason,
        expected,
        parts,
        acceptance,
    } = finding;
    wire::Finding {
        id,
        path,
        kind: kind_to_wire(kind).into(),
        severity: severity_to_wire(severity).into(),
        status: status_to_wire(status).into(),
        role,
        values: values.into_iter().map(value_to_wire).collect(),
        nodes: nodes.to_vec(),
        since: Some(times::to_wire(since)),
        summary,
        reason,
        expected,
        parts: parts.into_iter().map(part_to_wire).collect(),
        acceptance: acceptance.map(sign_off_to_wire),
    }
}

/// A finding from the wire.
pub fn finding_from_wire(finding: wire::Finding) -> Result<words::Finding, Malformed> {
    let wire::Finding {
        id,
        path,
        kind,
        severity,
        status,
        role,
        values,
        nodes,
        since,
        summary,
        reason,
        expected,
        parts,
        acceptance,
    } = finding;
    Ok(words::Finding {
        id,
        path,
        kind: kind_from_wire(kind).ok_or_else(|| unknown_word("kind"))?,
        severity: severity_from_wire(severity).ok_or_else(|| unknown_word("severity"))?,
        status: status_from_wire(status).ok_or_else(|| unknown_word("status"))?,
        role,
        values: values.into_iter().map(value_from_wire).collect::<Result<_, _>>()?,
        nodes: nodes.into(),
        since: times::from_wire("since", since)?,
        summary,
        reason,
        expected,
        parts: parts.into_iter().map(part_from_wire).collect::<Result<_, _>>()?,
        acceptance: acceptance.map(sign_off_from_wire).transpose()?,
    })
}

fn part_to_wire(part: words::Part) -> wire::Part {
    let words::Part { id, path, kind, severity, summary } = part;
    wire::Part {
        id,
        path,
        kind: kind_to_wire(kind).into(),
        severity: severity_to_wire(severity).into(),
        summary,
    }
}

fn part_from_wire(part: wire::Part) -> Result<words::Part, Malformed> {
    let wire::Part { id, path, kind, severity, summary } = part;
    let kind = kind_from_wire(kind).ok_or_else(|| unknown_word("kind"))?;
    let severity = severity_from_wire(severity).ok_or_else(|| unknown_word("severity"))?;
    Ok(words::Part { id, path, kind, severity, summary })
}

fn sign_off_to_wire(sign_off: words::SignOff) -> wire::SignOff {
    let words::SignOff { id, owner, reason, until } = sign_off;
    wire::SignOff { id, owner, reason, until: Some(times::to_wire(until)) }
}

fn sign_off_from_wire(sign_off: wire::SignOff) -> Result<words::SignOff, Malformed> {
    let wire::SignOff { id, owner, reason, until } = sign_off;
    Ok(words::SignOff { id, owner, reason, until: times::from_wire("until", until)? })
}

fn noise_to_wire(noise: words::Noise) -> wire::Noise {
    let words::Noise { changes, quarantined_changes, quarantined } = noise;
    let one = |words::Quarantined { path, changes, nodes }| wire::Quarantined { path, changes, nodes };
    wire::Noise { changes, quarantined_changes, quarantined: quarantined.into_iter().map(one).collect() }
}

fn noise_from_wire(noise: wire::Noise) -> words::Noise {
    let wire::Noise { changes, quarantined_changes, quarantined } = noise;
    let one = |wire::Quarantined { path, changes, nodes }| words::Quarantined { path, changes, nodes };
    words::Noise { changes, quarantined_changes, quarantined: quarantined.into_iter().map(one).collect() }
}

fn value_to_wire(value: words::ValueCount) -> wire::ValueCount {
    let words::ValueCount { environment, value, state, nodes } = value;
    wire::ValueCount { environment, value, state: state_to_wire(state).into(), nodes }
}

fn value_from_wire(value: wire::ValueCount) -> Result<words::ValueCount, Malformed> {
    let wire::ValueCount { environment, value, state, nodes } = value;
    let state = state_from_wire(state).ok_or_else(|| unknown_word("state"))?;
    Ok(words::ValueCount { environment, value, state, nodes })
}

fn unknown_to_wire(unknown: words::Unknown) -> wire::Unknown {
    let words::Unknown { path, severity, role, reason, nodes } = unknown;
    wire::Unknown { path, severity: severity_to_wire(severity).into(), role, reason, nodes: nodes.to_vec() }
}

fn unknown_from_wire(unknown: wire::Unknown) -> Result<words::Unknown, Malformed> {
    let wire::Unknown { path, severity, role, reason, nodes } = unknown;
    let severity = severity_from_wire(severity).ok_or_else(|| unknown_word("severity"))?;
    Ok(words::Unknown { path, severity, role, reason, nodes: nodes.into() })
}

fn unknown_word(field: &'static str) -> Malformed {
    Malformed::new(field, "a word that this version does not know: the collector is newer than this program")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: what the CLI prints from the wire is what the engine said, field by field.
    #[test]
    fn a_report_round_trips() {
        let report = words::Report {
            schema: words::SCHEMA.into(),
            as_of: "2026-11-22T10:00:00Z".parse().unwrap(),
            journal: 1042,
            policy: "default@1".into(),
            reference: "prod".into(),
            environments: vec![words::Environment {
                name: "staging".into(),
                nodes: 12,
                fresh: 11,
                stale: 1,
                stale_nodes: vec!["stg-9".into()],
                coverage: 0.998,
            }],
            findings: vec![words::Finding {
                id: "f-3k9x".into(),
                path: "sysctl.net.core.somaxconn".into(),
                kind: words::Kind::Differs,
                severity: words::Severity::Critical,
                status: words::Status::Open,
                role: "web".into(),
                values: vec![
                    words::ValueCount {
                        environment: "prod".into(),
                        value: Some("65535".into()),
                        state: words::State::Present,
                        nodes: 412,
                    },
                    words::ValueCount {
                        environment: "staging".into(),
                        value: None,
                        state: words::State::Absent,
                        nodes: 9,
                    },
                ],
                nodes: ["stg-web-4".into()].into(),
                since: "2026-11-20T03:12:00Z".parse().unwrap(),
                summary: "staging: 9 of 12 nodes have 4096, prod has 65535".into(),
                reason: "the accept queue".into(),
                expected: Some(">= 65535".into()),
                parts: vec![words::Part {
                    id: "f-4h7k".into(),
                    path: "sysctl.net.core.rmem_max".into(),
                    kind: words::Kind::Missing,
                    severity: words::Severity::Info,
                    summary: "missing in staging".into(),
                }],
                acceptance: Some(words::SignOff {
                    id: "a-7f3k".into(),
                    owner: "web team".into(),
                    reason: "load test".into(),
                    until: "2026-12-01T00:00:00Z".parse().unwrap(),
                }),
            }],
            unknowns: vec![words::Unknown {
                path: "sysctl.net".into(),
                severity: words::Severity::Info,
                role: String::new(),
                reason: "permission".into(),
                nodes: ["stg-1".into()].into(),
            }],
            summary: words::Summary {
                critical: 1,
                warning: 2,
                info: 3,
                explained: 4,
                accepted: 5,
                unknown: 6,
            },
            noise: Some(words::Noise {
                changes: 120,
                quarantined_changes: 100,
                quarantined: vec![words::Quarantined {
                    path: "sysctl.kernel.x".into(),
                    changes: 100,
                    nodes: 7,
                }],
            }),
        };
        assert_eq!(from_wire(to_wire(report.clone())), Ok(report));
    }
}
