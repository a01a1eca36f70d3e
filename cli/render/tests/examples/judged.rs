//! Values, explanations and gates to show.

use evenkeel_drift::affected::{Advised, Affected, Found, Place, Unjudged};
use evenkeel_drift::explain::{Deciding, NodeSince, Side};
use evenkeel_drift::report::{Kind, Severity, State, Unknown};
use evenkeel_drift::values::{EnvironmentValues, Held, RoleValues};
use evenkeel_drift::{Explanation, GateOutcome, GateVerdict, Values};
use evenkeel_facts::Author;
use evenkeel_render::explanation::Explained;

use super::{go_version, strings};

fn held(value: Option<&str>, state: State, reason: Option<&str>, nodes: &[&str]) -> Held {
    Held { value: value.map(str::to_owned), state, reason: reason.map(str::to_owned), nodes: strings(nodes) }
}

pub(crate) fn values() -> Values {
    let environments = vec![
        EnvironmentValues {
            environment: "staging".into(),
            values: vec![
                held(Some("1.20.14"), State::Present, None, &["stg-web-1", "stg-web-2", "stg-web-3"]),
                held(None, State::Unreadable, Some("permission"), &["stg-web-4"]),
                held(Some("1.21.6\u{1b}[2J"), State::Present, None, &["stg-\u{202e}5"]),
            ],
            stale: strings(&["stg-web-9"]),
        },
        EnvironmentValues {
            environment: "prod".into(),
            values: vec![
                held(Some("1.21.6"), State::Present, None, &["web-1", "web-2"]),
                held(None, State::Absent, None, &["web-3"]),
            ],
            stale: Vec::new(),
        },
    ];
    Values { path: "go.version".into(), roles: vec![RoleValues { role: "web".into(), environments }] }
}

pub(crate) fn no_values() -> Values {
    Values { path: "go.versoin".into(), roles: Vec::new() }
}

fn rule(attribute: &str, value: &str, rule: Option<&str>, reason: &str) -> Deciding {
    Deciding {
        attribute: attribute.into(),
        value: value.into(),
        rule: rule.map(str::to_owned),
        reason: reason.into(),
    }
}

pub(crate) fn explained() -> Explained {
    let mut set_in = values();
    "sysctl.persisted[net.core.somaxconn].source".clone_into(&mut set_in.path);
    Explained {
        explanation: explanation(),
        changes: super::history().changes,
        next_boot: None,
        set_in: Some(set_in),
    }
}

fn explanation() -> Explanation {
    Explanation {
        path: "go.version".into(),
        findings: vec![go_version()],
        unknowns: vec![unknown()],
        rules: vec![
            rule("class", "config", None, "No rule says otherwise."),
            rule(
                "compare",
                "go",
                Some("go.version"),
                "A Go release has its own order: 1.9 comes before 1.21.",
            ),
            rule("severity", "critical", Some("go.*"), "Another runtime, library and time zone behaviour."),
        ],
        advice: evenkeel_drift::Policy::default_policy().advice("go.version").cloned(),
        values: values(),
        nodes: vec![
            since("stg-web-2", "staging", Some("1.20.14"), Some("1.21.6"), Some(author())),
            since("stg-web-1", "staging", Some("1.20.14"), None, None),
            since("web-11", "prod", Some("1.21.6"), None, None),
            since("web-2", "prod", Some("1.21.6"), None, None),
        ],
        more_nodes: 3,
    }
}

fn since(
    node: &str,
    environment: &str,
    now: Option<&str>,
    before: Option<&str>,
    by: Option<Author>,
) -> NodeSince {
    let side = |value: &str| Side { state: State::Present, value: value.into() };
    NodeSince {
        node: node.into(),
        environment: environment.into(),
        role: "web".into(),
        now: now.map(side).expect("it has a value"),
        since: "2026-11-20T03:12:00Z".parse().unwrap(),
        since_first_report: before.is_none(),
        before: before.map(side),
        by,
    }
}

fn author() -> Author {
    Author {
        path: "go.version".into(),
        pid: 4711,
        command: "dpkg\u{1b}[2J".into(),
        user: "root".into(),
        login: "ada".into(),
        unit: "ssh.service".into(),
    }
}

pub(crate) fn no_difference() -> Explained {
    let explanation = Explanation {
        findings: Vec::new(),
        unknowns: Vec::new(),
        nodes: Vec::new(),
        more_nodes: 0,
        ..explanation()
    };
    Explained { explanation, changes: Vec::new(), next_boot: None, set_in: None }
}

fn unknown() -> Unknown {
    Unknown {
        path: "go.program".into(),
        severity: Severity::Critical,
        role: "web".into(),
        reason: "permission".into(),
        nodes: strings(&["stg-web-4"]).into(),
    }
}

/// Runs one value everywhere, and the next boot brings another.
pub(crate) fn latent() -> Explained {
    let mut explained = explained();
    let finding = &mut explained.explanation.findings[0];
    finding.kind = Kind::Latent;
    finding.summary = "prod: 1 of 2 nodes changes at the next boot: 65535, then 4096".into();
    explained.next_boot = explained.set_in.clone();
    explained
}

pub(crate) fn gate(verdict: GateVerdict) -> GateOutcome {
    GateOutcome {
        verdict,
        from: "staging".into(),
        to: "prod".into(),
        fail_on: Severity::Warning,
        findings: if verdict == GateVerdict::Drift { vec![go_version()] } else { Vec::new() },
        accepted: 0,
        unknowns: if verdict == GateVerdict::Consistent { Vec::new() } else { vec![unknown()] },
    }
}

pub(crate) fn gate_with_accepted() -> GateOutcome {
    GateOutcome { accepted: 2, ..gate(GateVerdict::Consistent) }
}

pub(crate) fn gate_of_nothing() -> GateOutcome {
    let nothing = Unknown {
        path: "*".into(),
        role: String::new(),
        reason: evenkeel_drift::gate::NO_NODES.into(),
        nodes: Vec::new().into(),
        ..unknown()
    };
    GateOutcome { unknowns: vec![nothing], fail_on: Severity::Critical, ..gate(GateVerdict::CannotTell) }
}

/// So many advisories found something.
pub(crate) fn affected(number: usize) -> Affected {
    let place = |environment: &str, nodes: &[&str], stale: &[&str]| Place {
        environment: environment.into(),
        nodes: strings(nodes),
        stale: strings(stale),
    };
    let found = |module: &str, version: &str, fixed: Option<String>, thing: &str| Found {
        module: module.into(),
        version: version.into(),
        fixed,
        thing: thing.into(),
        pending: if module == "stdlib" {
            "running go1.20.9 v1.4.0, on disk go1.21.6 v1.5.0".into()
        } else {
            String::new()
        },
        places: vec![
            place("staging", &["stg-web-1"], &[]),
            place("prod", &["web-1", "web-2"], &["web-\u{1b}[31m9"]),
        ],
    };
    let advised = |at: usize| Advised {
        id: format!("GO-2023-{}", 2100 + at),
        aliases: strings(&["CVE-2023-39325", "GHSA-4374-p667-p6c8"]),
        summary: "HTTP/2 rapid reset can cause excessive work in net/http".into(),
        found: vec![
            found(
                "golang.org/x/net",
                "v0.16.0",
                (at != 3).then(|| format!("0.17.{at}")),
                "go.program[github.com/acme/pay]",
            ),
            found("stdlib", "1.20.9", Some("1.20.10".into()), "go.program[github.com/acme/ledger]"),
        ],
    };
    let unknowns = vec![Unjudged {
        path: "go.program".into(),
        reason: "partial".into(),
        places: vec![place("staging", &["stg-web-4"], &[])],
    }];
    Affected { advisories: 4291, nodes: 14, affected: (0..number).map(advised).collect(), unknowns }
}
