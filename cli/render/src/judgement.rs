//! What the policy in force says of one path, and which rules say it.

use evenkeel_drift::explain::Deciding;
use serde::{Deserialize, Serialize};

use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::escape;
use crate::view::View;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.judgement/v1";

/// What the policy says of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// `default@3`.
    pub policy: String,
    /// The path.
    pub path: String,
    /// What is decided, by which rule, and why.
    pub rules: Vec<Deciding>,
}

impl View for Judgement {
    const WHAT: &'static str = "what a policy says";

    fn table(&self, screen: &Screen) -> String {
        let mut page = Page::new(screen);
        page.line(0, Ink::Strong, &format!("{}  (policy {})", escape(&self.path), escape(&self.policy)));
        for Deciding { attribute, value, rule, reason } in &self.rules {
            page.line(2, Ink::Plain, &format!("{}: {}", escape(attribute), escape(value)));
            if let Some(rule) = rule {
                page.line(4, Ink::Faint, &format!("by the rule {}", escape(rule)));
            }
            page.line(4, Ink::Faint, &escape(reason));
        }
        page.finish()
    }

    fn sheet(&self) -> Option<Sheet> {
        let mut sheet = Sheet::new(&["attribute", "value", "rule", "reason"]);
        for Deciding { attribute, value, rule, reason } in &self.rules {
            sheet.row([&**attribute, value, rule.as_deref().unwrap_or_default(), reason]);
        }
        Some(sheet)
    }
}
