//! A page of lines for one screen: broken to fit, indented, coloured.

use crate::columns::Columns;
use crate::screen::{Ink, Screen};
use crate::text::{width, wrap};

/// Two ends of a line further apart than this do not look like one line.
const WIDEST: usize = 110;

/// Lines, from top to bottom. Texts are escaped before they come here.
pub(crate) struct Page {
    screen: Screen,
    out: String,
}

impl Page {
    pub(crate) fn new(screen: &Screen) -> Self {
        Self { screen: *screen, out: String::new() }
    }

    /// How many columns are left behind an indent.
    pub(crate) fn room(&self, indent: usize) -> usize {
        self.screen.width.saturating_sub(indent)
    }

    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    pub(crate) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// One text, in as many lines as it needs.
    pub(crate) fn line(&mut self, indent: usize, ink: Ink, text: &str) {
        for line in wrap(text, self.room(indent)) {
            self.push(&[&" ".repeat(indent), &self.screen.paint(ink, &line)]);
        }
    }

    /// Two texts, one at each end of a line; when they do not fit, the right one gets a line of its own.
    pub(crate) fn ends(&mut self, indent: usize, left: (Ink, &str), right: (Ink, &str)) {
        let room = self.room(indent).min(WIDEST.saturating_sub(indent));
        let taken = width(left.1) + width(right.1);
        if taken + 2 > room {
            self.line(indent, left.0, left.1);
            self.line(indent + 2, right.0, right.1);
            return;
        }
        let (blanks, gap) = (" ".repeat(indent), " ".repeat(room - taken));
        let [left, right] = [left, right].map(|(ink, text)| self.screen.paint(ink, text));
        self.push(&[&blanks, &left, &gap, &right]);
    }

    pub(crate) fn table(&mut self, indent: usize, table: &Columns) {
        self.out.push_str(&table.render(&self.screen, indent));
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    fn push(&mut self, pieces: &[&str]) {
        self.out.extend(pieces.iter().copied());
        self.out.push('\n');
    }
}
