//! What is kept to hold others against.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::view::View;
use crate::when::stamp;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.baselines/v1";

/// Baselines, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baselines {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What is kept.
    pub baselines: Vec<Baseline>,
}

/// One baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its name, for `baseline/NAME`.
    pub name: String,
    /// What it was made from.
    pub from: String,
    /// The moment that it shows.
    pub as_of: Timestamp,
    /// How many nodes it has; 0 for a list of expectations.
    pub nodes: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub by: String,
}

impl View for Baselines {
    const WHAT: &'static str = "a list of baselines";

    fn table(&self, screen: &Screen) -> String {
        if self.baselines.is_empty() {
            return "There is no baseline: evenkeel baseline create NAME --from ENV\n".into();
        }
        let mut table = Columns::new(&["NAME", "FROM", "AS OF (UTC)", "NODES", "BY"]).lead();
        for Baseline { name, from, as_of, nodes, created: _, by } in &self.baselines {
            table.row(vec![
                Cell::new(name).ink(Ink::Strong),
                // The moment has a column of its own.
                Cell::new(from.split_once('@').map_or(from, |(what, _)| what)),
                Cell::new(&stamp(*as_of)),
                Cell::number(*nodes),
                Cell::new(by),
            ]);
        }
        table.render(screen, 0)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&["name", "from", "as_of", "nodes", "created", "by"]);
        for Baseline { name, from, as_of, nodes, created, by } in &self.baselines {
            let (as_of, nodes, created) = (as_of.to_string(), nodes.to_string(), created.to_string());
            sheet.row([&**name, from, &as_of, &nodes, &created, by]);
        }
        Some(sheet)
    }
}
