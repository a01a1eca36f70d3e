//! Promise: escape sequences, direction marks and HTML in any text that a machine says are harmless in every format.

use crate::examples::{self, judged};
use evenkeel_drift::GateVerdict;
use evenkeel_drift::report::{Finding, Kind, Part, Report, Severity, State, Status, Unknown, ValueCount};
use evenkeel_render::remedy::{Choice, Remedy, RemedyFile, SCHEMA};
use evenkeel_render::{Format, Screen, View, render};
use proptest::prelude::*;

/// Pieces that some reader of some format would obey.
const PIECES: &[&str] = &[
    "\u{1b}[2J",
    "\u{1b}]0;x\u{7}",
    "\u{9b}31m",
    "\r",
    "\n",
    "\t",
    "\u{0}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{2028}",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onclick='x",
    "</style>",
    "<!--",
    "-->",
    "]]>",
    "&amp;",
    "&#60;",
    "{{ x }}",
    "{% raw %}",
    "`",
    "```",
    "|",
    "\\|",
    "\\",
    "[a](javascript:b)",
    "@ada",
    "#1",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "https://example.org",
    ",",
    "\"",
    "'",
    ";",
    "é",
    "日本",
    " ",
    "a",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

/// A report in which every text is this one.
fn report(text: &str) -> Report {
    let value = |environment: &str| ValueCount {
        environment: environment.into(),
        value: Some(text.into()),
        state: State::Present,
        nodes: 1,
    };
    let finding = |kind, status| Finding {
        id: text.into(),
        path: text.into(),
        kind,
        severity: Severity::Warning,
        status,
        role: text.into(),
        values: vec![value("prod"), value(text)],
        nodes: vec![text.into(); 5].into(),
        since: examples::at("2026-11-20T03:12:00Z"),
        summary: text.into(),
        reason: text.into(),
        expected: Some(text.into()),
        parts: vec![Part {
            id: text.into(),
            path: text.into(),
            kind,
            severity: Severity::Info,
            summary: text.into(),
        }],
        acceptance: None,
    };
    let mut report = examples::report(vec![
        finding(Kind::Differs, Status::Open),
        finding(Kind::Violates, Status::Open),
        finding(Kind::Differs, Status::Accepted),
    ]);
    report.environments[0].name = text.into();
    report.environments[0].stale = 1;
    report.environments[0].stale_nodes = vec![text.into()];
    report.policy = text.into();
    let unknown = |path: &str| Unknown {
        path: path.into(),
        severity: Severity::Critical,
        role: text.into(),
        reason: text.into(),
        nodes: [text.into()].into(),
    };
    report.unknowns = vec![unknown(text)];
    report
}

/// What gives a document of this format its shape: nothing that a machine says may add to it or take from it.
fn shape(format: Format, shown: &str) -> Vec<usize> {
    let count = |piece: &str| shown.matches(piece).count();
    match format {
        Format::Html | Format::Junit => vec![count("<"), count(">"), count("\"")],
        Format::Json | Format::Sarif => {
            let _: serde_json::Value = serde_json::from_str(shown).expect("it is JSON");
            vec![shown.lines().count()]
        }
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(shown.as_bytes());
            let cells = reader.records().map(|row| row.expect("rows are of one length").len());
            cells.chain([shown.lines().count()]).collect()
        }
        Format::Markdown => {
            // A pipe in a cell, which the table takes for two other characters.
            let bare = shown.replace("\\|", "__");
            vec![
                shown.lines().count(),
                bare.matches('|').count(),
                bare.matches("](").count() - in_code(&bare, "]("),
            ]
        }
        Format::Table | Format::Wide => Vec::new(),
    }
}

/// How often a piece stands in code, where Markdown leaves it alone. Code never spans lines here.
fn in_code(markdown: &str, piece: &str) -> usize {
    let mut found = 0;
    for line in markdown.lines() {
        let mut rest = line;
        while let Some(open) = rest.find('`') {
            let fence: String = rest[open..].chars().take_while(|c| *c == '`').collect();
            let inside = &rest[open + fence.len()..];
            let Some(close) = closing(inside, &fence) else { break };
            found += inside[..close].matches(piece).count();
            rest = &inside[close + fence.len()..];
        }
    }
    found
}

/// Where a run of exactly so many backticks stands.
fn closing(text: &str, fence: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let begin = at + found;
        let run = text[begin..].bytes().take_while(|byte| *byte == b'`').count();
        if run == fence.len() {
            return Some(begin);
        }
        at = begin + run;
    }
    None
}

fn harmless(view: &impl View, tame: &impl View) -> Result<(), TestCaseError> {
    for format in Format::ALL {
        let screen = Screen { width: 80, colour: false, all: true, hints: true };
        let (Ok(shown), Ok(expected)) = (render(view, format, &screen), render(tame, format, &screen)) else {
            continue;
        };
        let obeyed = |c: char| {
            c.is_control() && c != '\n'
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{feff}')
        };
        prop_assert!(!shown.contains(obeyed), "{}: {shown:?}", format.word());
        prop_assert_eq!(shape(format, &shown), shape(format, &expected), "{}: {}", format.word(), shown);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports(text in hostile()) {
        harmless(&report(&text), &report("x"))?;
    }

    #[test]
    fn gates(text in hostile()) {
        let gate = |text: &str| {
            let Report { findings, unknowns, .. } = report(text);
            evenkeel_drift::GateOutcome { from: text.into(), findings, unknowns, ..judged::gate(GateVerdict::Drift) }
        };
        harmless(&gate(&text), &gate("x"))?;
    }

    #[test]
    fn lists(text in hostile()) {
        let nodes = |text: &str| {
            let mut nodes = examples::nodes();
            for node in &mut nodes.nodes {
                for field in [&mut node.id, &mut node.name, &mut node.environment, &mut node.role, &mut node.agent] {
                    text.clone_into(field);
                }
                node.labels = [(text.to_owned(), text.to_owned())].into();
            }
            nodes
        };
        harmless(&nodes(&text), &nodes("x"))?;
        let facts = |text: &str| {
            let mut facts = examples::facts();
            text.clone_into(&mut facts.node);
            for fact in &mut facts.facts {
                (fact.path, fact.value) = (text.to_owned(), text.to_owned());
            }
            facts
        };
        harmless(&facts(&text), &facts("x"))?;
    }

    #[test]
    fn answers(text in hostile()) {
        let affected = |text: &str| {
            let mut affected = judged::affected(12);
            for advised in &mut affected.affected {
                for field in [&mut advised.id, &mut advised.summary] {
                    text.clone_into(field);
                }
                advised.aliases = vec![text.to_owned()];
                for found in &mut advised.found {
                    for field in [&mut found.module, &mut found.version, &mut found.thing, &mut found.pending] {
                        text.clone_into(field);
                    }
                    found.fixed = Some(text.to_owned());
                    for place in &mut found.places {
                        (place.environment, place.nodes) = (text.to_owned(), vec![text.to_owned()]);
                    }
                }
            }
            affected
        };
        harmless(&affected(&text), &affected("x"))?;
        let remedy = |text: &str| Remedy {
            schema: SCHEMA.into(),
            finding: text.into(),
            path: text.into(),
            summary: text.into(),
            nodes: [text.into()].into(),
            value: Some(text.into()),
            advice: text.into(),
            at_boot: vec![text.into()],
            choices: Vec::new(),
            shell: "true\n".into(),
            file: Some(RemedyFile { path: text.into(), content: String::new() }),
            ansible: String::new(),
        };
        harmless(&remedy(&text), &remedy("x"))?;
        // Whatever is said, no line of it is a command.
        let screen = Screen { width: 80, colour: false, all: true, hints: true };
        let shown = render(&remedy(&text), Format::Table, &screen).unwrap();
        let commands: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        prop_assert_eq!(commands, ["true"]);
        let choices = vec![Choice { keep: text.clone(), values: vec![text.clone()] }];
        let choose = |text: &str| Remedy { shell: String::new(), file: None, choices: choices.clone(), ..remedy(text) };
        let shown = render(&choose(&text), Format::Table, &screen).unwrap();
        prop_assert!(shown.lines().all(|line| line.starts_with('#')), "{}", shown);
    }
}
