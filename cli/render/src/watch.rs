//! Findings as they open, change and end: a line or two each.

use evenkeel_drift::report::Finding;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::text::{escape, width};
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
        let head = format!("{}  {} {severity}", stamp(*at), escape(change));
        if width(&head) + 2 + width(&what) <= page.room(0) {
            page.line(0, ink, &format!("{head}  {what}"));
        } else {
            page.line(0, ink, &head);
            page.line(4, ink, &what);
        }
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

#[cfg(test)]
mod tests {
    use evenkeel_drift::report::{Kind, Names, Severity, Status};

    use super::*;

    #[test]
    fn a_long_path_has_a_line_of_its_own() {
        let at = Timestamp::UNIX_EPOCH;
        let lines = |path: &str| {
            let finding = Finding {
                id: "f-1".into(),
                path: path.into(),
                kind: Kind::Differs,
                severity: Severity::Critical,
                status: Status::Open,
                role: String::new(),
                values: Vec::new(),
                nodes: Names::default(),
                since: at,
                summary: "it differs".into(),
                reason: String::new(),
                expected: None,
                parts: Vec::new(),
                acceptance: None,
            };
            let seen = Seen { schema: SCHEMA.into(), at, change: "opened".into(), finding };
            seen.lines(&Screen { width: 60, ..Screen::default() })
        };
        assert_eq!(
            lines("go.version"),
            "1970-01-01 00:00:00  opened critical  go.version\n    it differs  f-1\n"
        );
        assert_eq!(
            lines("go.program[example.org/pay].go_version"),
            "1970-01-01 00:00:00  opened critical\n    go.program[example.org/pay].go_version\n    it differs  f-1\n"
        );
    }
}
