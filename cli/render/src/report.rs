//! A report as a table. A tired operator shall see at once what differs, where, since when, on which nodes, and
//! which id to give to `evenkeel explain`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use evenkeel_drift::Report;
use evenkeel_drift::report::{Finding, Severity, Status, Unknown};

use crate::columns::{Cell, Columns};
use crate::frame::{counts, footer, header, scope};
use crate::page::Page;
use crate::results::{Mood, Results, held, in_one_cell};
use crate::screen::{Ink, Screen};
use crate::sheet::Sheet;
use crate::text::{count, escape, names, width, wrap};
use crate::unknowns::cannot_tell;
use crate::view::View;
use crate::when::ago;
use crate::words::{kind_word, severity_word, status_word, with_role};

/// Names of nodes share a line with the sentence when at least this many columns are left for them.
const ROOM_FOR_NAMES: usize = 20;
/// What cannot be told is named in so many lines; `--all` names it all.
const UNKNOWNS_SHOWN: usize = 5;
/// A person reads no more findings than this; what is beyond is counted by family.
pub(crate) const MOST: usize = 100;
/// With `--all` a person searches.
const MOST_OF_ALL: usize = 1_000;
/// A table wider than this is hard to read.
const WIDEST: usize = 110;

impl View for Report {
    const WHAT: &'static str = "a report";

    fn arrange(&mut self) {
        crate::order::report(self);
    }

    fn table(&self, screen: &Screen) -> String {
        let mut page = Page::new(&Screen { width: screen.width.min(WIDEST), ..*screen });
        header(&mut page, self);
        let shown = if screen.all { MOST_OF_ALL } else { MOST };
        findings(&mut page, &self.findings[..shown.min(self.findings.len())], |page, finding| {
            brief(page, self, finding);
        });
        let fewer = "--severity, --env and --role fewer";
        rest(&mut page, &self.findings[shown.min(self.findings.len())..], fewer);
        unclear(&mut page, self);
        footer(&mut page, self);
        page.finish()
    }

    fn wide(&self, screen: &Screen) -> String {
        crate::wide::report(self, screen)
    }

    fn sheet(&self) -> Option<Sheet> {
        let columns = columns(self);
        Some(rows(&columns, &self.reference, &self.findings, &self.unknowns))
    }

    fn results(&self, screen: &Screen) -> Option<Results<'_>> {
        let asked = |unknown: &&Unknown| screen.all || unknown.severity >= Severity::Warning;
        let unknowns: Vec<&Unknown> = self.unknowns.iter().filter(asked).collect();
        Some(Results {
            title: scope(self),
            // A page has no flags.
            answer: counts(self, (!screen.all).then_some("")),
            mood: Mood::of(&self.findings, &unknowns),
            as_of: Some(self.as_of),
            policy: Some(&self.policy),
            columns: columns(self),
            environments: &self.environments,
            reference: &self.reference,
            findings: &self.findings,
            unknowns,
            dated: self.journal > 0,
            hints: screen.hints,
        })
    }
}

/// The environments, the reference last: it is what the others are held against, and stands where promotion ends.
fn columns(report: &Report) -> Vec<&str> {
    let (reference, others): (Vec<&str>, Vec<&str>) = report
        .environments
        .iter()
        .map(|environment| &*environment.name)
        .partition(|name| *name == report.reference);
    [others, reference].concat()
}

/// A row for each finding, with a column for each environment; then what could not be told.
pub(crate) fn rows(columns: &[&str], reference: &str, findings: &[Finding], unknowns: &[Unknown]) -> Sheet {
    let heads = ["severity", "kind", "status", "path", "role"];
    let mut sheet =
        Sheet::new(&[&heads[..], columns, &["nodes", "since", "summary", "reason", "id"]].concat());
    for finding in findings {
        let Finding { id, path, kind, severity, status, role, nodes, since, summary, reason, .. } = finding;
        let cells: Vec<String> =
            columns.iter().map(|environment| in_one_cell(&held(finding, environment, reference))).collect();
        let (names, since) = (nodes.join(" "), since.to_string());
        let head = [severity_word(*severity), kind_word(*kind), status_word(*status), path, role];
        sheet.row(
            head.into_iter()
                .chain(cells.iter().map(String::as_str))
                .chain([&*names, &since, summary, reason, id]),
        );
        // What has the same cause is a row of its own: whoever filters by path finds it.
        for part in &finding.parts {
            let because = format!("same cause as {}", finding.id);
            let head = [
                severity_word(part.severity),
                kind_word(part.kind),
                status_word(finding.status),
                &*part.path,
                &finding.role,
            ];
            let blank = columns.iter().map(|_| "");
            sheet.row(head.into_iter().chain(blank).chain([
                &*names,
                &since,
                &part.summary,
                &because,
                &part.id,
            ]));
        }
    }
    for Unknown { path, severity, role, reason, nodes } in unknowns {
        let names = nodes.join(" ");
        let head = [severity_word(*severity), "cannot tell", "", path, role];
        sheet.row(head.into_iter().chain(columns.iter().map(|_| "")).chain([&*names, "", "", reason, ""]));
    }
    sheet
}

/// The findings, under a heading for each severity.
pub(crate) fn findings(page: &mut Page, findings: &[Finding], one: impl Fn(&mut Page, &Finding)) {
    for group in findings.chunk_by(|a, b| a.severity == b.severity) {
        let severity = group[0].severity;
        page.blank();
        page.line(0, Ink::Of(severity), &severity_word(severity).to_uppercase());
        for finding in group {
            one(page, finding);
        }
    }
}

/// What the table does not list: how much of which severity and family; `fewer` says how to have it list fewer.
pub(crate) fn rest(page: &mut Page, findings: &[Finding], fewer: &str) {
    if findings.is_empty() {
        return;
    }
    let mut families: BTreeMap<(Reverse<Severity>, String), u64> = BTreeMap::new();
    for finding in findings {
        *families.entry((Reverse(finding.severity), family(&finding.path))).or_default() += 1;
    }
    page.blank();
    page.line(0, Ink::Strong, &format!("AND {} MORE", findings.len()));
    let mut table = Columns::new(&[]);
    for ((Reverse(severity), family), number) in families {
        table.row(vec![
            Cell::number(number),
            Cell::new(severity_word(severity)).ink(Ink::Of(severity)),
            Cell::new(&family),
        ]);
    }
    page.table(2, &table);
    page.line(2, Ink::Faint, &format!("-o wide lists all, {fewer}"));
}

/// `sysctl.net`, `go.program`, `package`: the first names of a path, without keys.
fn family(path: &str) -> String {
    let names = path.split('[').next().unwrap_or_default();
    let mut parts = names.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(first), Some(second), Some(_)) => format!("{first}.{second}.*"),
        (Some(first), Some(second), None) if path.contains('[') => format!("{first}.{second}[*]"),
        (Some(first), Some(_), None) => format!("{first}.*"),
        _ if path.contains('[') => format!("{names}[*]"),
        _ => names.to_owned(),
    }
}

/// One finding, in two lines where they fit: what and since when, then who has what and on which nodes.
pub(crate) fn brief(page: &mut Page, report: &Report, finding: &Finding) {
    let id = escape(&finding.id);
    let meta = since(report, finding).map_or_else(|| id.to_string(), |since| format!("{since}  {id}"));
    page.ends(2, (Ink::Strong, &title(finding)), (Ink::Faint, &meta));
    let room = page.room(4);
    let mut sentence = wrap(&escape(sentence(finding)), room);
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
    with_it(page, 4, finding);
    if finding.status != Status::Open && !finding.reason.is_empty() {
        let why = format!("{}: {}", status_word(finding.status), escape(&finding.reason));
        page.line(4, Ink::Faint, &why);
    }
}

/// What a finding says by itself, where what has the same cause is named below it.
pub(crate) fn sentence(finding: &Finding) -> &str {
    let facts = count(finding.parts.len() as u64, "more fact");
    finding.summary.strip_suffix(&format!(" (and {facts} with it)")).unwrap_or(&finding.summary)
}

/// What else has the same cause: as many paths as a line has room for.
pub(crate) fn with_it(page: &mut Page, indent: usize, finding: &Finding) {
    const WORDS: &str = "with it: ";
    if !finding.parts.is_empty() {
        let paths: Vec<String> = finding.parts.iter().map(|part| part.path.clone()).collect();
        let paths = names(&paths, page.room(indent).saturating_sub(WORDS.len()));
        page.line(indent, Ink::Faint, &format!("{WORDS}{paths}"));
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
