//! Budgets, what was measured, and the verdict.

use std::fmt;

/// Everything measured in this run.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// In what something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Time,
    /// Bytes.
    Bytes,
    /// How many a second.
    Rate,
    /// How many times.
    Times,
    /// So many.
    Count,
    /// A share of one.
    Percent,
}

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// At most this share of what the peer took in the same run.
    OfPeer(f64),
    /// Nothing is promised of it.
    Nothing,
}

/// One line.
pub(crate) struct Row {
    what: String,
    unit: Unit,
    budget: Budget,
    measured: f64,
    peer: Option<(String, f64)>,
}

impl Table {
    /// Adds a line.
    pub(crate) fn row(&mut self, what: &str, unit: Unit, budget: Budget, measured: f64) {
        self.rows.push(Row { what: what.to_owned(), unit, budget, measured, peer: None });
    }

    /// Adds a line with what somebody else's program took for the same, in the same run.
    pub(crate) fn beside(
        &mut self,
        what: &str,
        unit: Unit,
        budget: Budget,
        measured: f64,
        peer: (&str, f64),
    ) {
        let peer = Some((peer.0.to_owned(), peer.1));
        self.rows.push(Row { what: what.to_owned(), unit, budget, measured, peer });
    }

    /// Adds a sentence below the table: what was not measured, and why; or what a figure does not say.
    pub(crate) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }
}

impl Unit {
    /// A figure with its unit.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures are rounded to be read"
    )]
    fn show(self, figure: f64) -> String {
        match self {
            Self::Time if figure < 1e-3 => format!("{:.1} us", figure * 1e6),
            Self::Time if figure < 1.0 => format!("{:.1} ms", figure * 1e3),
            Self::Time => format!("{figure:.2} s"),
            Self::Bytes if figure < 10_000.0 => format!("{figure:.0} B"),
            Self::Bytes if figure < 1e6 => format!("{:.1} KB", figure / 1e3),
            Self::Bytes => format!("{:.1} MB", figure / 1e6),
            Self::Rate => format!("{}/s", thousands(figure.round() as u64)),
            Self::Times => format!("{figure:.2} x"),
            Self::Count => format!("{figure:.0}"),
            Self::Percent => format!("{:.4} %", figure * 100.0),
        }
    }
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let peer = self.peer.as_ref().map(|(name, took)| format!("{name}: {}", self.unit.show(*took)));
        [
            self.what.clone(),
            self.budget(),
            self.unit.show(self.measured),
            peer.unwrap_or_default(),
            self.peer.as_ref().map(|(_, took)| share(self.measured / took)).unwrap_or_default(),
            self.verdict(),
        ]
    }

    fn budget(&self) -> String {
        match self.budget {
            Budget::AtMost(most) => format!("<= {}", self.unit.show(most)),
            Budget::AtLeast(least) => format!(">= {}", self.unit.show(least)),
            Budget::OfPeer(most) => format!("<= {} of it", share(most)),
            Budget::Nothing => String::new(),
        }
    }

    /// How many times too much; at most 1 is within the budget. `None` when nothing is promised.
    fn excess(&self) -> Option<f64> {
        match (self.budget, &self.peer) {
            (Budget::AtMost(most), _) => Some(self.measured / most),
            (Budget::AtLeast(least), _) => Some(least / self.measured),
            (Budget::OfPeer(most), Some((_, took))) => Some(self.measured / took / most),
            _ => None,
        }
    }

    fn verdict(&self) -> String {
        match self.excess() {
            None => String::new(),
            Some(excess) if excess <= 1.0 => format!("within ({:.0} %)", excess * 100.0),
            Some(excess) if excess < 1.1 => format!("misses by {excess:.2} x"),
            Some(excess) => format!("misses by {excess:.1} x"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "budget", "measured", "peer", "ratio", "verdict"].map(str::to_owned);
        let lines: Vec<[String; 6]> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: Vec<usize> =
            (0..6).map(|at| lines.iter().map(|cells| cells[at].chars().count()).max().unwrap_or(0)).collect();
        for cells in &lines {
            let line: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        let judged = self.rows.iter().filter_map(Row::excess);
        let (within, missed): (Vec<f64>, Vec<f64>) = judged.partition(|excess| *excess <= 1.0);
        writeln!(f, "\n{} within their budget, {} not.", within.len(), missed.len())?;
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

/// `1/60` for small shares, `0.30` for others.
fn share(share: f64) -> String {
    if share > 0.0 && share < 0.1 { format!("1/{:.0}", 1.0 / share) } else { format!("{share:.2}") }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
