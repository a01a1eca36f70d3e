//! Rows for a spreadsheet or a pull request: CSV that no spreadsheet computes, Markdown tables that ping nobody.

use crate::text::escape;

/// A header and rows of equally many cells. Cells are as they came; they are made harmless when they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// What stands in each column.
    pub headers: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// No rows yet.
    pub(crate) fn new(headers: &[&str]) -> Self {
        Self { headers: headers.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    /// One row.
    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.rows.push(cells.into_iter().map(str::to_owned).collect());
    }

    /// As CSV (RFC 4180, lines end in LF).
    pub(crate) fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in std::iter::once(&self.headers).chain(&self.rows) {
            writer.write_record(row.iter().map(|cell| defused(cell))).expect("rows are of one length");
        }
        let bytes = writer.into_inner().expect("memory takes it");
        String::from_utf8(bytes).expect("cells are text")
    }

    /// As a Markdown table; what came from machines stands as code.
    pub(crate) fn markdown(&self) -> String {
        let mut out = line(self.headers.iter().map(|head| heading(head)));
        out.push_str(&line(self.headers.iter().map(|_| "---".to_owned())));
        for row in &self.rows {
            out.push_str(&line(row.iter().map(|cell| code(cell))));
        }
        out
    }
}

/// A cell that no spreadsheet takes for a formula: one that would begin like one gets a quotation mark in front. A
/// number stays a number, -1 too. Controls are made visible.
fn defused(cell: &str) -> String {
    let cell = escape(cell);
    // Spreadsheets pass over blanks, and take full-width signs for the narrow ones.
    let formula = |c: char| matches!(c, '=' | '+' | '-' | '@' | '|' | '%' | '＝' | '＋' | '－' | '＠' | '\\');
    let begins = cell.trim_start().starts_with(formula);
    if begins && !is_number(&cell) { format!("'{cell}") } else { cell.into_owned() }
}

fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// One row of a Markdown table.
pub(crate) fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text as Markdown code, also inside a table: nothing in it is a link, a mention, HTML or the end of the cell. Empty
/// for an empty text, which Markdown has no code for.
pub(crate) fn code(text: &str) -> String {
    let text = escape(text).replace('|', "\\|");
    if text.is_empty() {
        return text;
    }
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    // A backtick or blank at an end would be taken for the fence's.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A heading: words as words, anything else as code.
pub(crate) fn heading(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') { text.to_owned() } else { code(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sheet(cell: &str) -> Sheet {
        let mut sheet = Sheet::new(&["path", "value"]);
        sheet.row(["kernel.release", cell]);
        sheet
    }

    #[test]
    fn formulas_are_defused_and_numbers_are_not() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" -cmd|' /C calc'!A0", "' -cmd|' /C calc'!A0"),
            ("-1", "-1"),
            ("-1+1", "'-1+1"),
            ("65535", "65535"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb\t=1", "a\\nb\\t=1"),
            ("\t=1", "'\\t=1"),
        ] {
            assert_eq!(sheet(cell).csv(), format!("path,value\nkernel.release,{written}\n"), "{cell:?}");
        }
    }

    #[test]
    fn code_holds_whatever_it_holds() {
        for (text, written) in [
            ("65535", "`65535`"),
            ("a|b", "`a\\|b`"),
            ("`x`", "`` `x` ``"),
            ("a``b", "```a``b```"),
            ("@ada <b>", "`@ada <b>`"),
            ("", ""),
        ] {
            assert_eq!(code(text), written);
        }
    }

    proptest! {
        /// Promise: whatever a machine says, a CSV cell is no formula, and is read as one cell of one line.
        #[test]
        fn no_cell_is_a_formula(cell in any::<String>()) {
            let text = sheet(&cell).csv();
            prop_assert_eq!(text.lines().count(), 2);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(record.len(), 2);
            let value = record.get(1).unwrap();
            prop_assert!(is_number(value) || !value.trim_start().starts_with(['=', '+', '-', '@', '|', '%']), "{}", value);
        }

        /// Promise: whatever a machine says, a Markdown table keeps its two columns.
        #[test]
        fn no_cell_ends_early(cell in any::<String>()) {
            let text = sheet(&cell).markdown();
            let row = text.lines().nth(2).unwrap();
            prop_assert_eq!(text.lines().count(), 3);
            prop_assert_eq!(row.replace("\\|", "").matches('|').count(), 3);
        }
    }
}
