//! One finding or fact, with everything that led to it.

use evenkeel_drift::Values;
use evenkeel_drift::explain::{Deciding, Explanation};
use evenkeel_drift::policy::AdviceTexts;
use evenkeel_drift::report::Finding;

use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::history::Change;
use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::text::escape;
use crate::unknowns::cannot_tell;
use crate::values::roles;
use crate::view::View;
use crate::when::moment;
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
    /// Of a sysctl: the file and line that will set it at the next boot, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_in: Option<Values>,
}

impl View for Explained {
    const WHAT: &'static str = "an explanation";

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
    let Explained { explanation, changes, set_in } = explained;
    let Explanation { path, findings, unknowns, rules, advice, values } = explanation;
    let mut page = Page::new(screen);
    page.line(0, Ink::Strong, &escape(path));
    for finding in findings {
        page.blank();
        one(&mut page, finding, path);
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
    page.blank();
    page.line(0, Ink::Strong, "VALUES");
    roles(&mut page, values, names_width);
    if let Some(set_in) = set_in {
        page.blank();
        page.line(0, Ink::Strong, "SET AT BOOT BY");
        roles(&mut page, set_in, names_width);
    }
    if !changes.is_empty() {
        page.blank();
        page.line(0, Ink::Strong, "CHANGED");
        page.table(2, &changed(changes));
    }
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

/// When, on which node, from what to what.
fn changed(changes: &[Change]) -> Columns {
    let mut table = Columns::new(&[]);
    for Change { at, node, environment, before, after, by, .. } in changes {
        let [before, after] = [before, after].map(|side| value_text(side.state, Some(&side.value)));
        table.row(vec![
            Cell::new(&moment(*at)),
            Cell::new(&format!("{node} ({environment})")),
            Cell::new(&format!("{before} -> {after}")),
        ]);
        if let Some(by) = by {
            let by = Cell::new(&format!("by {by}")).ink(Ink::Faint);
            table.row(vec![Cell::new(""), Cell::new(""), by]);
        }
    }
    table
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
    let Finding { id, path, kind, severity, status, role, since, summary, reason, .. } = finding;
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
    page.line(2, Ink::Plain, &escape(summary));
    if !reason.is_empty() {
        page.line(2, Ink::Faint, &format!("why: {}", escape(reason)));
    }
}
