//! What changed on which node, when.

pub use evenkeel_drift::explain::Side;
use evenkeel_facts::Author;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::{count, escape};
use crate::view::View;
use crate::when::stamp;
use crate::words::value_text;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.history/v1";

/// Changes, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The changes.
    pub changes: Vec<Change>,
    /// Whether older changes were left out.
    pub more: bool,
}

/// One fact that became another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When the collector took it in.
    pub at: Timestamp,
    /// The position of the journal.
    pub journal: u64,
    /// The node's name.
    pub node: String,
    /// Its environment.
    pub environment: String,
    /// The fact.
    pub path: String,
    /// What it was.
    pub before: Side,
    /// What it became.
    pub after: Side,
    /// Who did it, if the node saw that: best effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Author>,
}

impl View for History {
    const WHAT: &'static str = "a history";

    fn table(&self, screen: &Screen) -> String {
        if self.changes.is_empty() {
            return "No changes.\n".into();
        }
        let mut page = Page::new(screen);
        // One commit, one heading.
        for commit in self.changes.chunk_by(|a, b| (a.journal, &a.node) == (b.journal, &b.node)) {
            let Change { at, node, environment, .. } = &commit[0];
            let heading = format!("{}  {} ({})", stamp(*at), escape(node), escape(environment));
            page.line(0, Ink::Strong, &heading);
            let mut table = Columns::new(&[]).lead();
            for Change { path, before, after, by, .. } in commit {
                let [before, after] = [before, after].map(|side| value_text(side.state, Some(&side.value)));
                table.row(vec![Cell::new(path), Cell::new(&format!("{before} -> {after}"))]);
                if let Some(by) = by {
                    table.row(vec![Cell::new(""), Cell::new(&format!("by {by}")).ink(Ink::Faint)]);
                }
            }
            page.table(2, &table);
        }
        page.blank();
        let total = count(self.changes.len() as u64, "change");
        let more = if self.more { "; older ones exist: use --node, --path or --since" } else { "" };
        page.line(0, Ink::Plain, &format!("{total}, times in UTC{more}"));
        page.finish()
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet =
            Sheet::new(&["at", "journal", "node", "environment", "path", "before", "after", "by"]);
        for Change { at, journal, node, environment, path, before, after, by } in &self.changes {
            let [before, after] = [before, after].map(|side| value_text(side.state, Some(&side.value)));
            let by = by.as_ref().map(ToString::to_string).unwrap_or_default();
            sheet.row([
                &*at.to_string(),
                &journal.to_string(),
                node,
                environment,
                path,
                &before,
                &after,
                &by,
            ]);
        }
        Some(sheet)
    }
}
