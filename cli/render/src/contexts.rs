//! The collectors that one has logged in to.

use evenkeel_drift::report::Severity;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::view::View;
use crate::when::minute;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.contexts/v1";

/// Contexts, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contexts {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The moment that the list speaks of.
    pub as_of: Timestamp,
    /// The contexts.
    pub contexts: Vec<Context>,
}

/// One collector, and who one is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Whether it is asked when nobody says otherwise.
    pub current: bool,
    /// The collector's address.
    pub collector: String,
    /// Who the certificate says that one is; `None`: it cannot be read.
    pub user: Option<String>,
    /// What one may do there.
    pub role: Option<String>,
    /// Where one may do it; empty: everywhere.
    pub environments: Vec<String>,
    /// When the certificate ends or has ended.
    pub until: Option<Timestamp>,
}

impl View for Contexts {
    const WHAT: &'static str = "a list of contexts";

    fn table(&self, screen: &Screen) -> String {
        if self.contexts.is_empty() {
            return "No contexts: `evenkeel login` makes one.\n".into();
        }
        let mut table = Columns::new(&["", "CONTEXT", "COLLECTOR", "USER", "ROLE", "UNTIL (UTC)"]);
        for Context { name, current, collector, user, role, environments, until } in &self.contexts {
            let role = role.as_deref().unwrap_or("-");
            let role = match environments.as_slice() {
                [] => role.to_owned(),
                some => format!("{role} of {}", some.join(", ")),
            };
            let until = match until {
                Some(end) if *end <= self.as_of => {
                    Cell::new(&format!("{} (ended)", minute(*end))).ink(Ink::Of(Severity::Warning))
                }
                Some(end) => Cell::new(&minute(*end)),
                None => Cell::new("-"),
            };
            table.row(vec![
                Cell::new(if *current { "*" } else { "" }),
                Cell::new(name).ink(Ink::Strong),
                // They all begin so.
                Cell::new(collector.strip_prefix("https://").unwrap_or(collector)),
                Cell::new(user.as_deref().unwrap_or("-")),
                Cell::new(&role),
                until,
            ]);
        }
        table.render(screen, 0)
    }
}
