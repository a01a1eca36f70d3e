//! What the output goes to: how wide it is, and whether it shows colour.

use anstyle::{AnsiColor, Style};
use evenkeel_drift::report::Severity;

/// What the output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns. Lines are broken to fit.
    pub width: usize,
    /// Whether to colour.
    pub colour: bool,
    /// Whether what is hidden by default was asked for: hints at it are left out.
    pub all: bool,
    /// Whether `evenkeel explain` knows what is shown.
    pub hints: bool,
}

impl Default for Screen {
    /// 80 columns without colour: a pipe, a file, an old terminal.
    fn default() -> Self {
        Self { width: 80, colour: false, all: false, hints: true }
    }
}

/// What a piece of text means; the colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Strong,
    Faint,
    Good,
    Of(Severity),
}

impl Screen {
    /// The text in the colour of its meaning. Widths are to be counted before.
    pub(crate) fn paint(&self, ink: Ink, text: &str) -> String {
        let style = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Strong => Style::new().bold(),
            Ink::Faint => Style::new().dimmed(),
            Ink::Good => AnsiColor::Green.on_default().bold(),
            Ink::Of(Severity::Critical) => AnsiColor::Red.on_default().bold(),
            Ink::Of(Severity::Warning) => AnsiColor::Yellow.on_default().bold(),
            Ink::Of(Severity::Info) => AnsiColor::Cyan.on_default().bold(),
        };
        if self.colour && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
