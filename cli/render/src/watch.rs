//! Findings as they open, change and end: a line or two each.

use evenkeel_drift::report::Finding;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::text::escape;
use crate::when::stamp;
use crate::words::{severity_word, with_role};

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.transition/v1";

/// What happened to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// When.
    pub at: Timestamp,
    /// `standing` (open when the watch began), `opened`, `changed`, `resolved`, `reopened`.
    pub change: String,
    /// The finding as it is; of a resolved one as it was last.
    pub finding: Finding,
}

impl Seen {
    /// For people.
    pub fn lines(&self, screen: &Screen) -> String {
        let Self { schema: _, at, change, finding } = self;
        let mut page = Page::new(screen);
        let what = with_role(&finding.path, &finding.role);
        let ink = if change == "resolved" { Ink::Good } else { Ink::Of(finding.severity) };
        let severity = severity_word(finding.severity);
        page.line(0, ink, &format!("{}  {} {severity}  {what}", stamp(*at), escape(change)));
        page.line(4, Ink::Plain, &format!("{}  {}", escape(&finding.summary), escape(&finding.id)));
        page.finish()
    }

    /// For programs: one line.
    pub fn json(&self) -> String {
        // The printer escapes line breaks; whatever else a terminal obeys is no business of a line for programs.
        let text = serde_json::to_string(self).expect("a finding has only text keys");
        format!("{}\n", text.replace(crate::text::is_unsafe, "\u{fffd}"))
    }
}
