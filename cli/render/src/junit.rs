//! Findings as JUnit, which every CI shows: one test a finding. What differs has failed, what cannot be told is an error,
//! what is explained or accepted was skipped.

use evenkeel_drift::report::{Finding, Severity, Status, Unknown};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::results::{Results, held, in_one_cell};
use crate::text::escape;
use crate::words::{kind_word, reason_words, severity_word, status_word, with_role};

/// The findings as XML.
pub(crate) fn document(results: &Results<'_>) -> String {
    let mut suite = TestSuite::new(escape(&results.title).into_owned());
    suite.add_test_cases(results.findings.iter().map(|finding| of_finding(results, finding)));
    suite.add_test_cases(results.unknowns.iter().map(|unknown| of_unknown(unknown)));
    if suite.test_cases.is_empty() {
        // A file without a test is taken for one that was not run.
        let mut all = TestCase::new(escape(&results.answer).into_owned(), TestCaseStatus::success());
        all.set_classname("evenkeel");
        suite.add_test_case(all);
    }
    let mut report = Report::new("evenkeel");
    if let Some(as_of) = results.as_of {
        report.add_test_suite({
            suite.add_property(("as_of", as_of.to_string().as_str()));
            suite
        });
    } else {
        report.add_test_suite(suite);
    }
    let mut xml = report.to_string().expect("memory takes it, and no text has characters that XML has not");
    if !xml.ends_with('\n') {
        xml.push('\n');
    }
    xml
}

fn of_finding(results: &Results<'_>, finding: &Finding) -> TestCase {
    let Finding { id, path, kind, severity, status, role, nodes, summary, reason, .. } = finding;
    let mut outcome = if *status == Status::Open {
        TestCaseStatus::non_success(NonSuccessKind::Failure)
    } else {
        TestCaseStatus::skipped()
    };
    let kind = format!("{} {}", severity_word(*severity), kind_word(*kind));
    let said = escape(summary);
    if *status == Status::Open {
        outcome.set_type(kind);
        outcome.set_message(said.into_owned());
    } else {
        outcome.set_message(format!("{}: {}", status_word(*status), escape(reason)));
    }
    let mut lines = Vec::new();
    for environment in &results.columns {
        let held = held(finding, environment, results.reference);
        if !held.is_empty() {
            lines.push(format!("{}: {}", escape(environment), escape(&in_one_cell(&held))));
        }
    }
    let names: Vec<_> = nodes.iter().map(|name| escape(name)).collect();
    lines.push(format!("nodes: {}", names.join(" ")));
    if !reason.is_empty() {
        lines.push(format!("why: {}", escape(reason)));
    }
    for part in &finding.parts {
        lines.push(format!("same cause: {}: {}", escape(&part.path), escape(&part.summary)));
    }
    lines.push(format!("finding: {}", escape(id)));
    outcome.set_description(lines.join("\n"));
    case(&with_role(path, role), path, outcome)
}

fn of_unknown(unknown: &Unknown) -> TestCase {
    let Unknown { path, severity, role, reason, nodes } = unknown;
    let mut outcome = if *severity >= Severity::Warning {
        let mut outcome = TestCaseStatus::non_success(NonSuccessKind::Error);
        outcome.set_type("cannot tell");
        outcome
    } else {
        TestCaseStatus::skipped()
    };
    outcome.set_message(format!("cannot tell: {}", reason_words(reason)));
    let names: Vec<_> = nodes.iter().map(|name| escape(name)).collect();
    outcome.set_description(format!("nodes: {}", names.join(" ")));
    case(&with_role(path, role), path, outcome)
}

/// The class is the family of facts: `sysctl`, `go`.
fn case(name: &str, path: &str, outcome: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, outcome);
    let family = path.split(['.', '[']).next().unwrap_or_default();
    case.set_classname(format!("evenkeel.{}", escape(family)));
    case
}
