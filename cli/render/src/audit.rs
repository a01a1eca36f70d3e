//! What was done to the collector, by whom, when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::view::View;
use crate::when::stamp;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.audit/v1";

/// Entries, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What was done.
    pub entries: Vec<Entry>,
    /// Whether older ones were left out.
    pub more: bool,
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The position of the journal.
    pub journal: u64,
    /// When it was done, by the collector's clock.
    pub at: Timestamp,
    /// By whom: `admin ada`, `token 1a2b3c4d5e`.
    pub who: String,
    /// What kind of thing: `token.created`, `user.revoked`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// The environments that it concerns; empty: all.
    pub environments: Vec<String>,
    /// The same in a sentence.
    pub what: String,
}

impl View for Audit {
    const WHAT: &'static str = "an audit";

    fn table(&self, screen: &Screen) -> String {
        self.rows(screen, false)
    }

    fn wide(&self, screen: &Screen) -> String {
        self.rows(screen, true)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&["at", "journal", "who", "action", "subject", "environments", "what"]);
        for Entry { journal, at, who, action, subject, environments, what } in &self.entries {
            let (at, journal) = (at.to_string(), journal.to_string());
            sheet.row([&*at, &journal, who, action, subject, &environments.join(" "), what]);
        }
        Some(sheet)
    }
}

impl Audit {
    fn rows(&self, screen: &Screen, wide: bool) -> String {
        if self.entries.is_empty() {
            return "Nothing was done.\n".into();
        }
        let headers: &[&str] = if wide {
            &["WHEN (UTC)", "JOURNAL", "WHO", "ACTION", "WHAT"]
        } else {
            &["WHEN (UTC)", "WHO", "WHAT"]
        };
        let mut table = Columns::new(headers).lead();
        for Entry { journal, at, who, action, subject: _, environments: _, what } in &self.entries {
            let mut row = vec![Cell::new(&stamp(*at)), Cell::new(who).ink(Ink::Strong), Cell::new(what)];
            if wide {
                row.insert(1, Cell::number(*journal));
                row.insert(3, Cell::new(action));
            }
            table.row(row);
        }
        let total = match self.entries.len() {
            1 => "1 entry".to_owned(),
            more => format!("{more} entries"),
        };
        let more = if self.more { "; older ones exist: use --since or --who" } else { "" };
        format!("{}\n{total}{more}\n", table.render(screen, 0))
    }
}
