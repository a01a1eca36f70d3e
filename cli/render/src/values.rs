//! One fact over the fleet: every value, and the nodes that hold it.

use evenkeel_drift::values::{EnvironmentValues, Held, RoleValues, Values};

use crate::columns::{Cell, Columns};
use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::{escape, names};
use crate::view::View;
use crate::words::value_text;

/// Names of nodes in a table take at most this many columns; wide shows all names.
const NAMES_WIDTH: usize = 30;

impl View for Values {
    const WHAT: &'static str = "a fact's values";

    fn arrange(&mut self) {
        crate::order::values(self);
    }

    fn schema(&self) -> Option<&'static str> {
        Some("evenkeel.values/v1")
    }

    fn table(&self, screen: &Screen) -> String {
        show(self, screen, NAMES_WIDTH)
    }

    fn wide(&self, screen: &Screen) -> String {
        show(self, screen, usize::MAX)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&["path", "role", "environment", "value", "nodes", "names"]);
        for RoleValues { role, environments } in &self.roles {
            for EnvironmentValues { environment, values, stale } in environments {
                let mut row = |value: &str, nodes: &[String]| {
                    let count = nodes.len().to_string();
                    sheet.row([&*self.path, role, environment, value, &count, &nodes.join(" ")]);
                };
                for Held { value, state, reason, nodes } in values {
                    row(&value_text(*state, value.as_deref().or(reason.as_deref())), nodes);
                }
                if !stale.is_empty() {
                    row("<stale>", stale);
                }
            }
        }
        Some(sheet)
    }
}

fn show(values: &Values, screen: &Screen, names_width: usize) -> String {
    let mut page = Page::new(screen);
    page.line(0, Ink::Strong, &escape(&values.path));
    if values.roles.is_empty() {
        page.line(
            2,
            Ink::Plain,
            "No node knows this fact. `evenkeel facts NODE` lists those that a node knows.",
        );
    }
    roles(&mut page, values, names_width);
    page.finish()
}

/// A table for each role; `names_width` is how many columns the names of nodes may take.
pub(crate) fn roles(page: &mut Page, values: &Values, names_width: usize) {
    for RoleValues { role, environments } in &values.roles {
        if !role.is_empty() {
            page.line(2, Ink::Plain, &format!("role {}", escape(role)));
        }
        let mut table = Columns::new(&["ENVIRONMENT", "VALUE", "NODES", ""]);
        for EnvironmentValues { environment, values, stale } in environments {
            for Held { value, state, reason, nodes } in values {
                table.row(vec![
                    Cell::new(environment),
                    Cell::value(*state, value.as_deref().or(reason.as_deref())),
                    Cell::number(nodes.len() as u64),
                    Cell::escaped(names(nodes, names_width)),
                ]);
            }
            if !stale.is_empty() {
                table.row(vec![
                    Cell::new(environment),
                    Cell::new("<stale>").ink(Ink::Faint),
                    Cell::number(stale.len() as u64),
                    Cell::escaped(names(stale, names_width)),
                ]);
            }
        }
        page.table(2, &table);
    }
}
