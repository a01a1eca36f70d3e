//! A report with every value, every node and every reason, over the whole width of the screen.

use evenkeel_drift::Report;
use evenkeel_drift::report::{Finding, Part, ValueCount};

use crate::columns::{Cell, Columns};
use crate::frame::{footer, header};
use crate::page::Page;
use crate::report::{findings, sentence, since, title, unclear};
use crate::screen::{Ink, Screen};
use crate::text::{count, escape};
use crate::when::moment;
use crate::words::{kind_word, status_word};

/// The report.
pub(crate) fn report(report: &Report, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    header(&mut page, report);
    findings(&mut page, &report.findings, |page, finding| {
        page.line(2, Ink::Strong, &title(finding));
        let since = since(report, finding).map(|since| format!(", {since} ({})", moment(finding.since)));
        whole(page, finding, &since.unwrap_or_default());
    });
    unclear(&mut page, report);
    footer(&mut page, report);
    page.finish()
}

/// Everything that is known of one finding.
pub(crate) fn whole(page: &mut Page, finding: &Finding, since: &str) {
    let Finding { id, kind, status, values, nodes, reason, .. } = finding;
    let meta = format!("{}  {}, {}{since}", escape(id), kind_word(*kind), status_word(*status));
    page.line(4, Ink::Faint, &meta);
    page.line(4, Ink::Plain, &escape(sentence(finding)));
    let mut table = Columns::new(&[]);
    for ValueCount { environment, value, state, nodes } in values {
        table.row(vec![
            Cell::new(environment),
            Cell::value(*state, value.as_deref()),
            Cell::new(&count(*nodes, "node")),
        ]);
    }
    page.table(6, &table);
    if !nodes.is_empty() {
        let names: Vec<_> = nodes.iter().map(|name| escape(name)).collect();
        page.line(4, Ink::Plain, &format!("on {}", names.join(" ")));
    }
    if !reason.is_empty() {
        page.line(4, Ink::Faint, &format!("why: {}", escape(reason)));
    }
    each_with_it(page, 4, finding);
}

/// Everything that has the same cause.
pub(crate) fn each_with_it(page: &mut Page, indent: usize, finding: &Finding) {
    for Part { path, summary, .. } in &finding.parts {
        page.line(indent, Ink::Plain, &format!("with it {}: {}", escape(path), escape(summary)));
    }
}
