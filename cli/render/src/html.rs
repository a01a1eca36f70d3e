//! Findings as one HTML file that needs nothing else: environment by fact, with a filter that works without a server.
//! The page may load nothing: its own style and script are allowed by their digests, and there are no inline handlers.

use askama::Template;
use data_encoding::BASE64;
use evenkeel_drift::report::{Finding, Status};

use crate::results::{Held, Results, held};
use crate::text::escape;
use crate::when::moment;
use crate::words::{kind_word, percent, reason_words, severity_word, status_word};

const STYLE: &str = include_str!("../templates/page.css");
const SCRIPT: &str = include_str!("../templates/page.js");

/// Askama escapes what stands in tags and attributes; [`escape`] has made visible before what a browser would obey or hide.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    style_digest: String,
    script_digest: String,
    title: String,
    answer: String,
    mood: &'static str,
    about: Vec<String>,
    environments: Vec<Tile>,
    columns: Vec<Column<'a>>,
    groups: Vec<Group>,
    unknowns: Vec<UnclearRow>,
    total: usize,
}

struct Tile {
    name: String,
    nodes: u64,
    stale: u64,
    read: String,
    is_reference: bool,
}

struct Column<'a> {
    name: std::borrow::Cow<'a, str>,
    is_reference: bool,
}

struct Group {
    severity: &'static str,
    rows: Vec<Row>,
}

struct Row {
    path: String,
    role: String,
    status: Option<&'static str>,
    kind: &'static str,
    cells: Vec<Cell>,
    nodes: Vec<String>,
    since: Option<String>,
    summary: String,
    reason: String,
    /// What has the same cause: paths and sentences.
    parts: Vec<(String, String)>,
    id: String,
    hint: bool,
}

struct Cell {
    is_reference: bool,
    held: Vec<Value>,
}

struct Value {
    text: String,
    plain: bool,
    odd: bool,
    nodes: Option<u64>,
}

struct UnclearRow {
    path: String,
    role: String,
    reason: String,
    nodes: Vec<String>,
}

/// The page.
pub(crate) fn page(results: &Results<'_>) -> String {
    let mut about = Vec::new();
    about.extend(results.as_of.map(moment));
    about.extend(results.policy.map(|policy| format!("policy {}", escape(policy))));
    let environments = results.environments.iter().map(|environment| Tile {
        name: escape(&environment.name).into(),
        nodes: environment.nodes,
        stale: environment.stale,
        read: percent(environment.coverage),
        is_reference: environment.name == results.reference,
    });
    let columns = results
        .columns
        .iter()
        .map(|name| Column { name: escape(name), is_reference: *name == results.reference });
    let groups = results.findings.chunk_by(|a, b| a.severity == b.severity).map(|group| Group {
        severity: severity_word(group[0].severity),
        rows: group.iter().map(|finding| row(results, finding)).collect(),
    });
    let unknowns = results.unknowns.iter().map(|unknown| UnclearRow {
        path: escape(&unknown.path).into(),
        role: escape(&unknown.role).into(),
        reason: reason_words(&unknown.reason),
        nodes: unknown.nodes.iter().map(|name| escape(name).into()).collect(),
    });
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        style_digest: digest(STYLE),
        script_digest: digest(SCRIPT),
        title: escape(&results.title).into(),
        answer: escape(&results.answer).into(),
        mood: results.mood.word(),
        about,
        environments: environments.collect(),
        columns: columns.collect(),
        groups: groups.collect(),
        unknowns: unknowns.collect(),
        total: results.findings.len(),
    };
    let mut html = page.render().expect("memory takes it");
    html.push('\n');
    html
}

fn row(results: &Results<'_>, finding: &Finding) -> Row {
    let Finding { id, path, kind, severity: _, status, role, nodes, since, summary, reason, .. } = finding;
    let cells = results.columns.iter().map(|environment| {
        let held = held(finding, environment, results.reference);
        let several = held.len() > 1;
        let value = |Held { text, nodes, is_value, odd }: &Held| Value {
            text: escape(text).into(),
            plain: *is_value,
            odd: *odd,
            nodes: several.then_some(*nodes),
        };
        Cell { is_reference: *environment == results.reference, held: held.iter().map(value).collect() }
    });
    Row {
        path: escape(path).into(),
        role: escape(role).into(),
        status: (*status != Status::Open).then(|| status_word(*status)),
        kind: kind_word(*kind),
        cells: cells.collect(),
        nodes: nodes.iter().map(|name| escape(name).into()).collect(),
        since: results.dated.then(|| moment(*since)),
        summary: escape(summary).into(),
        reason: escape(reason).into(),
        parts: finding
            .parts
            .iter()
            .map(|part| (escape(&part.path).into(), escape(&part.summary).into()))
            .collect(),
        id: escape(id).into(),
        hint: results.hints,
    }
}

/// As Content-Security-Policy names an inline asset.
fn digest(asset: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, asset.as_bytes());
    format!("sha256-{}", BASE64.encode(digest.as_ref()))
}
