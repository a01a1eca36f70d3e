//! The facts of one node.

use evenkeel_drift::report::State;
use evenkeel_facts::natural;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::Screen;
use crate::sheet::Sheet;
use crate::text::{count, escape};
use crate::view::View;
use crate::when::stamp;
use crate::words::value_text;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.facts/v1";

/// The facts of one node, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The node's name.
    pub node: String,
    /// The facts.
    pub facts: Vec<Fact>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its path.
    pub path: String,
    /// Whether it is there.
    pub state: State,
    /// The value when present, the reason when unreadable.
    pub value: String,
    /// Since when it is so, where that is known.
    pub since: Option<Timestamp>,
}

impl View for Facts {
    const WHAT: &'static str = "a list of facts";

    fn arrange(&mut self) {
        crate::order::stable(&mut self.facts, |a, b| natural::order(&a.path, &b.path));
    }

    fn table(&self, screen: &Screen) -> String {
        self.rows(screen, false)
    }

    fn wide(&self, screen: &Screen) -> String {
        self.rows(screen, true)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&["node", "path", "value", "since"]);
        for Fact { path, state, value, since } in &self.facts {
            let since = since.map(|since| since.to_string()).unwrap_or_default();
            sheet.row([&*self.node, path, &value_text(*state, Some(value)), &since]);
        }
        Some(sheet)
    }
}

impl Facts {
    fn rows(&self, screen: &Screen, wide: bool) -> String {
        if self.facts.is_empty() {
            return format!("{}: no facts of that name.\n", escape(&self.node));
        }
        let mut table =
            Columns::new(if wide { &["PATH", "VALUE", "SINCE (UTC)"] } else { &["PATH", "VALUE"] }).lead();
        for fact in &self.facts {
            let mut row = vec![Cell::new(&fact.path), Cell::value(fact.state, Some(&fact.value))];
            if wide {
                row.push(Cell::new(&fact.since.map_or_else(|| "-".into(), stamp)));
            }
            table.row(row);
        }
        let blind = self.facts.iter().filter(|fact| fact.state == State::Unreadable).count();
        let total = count(self.facts.len() as u64, "fact");
        format!("{}\n{}: {total}, {blind} could not be read\n", table.render(screen, 0), escape(&self.node))
    }
}
