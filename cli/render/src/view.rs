//! What can be shown, and in which formats.

use std::fmt::Write as _;

use serde::Serialize;

use crate::results::Results;
use crate::screen::Screen;
use crate::sheet::Sheet;
use crate::text::is_unsafe;
use crate::{html, junit, markdown, sarif};

/// How something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, at a glance.
    Table,
    /// For people, with every value and node.
    Wide,
    /// For programs: the stable, versioned form.
    Json,
    /// For spreadsheets; no cell is a formula.
    Csv,
    /// For a pull request.
    Markdown,
    /// For a browser: one self-contained file.
    Html,
    /// For a CI's list of tests.
    Junit,
    /// For code scanning: SARIF 2.1.0.
    Sarif,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Table,
        Self::Wide,
        Self::Json,
        Self::Csv,
        Self::Markdown,
        Self::Html,
        Self::Junit,
        Self::Sarif,
    ];

    /// As `--output` names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Wide => "wide",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Junit => "junit",
            Self::Sarif => "sarif",
        }
    }
}

/// What was asked for has no such form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be written as {}; it can be as {}", .format.word(), either(.fitting))]
pub struct Unsuited {
    /// What was asked for.
    pub what: &'static str,
    /// The format.
    pub format: Format,
    /// The formats that it has.
    pub fitting: Vec<Format>,
}

/// `table, wide or json`.
fn either(formats: &[Format]) -> String {
    let words: Vec<&str> = formats.iter().map(|format| format.word()).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Something that can be shown. Its JSON is its serde form.
pub trait View: Serialize {
    /// What it is, in a sentence: `a list of nodes`.
    const WHAT: &'static str;

    /// Puts names in the order in which people read them (`web-2` before `web-11`), for every format.
    fn arrange(&mut self) {}

    /// For people, at a glance.
    fn table(&self, screen: &Screen) -> String;

    /// The `schema` field of its JSON, where its serde form has none.
    fn schema(&self) -> Option<&'static str> {
        None
    }

    /// For people, with everything; where there is no more to tell, the table.
    fn wide(&self, screen: &Screen) -> String {
        self.table(screen)
    }

    /// Its rows, for CSV; and for Markdown where it has no findings.
    fn sheet(&self) -> Option<Sheet> {
        None
    }

    /// Its findings, for Markdown, HTML, JUnit and SARIF.
    fn results(&self, _screen: &Screen) -> Option<Results<'_>> {
        None
    }
}

/// The view as text; every line, the last too, ends in a line break.
pub fn render<V: View>(view: &V, format: Format, screen: &Screen) -> Result<String, Unsuited> {
    let shown = match format {
        Format::Table => Some(view.table(screen)),
        Format::Wide => Some(view.wide(screen)),
        Format::Json => Some(match view.schema() {
            Some(schema) => json(&Headed { schema, view }),
            None => json(view),
        }),
        Format::Csv => view.sheet().map(|sheet| sheet.csv()),
        Format::Markdown => match view.results(screen) {
            Some(results) => Some(markdown::page(&results)),
            None => view.sheet().map(|sheet| sheet.markdown()),
        },
        Format::Html => view.results(screen).map(|results| html::page(&results)),
        Format::Junit => view.results(screen).map(|results| junit::document(&results)),
        Format::Sarif => view.results(screen).map(|results| sarif::document(&results)),
    };
    shown.ok_or_else(|| {
        let (rows, findings) = (view.sheet().is_some(), view.results(screen).is_some());
        let fits = |format: &Format| match format {
            Format::Table | Format::Wide | Format::Json => true,
            Format::Csv => rows,
            Format::Markdown => rows || findings,
            Format::Html | Format::Junit | Format::Sarif => findings,
        };
        Unsuited { what: V::WHAT, format, fitting: Format::ALL.into_iter().filter(fits).collect() }
    })
}

#[derive(Serialize)]
struct Headed<'a, V> {
    schema: &'static str,
    #[serde(flatten)]
    view: &'a V,
}

/// Pretty JSON. Characters that JSON allows and a terminal obeys are written `\u202e`: the same JSON to a program,
/// harmless to a person.
pub(crate) fn json(view: &impl Serialize) -> String {
    let raw = serde_json::to_string_pretty(view).expect("views have only text keys");
    let mut out = String::with_capacity(raw.len() + 1);
    let mut units = [0; 2];
    for c in raw.chars() {
        // The line breaks are the printer's own: inside strings it has escaped them.
        if c == '\n' || !is_unsafe(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            write!(out, "\\u{unit:04x}").expect("writing to memory");
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_to_a_program_and_harmless_to_a_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}\u{e0001}\n\"ü\"";
        let shown = json(&[hostile]);
        assert_eq!(shown, "[\n  \"a\\u001b[2J\\u009b31m\\u202e\\udb40\\udc01\\n\\\"ü\\\"\"\n]\n");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [hostile]);
    }
}
