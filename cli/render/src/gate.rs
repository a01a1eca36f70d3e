//! Whether an environment may be promoted into another.

use evenkeel_drift::gate::{GateOutcome, GateVerdict};
use evenkeel_drift::report::{Finding, Severity};

use crate::page::Page;
use crate::report::{MOST, rest, rows, sentence, title, with_it};
use crate::results::{Mood, Results};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::{count, escape, names};
use crate::unknowns::cannot_tell;
use crate::view::View;
use crate::wide::each_with_it;
use crate::words::severity_word;

/// Names of nodes in a table take at most this many columns; wide shows all names.
const NAMES_WIDTH: usize = 40;

impl View for GateOutcome {
    const WHAT: &'static str = "a gate's answer";

    fn arrange(&mut self) {
        crate::order::findings(&mut self.findings);
        crate::order::unknowns(&mut self.unknowns);
    }

    fn schema(&self) -> Option<&'static str> {
        Some("evenkeel.gate/v1")
    }

    fn table(&self, screen: &Screen) -> String {
        show(self, screen, NAMES_WIDTH)
    }

    fn wide(&self, screen: &Screen) -> String {
        show(self, screen, usize::MAX)
    }

    fn sheet(&self) -> Option<Sheet> {
        Some(rows(&[&self.from, &self.to], &self.to, &self.findings, &self.unknowns))
    }

    fn results(&self, _screen: &Screen) -> Option<Results<'_>> {
        let GateOutcome { verdict, from, to, fail_on: _, findings, accepted: _, unknowns } = self;
        Some(Results {
            title: format!("{from} -> {to}"),
            answer: answer(self).1,
            mood: match verdict {
                GateVerdict::Consistent => Mood::Good,
                GateVerdict::Drift => Mood::Critical,
                GateVerdict::CannotTell => Mood::Unclear,
            },
            as_of: None,
            policy: None,
            columns: vec![from, to],
            environments: &[],
            reference: to,
            findings,
            unknowns: unknowns.iter().collect(),
            dated: false,
            hints: false,
        })
    }
}

fn show(outcome: &GateOutcome, screen: &Screen, names_width: usize) -> String {
    let GateOutcome { verdict: _, from, to, fail_on: _, findings, accepted: _, unknowns } = outcome;
    let mut page = Page::new(screen);
    let (ink, answer) = answer(outcome);
    page.line(0, ink, &format!("{} -> {}: {answer}", escape(from), escape(to)));
    let shown = if names_width == usize::MAX { findings.len() } else { MOST.min(findings.len()) };
    for finding in &findings[..shown] {
        let Finding { id, severity, nodes, .. } = finding;
        page.blank();
        let what = format!("{}  {}", severity_word(*severity).to_uppercase(), title(finding));
        page.ends(0, (Ink::Of(*severity), &what), (Ink::Faint, &escape(id)));
        page.line(2, Ink::Plain, &escape(sentence(finding)));
        if names_width == usize::MAX {
            each_with_it(&mut page, 2, finding);
        } else {
            with_it(&mut page, 2, finding);
        }
        page.line(2, Ink::Plain, &format!("on {}", names(nodes, names_width)));
    }
    rest(&mut page, &findings[shown..], "--fail-on fewer");
    cannot_tell(&mut page, unknowns, usize::MAX);
    page.finish()
}

/// The answer, in one sentence.
fn answer(outcome: &GateOutcome) -> (Ink, String) {
    let GateOutcome { verdict, fail_on, findings, accepted, unknowns, .. } = outcome;
    let level = match fail_on {
        Severity::Critical => "severity critical".to_owned(),
        other => format!("severity {} or above", severity_word(*other)),
    };
    let (ink, word, why) = match verdict {
        GateVerdict::Consistent if *accepted > 0 => {
            (Ink::Good, "consistent", format!("no open difference of {level}"))
        }
        GateVerdict::Consistent => (Ink::Good, "consistent", format!("no difference of {level}")),
        GateVerdict::Drift => {
            let differences = count(findings.len() as u64, "difference");
            (Ink::Of(Severity::Critical), "drift", format!("{differences} of {level}"))
        }
        GateVerdict::CannotTell => {
            let facts = count(unknowns.len() as u64, "fact");
            (Ink::Of(Severity::Warning), "cannot tell", format!("{facts} of {level} cannot be judged"))
        }
    };
    let hidden = match accepted {
        0 => String::new(),
        _ => format!("; {accepted} accepted, hidden: evenkeel accepted"),
    };
    (ink, format!("{word} ({why}{hidden})"))
}
