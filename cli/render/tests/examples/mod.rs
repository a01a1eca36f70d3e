//! Reports and lists to show.

pub(crate) mod judged;
pub(crate) mod people;

use evenkeel_drift::report::{
    Environment, Finding, Kind, Part, Report, SCHEMA, Severity, State, Status, Summary, Unknown, ValueCount,
};
use evenkeel_facts::Author;
use evenkeel_render::{facts, history, nodes};
use jiff::Timestamp;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn environment(name: &str, nodes: u64, stale: &[&str], coverage: f64) -> Environment {
    let stale_nodes = strings(stale);
    let stale = stale_nodes.len() as u64;
    Environment { name: name.into(), nodes, fresh: nodes - stale, stale, stale_nodes, coverage }
}

/// Four whole environments and these findings, counted.
pub(crate) fn report(findings: Vec<Finding>) -> Report {
    let count = |status, severity: Option<Severity>| {
        findings.iter().filter(|f| f.status == status && severity.is_none_or(|s| s == f.severity)).count()
            as u64
    };
    let summary = Summary {
        critical: count(Status::Open, Some(Severity::Critical)),
        warning: count(Status::Open, Some(Severity::Warning)),
        info: count(Status::Open, Some(Severity::Info)),
        explained: count(Status::Explained, None),
        accepted: count(Status::Accepted, None),
        unknown: 0,
    };
    Report {
        schema: SCHEMA.into(),
        as_of: at("2026-11-22T10:00:00Z"),
        journal: 1042,
        policy: "default@1".into(),
        reference: "prod".into(),
        environments: ["dev", "test", "staging", "prod"].map(|name| environment(name, 3, &[], 1.0)).into(),
        findings,
        unknowns: Vec::new(),
        summary,
        noise: None,
    }
}

fn value(environment: &str, value: Option<&str>, nodes: u64) -> ValueCount {
    let state = if value.is_some() { State::Present } else { State::Absent };
    ValueCount { environment: environment.into(), value: value.map(str::to_owned), state, nodes }
}

pub(crate) fn go_version() -> Finding {
    Finding {
        id: "f-3k9xa7c2qd".into(),
        path: "go.version".into(),
        kind: Kind::Differs,
        severity: Severity::Critical,
        status: Status::Open,
        role: String::new(),
        values: vec![value("prod", Some("1.21.6"), 3), value("staging", Some("1.20.14"), 3)],
        nodes: strings(&["stg-web-1", "stg-web-2", "stg-web-3"]).into(),
        since: at("2026-11-20T03:12:00Z"),
        summary: "staging has 1.20.14, older than prod's 1.21.6".into(),
        reason: "a Go release changes the runtime, the standard library and the time zone rules".into(),
        expected: None,
        parts: Vec::new(),
        acceptance: None,
    }
}

pub(crate) fn one() -> Report {
    report(vec![go_version()])
}

/// A container engine came up: one finding, and what it brought along.
pub(crate) fn one_cause() -> Report {
    let part = |path: &str, summary: &str| Part {
        id: format!("f-{}", path.len()),
        path: path.into(),
        kind: Kind::Differs,
        severity: Severity::Info,
        summary: summary.into(),
    };
    let parts = vec![
        part("sysctl.net.ipv4.conf.all.forwarding", "staging has 1, prod has 0"),
        part("sysctl.net.ipv6.conf.all.forwarding", "staging has 1, prod has 0"),
    ];
    let finding = go_version();
    let summary = format!("{} (and 2 more facts with it)", finding.summary);
    report(vec![Finding { parts, summary, ..finding }])
}

pub(crate) fn unknown() -> Report {
    let mut report = report(Vec::new());
    report.environments[2] = environment("staging", 12, &["stg-9", "stg-10"], 0.9987);
    report.environments[0] = environment("dev", 0, &[], 1.0);
    let unknown = |path: &str, severity, reason: &str, nodes: &[&str]| Unknown {
        path: path.into(),
        severity,
        role: "web".into(),
        reason: reason.into(),
        nodes: strings(nodes).into(),
    };
    report.unknowns = vec![
        unknown("go.program", Severity::Critical, "permission", &["stg-1", "stg-2", "stg-3"]),
        unknown("*", Severity::Critical, "stale", &["stg-9", "stg-10"]),
        unknown("go.program[x/y].module[a]", Severity::Warning, "unversioned", &["stg-1"]),
        unknown("tzdata.version", Severity::Critical, "not_collected", &["test-1"]),
        unknown("go.program[x/y].module[b]", Severity::Warning, "unversioned", &["stg-1"]),
        unknown("sysctl.net.core.bpf_jit_harden", Severity::Info, "permission", &["stg-1"]),
    ];
    report.summary.unknown = 6;
    report.summary.info = 1;
    report
}

pub(crate) fn empty() -> Report {
    let mut report = report(Vec::new());
    report.environments =
        ["dev", "test", "staging", "prod"].map(|name| environment(name, 0, &[], 1.0)).into();
    report
}

pub(crate) fn many() -> Report {
    let long_names: Vec<String> = (1..=9).map(|n| format!("stg-web-{n}.fra1.example.com")).collect();
    let mut report = report(vec![
        go_version(),
        Finding {
            id: "f-aaaaaaaaa2".into(),
            path: "go.program[github.com/acme/payments/cmd/server].go_version".into(),
            role: "web".into(),
            kind: Kind::Split,
            nodes: long_names.into(),
            values: vec![
                value("prod", Some("1.21.6"), 412),
                value("staging", Some("1.20.14"), 9),
                value("staging", Some("1.21.6"), 3),
            ],
            summary: "staging: 9 of 12 nodes have 1.20.14, older than prod's 1.21.6; test: 1 of 3 nodes has 1.22.0, newer than prod's 1.21.6".into(),
            since: at("2026-11-22T09:58:30Z"),
            ..go_version()
        },
        Finding {
            id: "f-aaaaaaaaa3".into(),
            path: "package[ca-certificates].version".into(),
            kind: Kind::Missing,
            severity: Severity::Warning,
            values: vec![value("prod", Some("20230311"), 3), value("dev", None, 1), value("dev", Some("20230311"), 2)],
            nodes: strings(&["dev-1"]).into(),
            summary: "dev: missing on 1 of 3 nodes, prod has 20230311".into(),
            ..go_version()
        },
        Finding {
            id: "f-aaaaaaaaa4".into(),
            path: "fs.file-max".into(),
            severity: Severity::Info,
            status: Status::Explained,
            summary: "staging has 1048576, prod has 9223372036854775807".into(),
            reason: "derived from memory: these nodes have 16 GiB and 32 GiB".into(),
            ..go_version()
        },
    ]);
    report.environments[2] = environment("staging", 12, &["stg-web-4"], 0.998);
    report.summary.unknown = 2;
    report
}

/// Everything that a hostile machine can put into a report.
pub(crate) fn hostile() -> Report {
    let evil = "1.2\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\r\n\u{202e}6.12.1\u{2066}";
    let mut report = report(vec![Finding {
        id: evil.into(),
        path: format!("go.program[{evil}].version"),
        role: evil.into(),
        values: vec![value(evil, Some(evil), 1), value("prod", Some(""), 1), value("日本", Some("値"), 1)],
        nodes: [evil.into()].into(),
        summary: format!("staging has {evil}"),
        reason: evil.into(),
        status: Status::Accepted,
        ..go_version()
    }]);
    report.reference = evil.into();
    report.environments.push(environment(evil, 2, &[evil], 0.5));
    report.unknowns = vec![Unknown {
        path: evil.into(),
        severity: Severity::Critical,
        role: evil.into(),
        reason: evil.into(),
        nodes: [evil.into()].into(),
    }];
    report.summary.unknown = 1;
    report
}

pub(crate) fn nodes() -> nodes::Nodes {
    let node = |name: &str, role: &str, fresh| nodes::Node {
        id: "0190c1de-0000-4000-8000-000000000001".into(),
        name: name.into(),
        environment: "staging".into(),
        role: role.into(),
        fresh,
        last_seen: fresh.then(|| at("2026-11-22T09:59:30Z")),
        last_changed: Some(at("2026-11-20T03:12:00Z")),
        enrolled: Some(at("2026-11-01T00:00:00Z")),
        agent: "0.1.0".into(),
        facts: 1336,
        unreadable: 24,
        labels: [("rack".to_owned(), "r7".to_owned())].into(),
        standing: "member".into(),
        holders: Vec::new(),
    };
    let holders = vec!["stg-web-2 at 10.0.0.7".to_owned(), "stg-web-9 at 10.0.0.8".to_owned()];
    nodes::Nodes {
        schema: nodes::SCHEMA.into(),
        as_of: at("2026-11-22T10:00:00Z"),
        nodes: vec![
            node("stg-web-1", "web", true),
            nodes::Node { holders, ..node("stg-web-2", "web", true) },
            nodes::Node { standing: "banned".into(), ..node("stg-web-3", "web", false) },
            nodes::Node { last_changed: None, last_seen: None, facts: 0, ..node("stg-web-4", "web", false) },
            nodes::Node {
                id: "0190c1df-0000-4000-8000-000000000002".into(),
                ..node("stg-web-1", "web", true)
            },
            node("stg-\u{1b}[31mdb", "", false),
        ],
    }
}

pub(crate) fn facts() -> facts::Facts {
    let fact = |path: &str, state, value: &str| facts::Fact {
        path: path.into(),
        state,
        value: value.into(),
        since: Some(at("2026-11-20T03:12:00Z")),
    };
    facts::Facts {
        schema: facts::SCHEMA.into(),
        node: "stg-web-1".into(),
        facts: vec![
            fact("go.program[github.com/acme/pay].module[golang.org/x/net]", State::Present, "v0.17.0"),
            fact("kernel.cmdline[console]", State::Present, ""),
            fact("kernel.version", State::Present, "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)"),
            fact("sysctl.net.core.bpf_jit_harden", State::Unreadable, "permission"),
            fact("time.zone", State::Absent, ""),
        ],
    }
}

pub(crate) fn history() -> history::History {
    let side = |state, value: &str| history::Side { state, value: value.into() };
    let change = |path: &str, before, after| history::Change {
        at: at("2026-11-20T03:12:00Z"),
        journal: 7,
        node: "stg-web-1".into(),
        environment: "staging".into(),
        path: path.into(),
        before,
        after,
        by: (path == "sysctl.net.core.somaxconn").then(|| Author {
            path: path.into(),
            pid: 4711,
            command: "sysctl".into(),
            user: "root".into(),
            login: "ada".into(),
            unit: "session-3.scope".into(),
        }),
    };
    history::History {
        schema: history::SCHEMA.into(),
        changes: vec![
            change("sysctl.net.core.somaxconn", side(State::Present, "65535"), side(State::Present, "4096")),
            change(
                "package[openssl].version",
                side(State::Absent, ""),
                side(State::Present, "3.0.15-1~deb12u1"),
            ),
        ],
        more: true,
    }
}
