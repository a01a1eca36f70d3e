//! Rows in aligned columns. Columns are as wide as their widest cell; when the screen is too narrow, the widest
//! columns give way and their cells break into lines. With [`Columns::lead`] the first column never breaks (it holds
//! paths, which people copy): a cell that takes more than half of the screen gets a line of its own.

use evenkeel_drift::report::State;

use crate::screen::{Ink, Screen};
use crate::text::{escape, width, wrap};
use crate::words::value_text;

/// Between two columns.
const GAP: usize = 2;
/// A column gives way no further than this.
const LEAST: usize = 8;

/// A table under construction.
pub(crate) struct Columns {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    lead: bool,
}

/// One cell: escaped text, its meaning, and whether it is a number.
pub(crate) struct Cell {
    text: String,
    ink: Ink,
    right: bool,
}

impl Cell {
    /// Text from anywhere; it is escaped here.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: escape(text).into_owned(), ink: Ink::Plain, right: false }
    }

    /// Text that is escaped already.
    pub(crate) fn escaped(text: String) -> Self {
        Self { text, ink: Ink::Plain, right: false }
    }

    /// A number: aligned to the right.
    pub(crate) fn number(number: u64) -> Self {
        Self { right: true, ..Self::new(&number.to_string()) }
    }

    /// A value, or what stands in its place, faint.
    pub(crate) fn value(state: State, value: Option<&str>) -> Self {
        let cell = Self::new(&value_text(state, value));
        let is_value = state == State::Present && value.is_some_and(|value| !value.is_empty());
        if is_value { cell } else { cell.ink(Ink::Faint) }
    }

    pub(crate) fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }
}

impl Columns {
    /// Without headers (empty) no header line is printed.
    pub(crate) fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new(), lead: false }
    }

    /// The first column never breaks.
    pub(crate) fn lead(self) -> Self {
        Self { lead: true, ..self }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, each line behind `indent` blanks.
    pub(crate) fn render(&self, screen: &Screen, indent: usize) -> String {
        let widths = self.fit(screen.width.saturating_sub(indent));
        let mut out = String::new();
        if !self.headers.is_empty() {
            let heads: Vec<Cell> = self.headers.iter().map(|head| Cell::new(head).ink(Ink::Faint)).collect();
            push_row(&mut out, &heads, &widths, screen, indent);
        }
        for row in &self.rows {
            match &row[..] {
                [first, rest @ ..] if self.lead && width(&first.text) > widths[0] => {
                    for line in wrap(&first.text, screen.width.saturating_sub(indent)) {
                        out.extend([&" ".repeat(indent), &screen.paint(first.ink, &line), "\n"]);
                    }
                    push_row(&mut out, rest, &widths[1..], screen, indent + widths[0] + GAP);
                }
                row => push_row(&mut out, row, &widths, screen, indent),
            }
        }
        out
    }

    /// The width of each column. The widest gives way first, one column at a time.
    fn fit(&self, room: usize) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(self.headers.len());
        let natural = |at: usize| {
            let limit = if self.lead && at == 0 { room / 2 } else { usize::MAX };
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| width(&cell.text));
            let cells = cells.filter(|width| *width <= limit).max().unwrap_or(0);
            cells.max(self.headers.get(at).map_or(0, |head| width(head)))
        };
        let mut widths: Vec<usize> = (0..columns).map(natural).collect();
        let yielding = usize::from(self.lead)..columns;
        let room = room.saturating_sub(GAP * columns.saturating_sub(1));
        loop {
            let over = widths.iter().sum::<usize>().saturating_sub(room);
            let Some(widest) = yielding.clone().max_by_key(|at| widths[*at]) else { return widths };
            if over == 0 || widths[widest] <= LEAST {
                return widths;
            }
            // Down to the second widest, so that equals share the loss.
            let second = yielding.clone().filter(|at| *at != widest).map(|at| widths[at]).max().unwrap_or(0);
            let step = over.min((widths[widest] - second).max(1));
            widths[widest] = (widths[widest] - step).max(LEAST);
        }
    }
}

fn push_row(out: &mut String, cells: &[Cell], widths: &[usize], screen: &Screen, indent: usize) {
    let broken: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, width)| wrap(&cell.text, *width)).collect();
    for line in 0..broken.iter().map(Vec::len).max().unwrap_or(0) {
        let mut text = " ".repeat(indent);
        // Blanks are kept back until something stands behind them: no line ends in blanks.
        let mut blanks = 0;
        for ((cell, lines), column) in cells.iter().zip(&broken).zip(widths) {
            let piece = lines.get(line).map_or("", String::as_str);
            let rest = column.saturating_sub(width(piece));
            let (before, behind) = if cell.right { (rest, 0) } else { (0, rest) };
            if piece.is_empty() {
                blanks += column + GAP;
                continue;
            }
            text.push_str(&" ".repeat(blanks + before));
            text.push_str(&screen.paint(cell.ink, piece));
            blanks = behind + GAP;
        }
        out.push_str(text.trim_end_matches(' '));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(width: usize) -> String {
        let mut table = Columns::new(&["NODE", "FACTS", "VALUE"]);
        table.row(vec![Cell::new("web-1"), Cell::number(1336), Cell::new("a long value of many words")]);
        table.row(vec![Cell::new("web-10"), Cell::number(7), Cell::new("x\u{1b}[0m")]);
        table.render(&Screen { width, ..Screen::default() }, 2)
    }

    #[test]
    fn columns_align_and_numbers_stand_right() {
        assert_eq!(
            example(80),
            "  NODE    FACTS  VALUE\n  web-1    1336  a long value of many words\n  web-10      7  x\\x1b[0m\n"
        );
    }

    #[test]
    fn the_widest_column_gives_way() {
        assert_eq!(
            example(32),
            "  NODE    FACTS  VALUE\n  web-1    1336  a long value of\n                 many words\n  web-10      7  x\\x1b[0m\n"
        );
        assert!(example(1).lines().count() > 4, "too narrow is ugly, never wrong");
    }

    #[test]
    fn a_leading_path_does_not_break() {
        let mut table = Columns::new(&["PATH", "VALUE"]).lead();
        table.row(vec![Cell::new("kernel.release"), Cell::new("6.1.0-30-cloud-amd64 of Debian")]);
        table.row(vec![Cell::new("go.program[github.com/acme/pay].module"), Cell::new("v0.17.0")]);
        let screen = Screen { width: 40, ..Screen::default() };
        assert_eq!(
            table.render(&screen, 0),
            "PATH            VALUE\nkernel.release  6.1.0-30-cloud-amd64 of\n                Debian\n\
             go.program[github.com/acme/pay].module\n                v0.17.0\n"
        );
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let mut table = Columns::new(&[]);
        table.row(vec![Cell::new("a").ink(Ink::Good), Cell::new("b")]);
        let screen = Screen { colour: true, ..Screen::default() };
        assert_eq!(table.render(&screen, 0), "\u{1b}[1m\u{1b}[32ma\u{1b}[0m  b\n");
    }
}
