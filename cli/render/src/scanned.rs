//! What came of looking at hosts.

use std::fmt::Write as _;

use evenkeel_drift::report::Severity;
use serde::Serialize;

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::text::{count, escape};
use crate::view::View;

/// What came of looking at hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scanned {
    /// Where the snapshots are.
    pub directory: String,
    /// The hosts, as they were named.
    pub hosts: Vec<ScannedHost>,
}

/// What came of looking at one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScannedHost {
    /// As it was named.
    pub host: String,
    /// Its snapshot's file, and how many facts it has and could not read; or why there is none.
    pub outcome: Result<(String, u64, u64), String>,
}

impl View for Scanned {
    const WHAT: &'static str = "a scan";

    fn table(&self, screen: &Screen) -> String {
        let mut table = Columns::new(&["HOST", "SNAPSHOT", "FACTS", "UNREADABLE"]).lead();
        let mut failed = Vec::new();
        for ScannedHost { host, outcome } in &self.hosts {
            match outcome {
                Ok((file, facts, unreadable)) => table.row(vec![
                    Cell::new(host).ink(Ink::Strong),
                    Cell::new(file),
                    Cell::number(*facts),
                    Cell::number(*unreadable),
                ]),
                Err(why) => {
                    table.row(vec![
                        Cell::new(host).ink(Ink::Strong),
                        Cell::new("-").ink(Ink::Of(Severity::Warning)),
                    ]);
                    failed.push(vec![Cell::new(host), Cell::new(why)]);
                }
            }
        }
        let mut out = table.render(screen, 0);
        if !failed.is_empty() {
            out.push_str("\nNOT LOOKED AT\n");
            let mut table = Columns::new(&[]).lead();
            let number = failed.len();
            for row in failed {
                table.row(row);
            }
            out.push_str(&table.render(screen, 2));
            let _ = writeln!(out, "\n{number} of {} failed", count(self.hosts.len() as u64, "host"));
        }
        if self.hosts.iter().any(|host| host.outcome.is_ok()) {
            let _ = writeln!(out, "\nnext: evenkeel report {}", escape(&self.directory));
        }
        out
    }
}
