//! One finding or fact, with everything that led to it.

use std::borrow::Cow;

use evenkeel_drift::Values;
use evenkeel_drift::explain::{Deciding, Explanation, NodeSince, Side};
use evenkeel_drift::policy::AdviceTexts;
use evenkeel_drift::report::Finding;
use evenkeel_facts::{Author, natural};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::history::Change;
use crate::page::Page;
use crate::report::sentence;
use crate::screen::{Ink, Screen};
use crate::text::{count, escape, names};
use crate::unknowns::cannot_tell;
use crate::values::roles;
use crate::view::View;
use crate::when::moment;
use crate::wide::each_with_it;
use crate::words::{kind_word, severity_word, status_word, value_text};

/// Names of nodes in a table take at most this many columns; wide shows all names.
const NAMES_WIDTH: usize = 30;

/// An explanation, with what the history and other facts add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What the engine says.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// The newest changes of the fact, the newest first.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Of a sysctl that changes at the next boot: what it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_boot: Option<Values>,
    /// Of a sysctl: the file and line that will set it at the next boot, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_in: Option<Values>,
}

impl View for Explained {
    const WHAT: &'static str = "an explanation";

    fn arrange(&mut self) {
        crate::order::explanation(&mut self.explanation);
        self.next_boot.iter_mut().chain(&mut self.set_in).for_each(crate::order::values);
    }

    fn schema(&self) -> Option<&'static str> {
        Some("evenkeel.explanation/v1")
    }

    fn table(&self, screen: &Screen) -> String {
        show(self, screen, NAMES_WIDTH)
    }

    fn wide(&self, screen: &Screen) -> String {
        show(self, screen, usize::MAX)
    }
}

fn show(explained: &Explained, screen: &Screen, names_width: usize) -> String {
    let Explained { explanation, changes, next_boot, set_in } = explained;
    let Explanation { path, findings, unknowns, rules, advice, values, .. } = explanation;
    let mut page = Page::new(screen);
    page.line(0, Ink::Strong, &escape(path));
    for finding in findings {
        page.blank();
        one(&mut page, finding, path);
        // Where no value is anybody else's, the nodes stand nowhere below.
        if values.roles.is_empty() {
            page.line(2, Ink::Plain, &format!("on {}", names(&finding.nodes, usize::MAX)));
        }
    }
    if let Some(advice) = advice.as_ref().filter(|_| !findings.is_empty()) {
        page.blank();
        self::advice(&mut page, advice);
    }
    if findings.is_empty() && unknowns.is_empty() {
        page.blank();
        page.line(0, Ink::Good, "No difference.");
    }
    cannot_tell(&mut page, unknowns, usize::MAX);
    if !values.roles.is_empty() {
        page.blank();
        // Beside what comes it is said that this is what runs.
        page.line(0, Ink::Strong, if next_boot.is_some() { "RUNNING NOW" } else { "VALUES" });
        roles(&mut page, values, names_width);
    }
    for (head, values) in [("SET AT THE NEXT BOOT TO", next_boot), ("SET AT BOOT BY", set_in)] {
        if let Some(values) = values {
            page.blank();
            page.line(0, Ink::Strong, head);
            roles(&mut page, values, names_width);
        }
    }
    since(&mut page, explanation, changes, names_width);
    page.blank();
    page.line(0, Ink::Strong, "POLICY");
    let mut table = Columns::new(&[]);
    for Deciding { attribute, value, rule, reason } in rules {
        let why = match rule {
            Some(rule) => format!("{reason} (rule {rule})"),
            None => reason.clone(),
        };
        table.row(vec![Cell::new(attribute), Cell::new(value).ink(Ink::Strong), Cell::new(&why)]);
    }
    page.table(2, &table);
    page.blank();
    let next = match findings.first() {
        Some(finding) => format!("next: evenkeel fix {}", escape(&finding.id)),
        None => format!("next: evenkeel history --path '{}'", escape(path)),
    };
    page.line(0, Ink::Faint, &next);
    page.finish()
}

/// So many nodes are told one by one in a table; wide tells all that are listed.
const TOLD: usize = 20;

/// When each node became what it is, and by whom; then what else the journal says of the fact.
fn since(page: &mut Page, explanation: &Explanation, changes: &[Change], names_width: usize) {
    let Explanation { path, nodes, more_nodes, .. } = explanation;
    let told = if names_width == usize::MAX { usize::MAX } else { TOLD };
    let is_thing = path.ends_with(']');
    let (first, turned): (Vec<&NodeSince>, Vec<&NodeSince>) =
        nodes.iter().partition(|node| node.since_first_report);
    let mut table = Columns::new(&[]);
    // Of a thing the journal says which of its facts changed.
    let turned = if is_thing { Vec::new() } else { turned };
    for NodeSince { node, environment, now, since, before, by, .. } in turned.iter().take(told) {
        let before = before.as_ref().map(|before| format!("{} -> ", text(before))).unwrap_or_default();
        turn(&mut table, (*since, node, environment), &format!("{before}{}", text(now)), by.as_ref());
    }
    let earlier = changes.iter().filter(|change| {
        let is_told = |node: &&NodeSince| {
            (&node.node, &node.environment, node.since) == (&change.node, &change.environment, change.at)
        };
        is_thing || change.path != *path || !turned.iter().any(is_told)
    });
    let mut past = Columns::new(&[]);
    for Change { at, node, environment, path: fact, before, after, by, .. } in earlier {
        // Of a thing: which of its facts.
        let fact = fact.strip_prefix(path.as_str()).filter(|_| is_thing).unwrap_or_default();
        let fact = fact.trim_start_matches('.');
        let fact = if fact.is_empty() { String::new() } else { format!("{fact}: ") };
        let what = format!("{fact}{} -> {}", text(before), text(after));
        turn(if is_thing { &mut table } else { &mut past }, (*at, node, environment), &what, by.as_ref());
    }
    let left = turned.len().saturating_sub(told) as u64;
    as_first_reported(&mut table, &first, names_width);
    if !table.is_empty() {
        page.blank();
        page.line(0, Ink::Strong, "CHANGED");
        page.table(2, &table);
    }
    if left > 0 {
        page.line(2, Ink::Faint, &format!("{} more changed: see -o wide", count(left, "node")));
    }
    if *more_nodes > 0 {
        page.line(
            2,
            Ink::Faint,
            &format!("{} not listed: see evenkeel history", count(*more_nodes, "more node")),
        );
    }
    if !past.is_empty() {
        page.blank();
        // A collector that is older than the list of nodes says only this.
        let head = if nodes.is_empty() { "CHANGED" } else { "BEFORE THAT" };
        page.line(0, Ink::Strong, head);
        page.table(2, &past);
    }
}

/// Whoever is what it was at first, in a line for each environment.
fn as_first_reported(table: &mut Columns, nodes: &[&NodeSince], names_width: usize) {
    let mut environments: Vec<(&str, Vec<&NodeSince>)> = Vec::new();
    for node in nodes {
        match environments.iter_mut().find(|(name, _)| *name == node.environment) {
            Some((_, nodes)) => nodes.push(node),
            None => environments.push((&node.environment, vec![node])),
        }
    }
    for (environment, nodes) in environments {
        let mut known: Vec<String> = nodes.iter().map(|node| node.node.clone()).collect();
        natural::sort(&mut known);
        let first = nodes.iter().map(|node| node.since).min().expect("never empty");
        let so = Cell::new("as first reported").ink(Ink::Faint);
        let who = format!("{} ({})", names(&known, names_width), escape(environment));
        table.row(vec![Cell::new(&moment(first)).ink(Ink::Faint), Cell::escaped(who), so]);
    }
}

/// When, on which node, what became what, and by whom.
fn turn(
    table: &mut Columns,
    (at, node, environment): (Timestamp, &str, &str),
    what: &str,
    by: Option<&Author>,
) {
    table.row(vec![Cell::new(&moment(at)), Cell::new(&format!("{node} ({environment})")), Cell::new(what)]);
    if let Some(by) = by {
        let by = Cell::new(&format!("by {by}")).ink(Ink::Faint);
        table.row(vec![Cell::new(""), Cell::new(""), by]);
    }
}

fn text(side: &Side) -> Cow<'_, str> {
    value_text(side.state, Some(&side.value))
}

/// What it can break, what to do, and where it stands.
fn advice(page: &mut Page, advice: &AdviceTexts) {
    let AdviceTexts { risk, remedy, file } = advice;
    let mut table = Columns::new(&[]);
    for (head, text) in [("can break", risk), ("what to do", remedy), ("stands in", file)] {
        if !text.is_empty() {
            table.row(vec![Cell::new(head).ink(Ink::Strong), Cell::new(text)]);
        }
    }
    page.table(2, &table);
}

/// What, how bad, since when; at a thing (`go.program[x]`) the explained fact may be another path.
fn one(page: &mut Page, finding: &Finding, explained: &str) {
    let Finding { id, path, kind, severity, status, role, since, reason, .. } = finding;
    let role = if role.is_empty() { String::new() } else { format!(" (role {})", escape(role)) };
    let at = if path == explained { String::new() } else { format!(" at {}", escape(path)) };
    let words = format!(
        "{}  {}, {}{role}{at}",
        severity_word(*severity).to_uppercase(),
        kind_word(*kind),
        status_word(*status)
    );
    let meta = format!("since {}  {}", moment(*since), escape(id));
    page.ends(0, (Ink::Of(*severity), &words), (Ink::Faint, &meta));
    page.line(2, Ink::Plain, &escape(sentence(finding)));
    if !reason.is_empty() {
        page.line(2, Ink::Faint, &format!("why: {}", escape(reason)));
    }
    each_with_it(page, 2, finding);
}
