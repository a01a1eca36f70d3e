//! A report as a table. A tired operator shall see at once what differs, where, since when, on which nodes, and
//! which id to give to `evenkeel explain`.

use evenkeel_drift::Report;
use evenkeel_drift::report::{Finding, Severity, Status};

use crate::frame::{footer, header};
use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::text::{escape, names, width, wrap};
use crate::unknowns::cannot_tell;
use crate::view::View;
use crate::when::ago;
use crate::words::{severity_word, status_word, with_role};

/// Names of nodes share a line with the sentence when at least this many columns are left for them.
const ROOM_FOR_NAMES: usize = 20;
/// What cannot be told is named in so many lines; `--all` names it all.
const UNKNOWNS_SHOWN: usize = 5;
/// A table wider than this is hard to read.
const WIDEST: usize = 110;

impl View for Report {
    fn table(&self, screen: &Screen) -> String {
        let mut page = Page::new(&Screen { width: screen.width.min(WIDEST), ..*screen });
        header(&mut page, self);
        findings(&mut page, self, brief);
        unclear(&mut page, self);
        footer(&mut page, self);
        page.finish()
    }

    fn wide(&self, screen: &Screen) -> String {
        crate::wide::report(self, screen)
    }
}

/// The findings, under a heading for each severity.
pub(crate) fn findings(page: &mut Page, report: &Report, one: impl Fn(&mut Page, &Report, &Finding)) {
    for group in report.findings.chunk_by(|a, b| a.severity == b.severity) {
        let severity = group[0].severity;
        page.blank();
        page.line(0, Ink::Of(severity), &severity_word(severity).to_uppercase());
        for finding in group {
            one(page, report, finding);
        }
    }
}

/// One finding, in two lines where they fit: what and since when, then who has what and on which nodes.
pub(crate) fn brief(page: &mut Page, report: &Report, finding: &Finding) {
    let id = escape(&finding.id);
    let meta = since(report, finding).map_or_else(|| id.to_string(), |since| format!("{since}  {id}"));
    page.ends(2, (Ink::Strong, &title(finding)), (Ink::Faint, &meta));
    let room = page.room(4);
    let mut sentence = wrap(&escape(&finding.summary), room);
    let last = sentence.pop().unwrap_or_default();
    for line in sentence {
        page.line(4, Ink::Plain, &line);
    }
    let left = room.saturating_sub(width(&last) + 3);
    let who = names(&finding.nodes, left);
    if who.is_empty() || left < ROOM_FOR_NAMES || width(&who) > left {
        page.line(4, Ink::Plain, &last);
        if !who.is_empty() {
            page.line(4, Ink::Plain, &names(&finding.nodes, room));
        }
    } else {
        page.ends(4, (Ink::Plain, &last), (Ink::Plain, &who));
    }
    if finding.status != Status::Open && !finding.reason.is_empty() {
        let why = format!("{}: {}", status_word(finding.status), escape(&finding.reason));
        page.line(4, Ink::Faint, &why);
    }
}

/// What could have been at least a warning and cannot be told; with `--all` everything that cannot.
pub(crate) fn unclear(page: &mut Page, report: &Report) {
    let all = page.screen().all;
    let asked = report.unknowns.iter().filter(|unknown| all || unknown.severity >= Severity::Warning);
    cannot_tell(page, asked, if all { usize::MAX } else { UNKNOWNS_SHOWN });
}

/// `sysctl.net.core.somaxconn (web)`, and the status when it is not open.
pub(crate) fn title(finding: &Finding) -> String {
    let title = with_role(&finding.path, &finding.role);
    match finding.status {
        Status::Open => title,
        status => format!("{title} {}", status_word(status)),
    }
}

/// Since when; snapshot files know only when they were taken, which says nothing of it.
pub(crate) fn since(report: &Report, finding: &Finding) -> Option<String> {
    (report.journal > 0).then(|| format!("since {}", ago(finding.since, report.as_of)))
}
