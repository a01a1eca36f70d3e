//! What can be shown, and in which formats.

use std::fmt::Write as _;

use serde::Serialize;

use crate::screen::Screen;
use crate::text::is_unsafe;

/// How something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, at a glance.
    Table,
    /// For people, with every value and node.
    Wide,
    /// For programs: the stable, versioned form.
    Json,
}

/// Something that can be shown. Its JSON is its serde form.
pub trait View: Serialize {
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
}

/// The view as text; every line, the last too, ends in a line break.
pub fn render(view: &impl View, format: Format, screen: &Screen) -> String {
    match format {
        Format::Table => view.table(screen),
        Format::Wide => view.wide(screen),
        Format::Json => match view.schema() {
            Some(schema) => json(&Headed { schema, view }),
            None => json(view),
        },
    }
}

#[derive(Serialize)]
struct Headed<'a, V> {
    schema: &'static str,
    #[serde(flatten)]
    view: &'a V,
}

/// Pretty JSON. Characters that JSON allows and a terminal obeys are written `\u202e`: the same JSON to a program,
/// harmless to a person.
fn json(view: &impl Serialize) -> String {
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
