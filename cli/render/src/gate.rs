//! Whether an environment may be promoted into another.

use evenkeel_drift::gate::{GateOutcome, GateVerdict};
use evenkeel_drift::report::{Finding, Severity};

use crate::page::Page;
use crate::report::title;
use crate::screen::{Ink, Screen};
use crate::text::{count, escape, names};
use crate::unknowns::cannot_tell;
use crate::view::View;
use crate::words::severity_word;

/// Names of nodes in a table take at most this many columns; wide shows all names.
const NAMES_WIDTH: usize = 40;

impl View for GateOutcome {
    fn schema(&self) -> Option<&'static str> {
        Some("evenkeel.gate/v1")
    }

    fn table(&self, screen: &Screen) -> String {
        show(self, screen, NAMES_WIDTH)
    }

    fn wide(&self, screen: &Screen) -> String {
        show(self, screen, usize::MAX)
    }
}

fn show(outcome: &GateOutcome, screen: &Screen, names_width: usize) -> String {
    let GateOutcome { verdict, from, to, fail_on, findings, unknowns } = outcome;
    let mut page = Page::new(screen);
    let level = match fail_on {
        Severity::Critical => "severity critical".to_owned(),
        other => format!("severity {} or above", severity_word(*other)),
    };
    let (ink, answer) = match verdict {
        GateVerdict::Consistent => (Ink::Good, format!("consistent (no difference of {level})")),
        GateVerdict::Drift => {
            let differences = count(findings.len() as u64, "difference");
            (Ink::Of(Severity::Critical), format!("drift ({differences} of {level})"))
        }
        GateVerdict::CannotTell => {
            let facts = count(unknowns.len() as u64, "fact");
            (Ink::Of(Severity::Warning), format!("cannot tell ({facts} of {level} cannot be judged)"))
        }
    };
    page.line(0, ink, &format!("{} -> {}: {answer}", escape(from), escape(to)));
    for finding in findings {
        let Finding { id, severity, summary, nodes, .. } = finding;
        page.blank();
        let what = format!("{}  {}", severity_word(*severity).to_uppercase(), title(finding));
        page.ends(0, (Ink::Of(*severity), &what), (Ink::Faint, &escape(id)));
        page.line(2, Ink::Plain, &escape(summary));
        page.line(2, Ink::Plain, &format!("on {}", names(nodes, names_width)));
    }
    cannot_tell(&mut page, unknowns, usize::MAX);
    page.finish()
}
