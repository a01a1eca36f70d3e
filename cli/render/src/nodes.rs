//! The nodes, as the collector knows them.

use std::collections::{BTreeMap, HashMap};

use evenkeel_drift::report::Severity;
use evenkeel_facts::natural;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::{Cell, Columns};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::{count, escape, wrap};
use crate::view::View;
use crate::when::{ago, stamp};

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.nodes/v1";

/// Nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The moment that the list speaks of.
    pub as_of: Timestamp,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The UUID that its certificate carries.
    pub id: String,
    /// Its host name.
    pub name: String,
    /// Its environment.
    pub environment: String,
    /// Its role; empty by default.
    pub role: String,
    /// Whether it reported within its deadline.
    pub fresh: bool,
    /// When its last message came; `null`: none since the collector started.
    pub last_seen: Option<Timestamp>,
    /// When its last commit was taken in; `null`: it has none.
    pub last_changed: Option<Timestamp>,
    /// When it was enrolled.
    pub enrolled: Option<Timestamp>,
    /// The version of its agent.
    pub agent: String,
    /// How many facts it reports.
    pub facts: u64,
    /// How many of them could not be read.
    pub unreadable: u64,
    /// As given when it was enrolled.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `member`, `evicted` or `banned`.
    #[serde(default)]
    pub standing: String,
    /// Two or more: the machines that hold its key at once.
    #[serde(default)]
    pub holders: Vec<String>,
}

impl Node {
    fn is_member(&self) -> bool {
        !matches!(self.standing.as_str(), "evicted" | "banned")
    }

    /// What is to be known of it first: `new` is enrolled, and nothing was ever heard of it.
    fn state(&self) -> &str {
        match (self.fresh, self.last_changed) {
            _ if !self.is_member() => &self.standing,
            _ if self.holders.len() > 1 => "cloned",
            (true, _) => "fresh",
            (false, None) => "new",
            (false, Some(_)) => "stale",
        }
    }

    fn ink(&self) -> Ink {
        match self.state() {
            "cloned" => Ink::Of(Severity::Critical),
            "stale" => Ink::Of(Severity::Warning),
            "fresh" => Ink::Good,
            "new" => Ink::Plain,
            _ => Ink::Faint,
        }
    }

    /// `rack=r7 site=fra1`.
    fn labels(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.join(" ")
    }
}

impl View for Nodes {
    const WHAT: &'static str = "a list of nodes";

    fn arrange(&mut self) {
        // Environments stay in order of promotion.
        for members in self.nodes.chunk_by_mut(|a, b| a.environment == b.environment) {
            crate::order::stable(members, |a, b| {
                natural::order(&a.name, &b.name).then_with(|| a.id.cmp(&b.id))
            });
        }
    }

    fn table(&self, screen: &Screen) -> String {
        self.rows(screen, false)
    }

    fn wide(&self, screen: &Screen) -> String {
        self.rows(screen, true)
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&[
            "node",
            "environment",
            "role",
            "state",
            "last seen",
            "last changed",
            "enrolled",
            "agent",
            "facts",
            "unreadable",
            "labels",
            "id",
        ]);
        for node in &self.nodes {
            let Node { id, name, environment, role, agent, facts, unreadable, .. } = node;
            let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
            let times = [node.last_seen, node.last_changed, node.enrolled].map(time);
            let counts = [facts, unreadable].map(u64::to_string);
            sheet.row([
                name,
                environment,
                role,
                node.state(),
                &times[0],
                &times[1],
                &times[2],
                agent,
                &counts[0],
                &counts[1],
                &node.labels(),
                id,
            ]);
        }
        Some(sheet)
    }
}

impl Nodes {
    fn rows(&self, screen: &Screen, wide: bool) -> String {
        if self.nodes.is_empty() {
            return "No nodes.\n".into();
        }
        let headers = ["NODE", "ENVIRONMENT", "ROLE", "STATE", "LAST SEEN", "FACTS", "UNREADABLE"];
        let more = ["AGENT", "LAST CHANGED (UTC)", "ENROLLED (UTC)", "LABELS", "ID"];
        let mut table =
            Columns::new(&if wide { [&headers[..], &more].concat() } else { headers.to_vec() }).lead();
        let mut called: HashMap<(&str, &str), u64> = HashMap::new();
        for node in &self.nodes {
            *called.entry((&node.environment, &node.name)).or_default() += 1;
        }
        for node in &self.nodes {
            // A name is what the machine gives itself: two of an environment may have one, and are told apart by their ids.
            let name = match called[&(&*node.environment, &*node.name)] {
                1 => node.name.clone(),
                _ => format!("{} ({})", node.name, node.id.get(..8).unwrap_or(&node.id)),
            };
            let mut row = vec![
                Cell::new(&name).ink(Ink::Strong),
                Cell::new(&node.environment),
                Cell::new(if node.role.is_empty() { "-" } else { &node.role }),
                Cell::new(node.state()).ink(node.ink()),
                Cell::new(&node.last_seen.map_or_else(|| "-".into(), |time| ago(time, self.as_of))),
                Cell::number(node.facts),
                Cell::number(node.unreadable),
            ];
            if wide {
                let labels = node.labels();
                let time = |time: Option<Timestamp>| Cell::new(&time.map_or_else(|| "-".into(), stamp));
                row.extend([
                    Cell::new(&node.agent),
                    time(node.last_changed),
                    time(node.enrolled),
                    Cell::new(if labels.is_empty() { "-" } else { &labels }),
                    Cell::new(&node.id),
                ]);
            }
            table.row(row);
        }
        let members = || self.nodes.iter().filter(|node| node.is_member());
        let number = |state: &str| self.nodes.iter().filter(|node| node.state() == state).count();
        let new = match number("new") {
            0 => String::new(),
            new => format!(", {new} new"),
        };
        let stale = number("stale");
        let total = count(members().count() as u64, "node");
        format!("{}{}\n{total}, {stale} stale{new}\n", table.render(screen, 0), self.clones(screen))
    }

    /// What is wrong with a node whose key several machines hold, and what to do.
    fn clones(&self, screen: &Screen) -> String {
        let mut text = String::new();
        for node in self.nodes.iter().filter(|node| node.holders.len() > 1) {
            let holders = node.holders.join(", ");
            let sentence = format!(
                "{}: {} machines hold its key: {holders}. On all but one, stop the agent, enrol it anew \
                 (evenkeel-agent enroll --again, with a token) and start it.",
                node.name,
                node.holders.len(),
            );
            text.push('\n');
            for line in wrap(&escape(&sentence), screen.width) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}
