//! What a person sees, held by golden files. `UPDATE_GOLDEN=1 cargo test` rewrites them.

mod examples;
mod hostile;

use std::path::Path;

use evenkeel_drift::report::{Noise, Quarantined, Severity, Summary};
use evenkeel_drift::{GateOutcome, GateVerdict, Report};
use evenkeel_render::audit::Audit;
use evenkeel_render::nodes::Node;
use evenkeel_render::users::Users;
use evenkeel_render::{Format, Screen, View, render};
use examples::{judged, people};

const NARROW: Screen = Screen { width: 80, colour: false, all: false, hints: true };

/// Compares with `tests/golden/NAME`, or writes it. Also holds what every output must keep.
fn golden(name: &str, view: &impl View, format: Format, screen: &Screen) {
    let shown = render(view, format, screen).unwrap();
    assert!(shown.ends_with('\n') && !shown.ends_with("\n\n"), "{name}: one final line break");
    if matches!(format, Format::Table | Format::Wide) {
        for line in shown.lines() {
            assert!(line == line.trim_end(), "{name}: a line ends in blanks: {line:?}");
            assert!(screen.colour || line.chars().count() <= screen.width, "{name}: too wide: {line:?}");
        }
    }
    let obeyed = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(screen.colour || !shown.contains(obeyed), "{name}: a terminal would obey something in {shown:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &shown).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == shown,
        "{name} differs from its golden file (UPDATE_GOLDEN=1 rewrites it). Now:\n{shown}"
    );
}

/// The formats that show findings.
fn documents(name: &str, view: &impl View) {
    for (format, ending) in [
        (Format::Csv, "csv"),
        (Format::Markdown, "md"),
        (Format::Html, "html"),
        (Format::Junit, "junit.xml"),
        (Format::Sarif, "sarif"),
    ] {
        golden(&format!("{name}.{ending}"), view, format, &NARROW);
    }
}

/// The formats that show rows.
fn rows(name: &str, view: &impl View) {
    golden(&format!("{name}.csv"), view, Format::Csv, &NARROW);
    golden(&format!("{name}.md"), view, Format::Markdown, &NARROW);
}

/// In table, wide and JSON.
fn all_formats(name: &str, view: &impl View) {
    golden(&format!("{name}.table"), view, Format::Table, &NARROW);
    golden(&format!("{name}.wide"), view, Format::Wide, &Screen { width: 130, ..NARROW });
    golden(&format!("{name}.json"), view, Format::Json, &NARROW);
}

#[test]
fn report_without_findings() {
    all_formats("report-consistent", &examples::report(Vec::new()));
}

#[test]
fn report_that_could_not_tell() {
    all_formats("report-unknown", &examples::unknown());
}

/// Promise: what is quarantined is said, and how much of all changes it is.
#[test]
fn report_with_a_quarantine() {
    let quarantined =
        ["sysctl.vm.dirty_ratio", "kernel.thp.defrag", "custom.evil\u{1b}[2J", "package[x].version"]
            .map(|path| Quarantined { path: path.into(), changes: 12, nodes: 3 });
    let noise = Noise { changes: 60, quarantined_changes: 48, quarantined: quarantined.into() };
    all_formats("report-quarantine", &Report { noise: Some(noise), ..examples::report(vec![]) });
}

/// Promise: what is signed off is still different, and is never passed over in silence.
#[test]
fn what_is_accepted_is_said() {
    let mut report = examples::report(Vec::new());
    (report.summary.accepted, report.summary.explained) = (2, 41);
    all_formats("report-accepted", &report);
    documents("report-accepted", &report);
    all_formats("gate-accepted", &judged::gate_with_accepted());
}

/// Promise: what is listed is not said to be hidden.
#[test]
fn what_is_listed_is_not_hidden() {
    let mut report = examples::one();
    report.findings[0].severity = Severity::Info;
    report.summary = Summary { info: 3, explained: 2, ..Summary::default() };
    let shown = render(&report, Format::Table, &NARROW).unwrap();
    let counts =
        "Consistent: no critical difference, no warning; 1 info; hidden: 2 explained, 2\ninfo (see --all)\n";
    assert!(shown.contains(counts), "{shown}");
    let shown = render(&report, Format::Table, &Screen { all: true, ..NARROW }).unwrap();
    assert!(shown.contains("no warning; 2 explained, 3 info\n"), "{shown}");
}

/// Promise: what has the same cause is named, not only counted.
#[test]
fn one_cause_names_its_parts() {
    all_formats("report-cause", &examples::one_cause());
    let findings = examples::one_cause().findings;
    let gate = GateOutcome { findings: findings.clone(), ..judged::gate(GateVerdict::Drift) };
    all_formats("gate-cause", &gate);
    let mut explained = judged::explained();
    explained.explanation.findings = findings;
    all_formats("explanation-cause", &explained);
}

#[test]
fn report_of_an_empty_fleet() {
    all_formats("report-empty", &examples::empty());
}

#[test]
fn report_with_one_finding() {
    all_formats("report-one", &examples::one());
}

#[test]
fn report_with_many_findings() {
    let many = examples::many();
    all_formats("report-many", &many);
    golden("report-many-all.table", &many, Format::Table, &Screen { all: true, ..NARROW });
    golden("report-many-colour.table", &many, Format::Table, &Screen { colour: true, ..NARROW });
    golden("report-many-40.table", &many, Format::Table, &Screen { width: 40, ..NARROW });
}

#[test]
fn report_with_hostile_texts() {
    all_formats("report-hostile", &examples::hostile());
}

/// Promise: every format shows what it can show, also of nothing, of one finding, and of hostile texts.
#[test]
fn documents_of_reports_and_gates() {
    documents("report-consistent", &examples::report(Vec::new()));
    documents("report-unknown", &examples::unknown());
    documents("report-many", &examples::many());
    documents("report-cause", &examples::one_cause());
    documents("report-hostile", &examples::hostile());
    documents("gate-consistent", &judged::gate(GateVerdict::Consistent));
    documents("gate-drift", &judged::gate(GateVerdict::Drift));
    documents("gate-cannot-tell", &judged::gate(GateVerdict::CannotTell));
    documents("gate-accepted", &judged::gate_with_accepted());
}

#[test]
fn lists_as_rows() {
    rows("nodes", &examples::nodes());
    rows("facts", &examples::facts());
    rows("history", &examples::history());
    rows("values", &judged::values());
}

/// Promise: a format that something does not have is refused, with those that it has.
#[test]
fn what_has_no_such_form_says_so() {
    let refused = |format| render(&examples::nodes(), format, &NARROW).unwrap_err().to_string();
    assert_eq!(
        refused(Format::Sarif),
        "a list of nodes cannot be written as sarif; it can be as table, wide, json, csv or markdown"
    );
    let refused = render(&judged::explained(), Format::Csv, &NARROW).unwrap_err().to_string();
    assert_eq!(refused, "an explanation cannot be written as csv; it can be as table, wide or json");
}

/// Promise: who is let in and what was done shows in every format, and no text of a person obeys a terminal.
#[test]
fn people_and_what_they_did() {
    all_formats("users", &people::users());
    all_formats("tokens", &people::tokens());
    all_formats("contexts", &people::contexts());
    all_formats("audit", &people::audit());
    let nobody = Users { users: Vec::new(), ..people::users() };
    golden("users-none.table", &nobody, Format::Table, &NARROW);
    let nothing = Audit { entries: Vec::new(), ..people::audit() };
    golden("audit-none.table", &nothing, Format::Table, &NARROW);
    rows("users", &people::users());
    rows("tokens", &people::tokens());
    rows("audit", &people::audit());
}

#[test]
fn nodes() {
    all_formats("nodes", &examples::nodes());
}

#[test]
fn facts() {
    all_formats("facts", &examples::facts());
}

#[test]
fn affected() {
    all_formats("affected", &judged::affected(1));
    all_formats("affected-none", &judged::affected(0));
    golden("affected-many.table", &judged::affected(12), Format::Table, &NARROW);
    rows("affected", &judged::affected(1));
}

#[test]
fn history() {
    all_formats("history", &examples::history());
}

#[test]
fn values() {
    all_formats("values", &judged::values());
    all_formats("values-none", &judged::no_values());
}

#[test]
fn explanation() {
    all_formats("explanation", &judged::explained());
    all_formats("explanation-latent", &judged::latent());
    all_formats("explanation-none", &judged::no_difference());
}

#[test]
fn gate() {
    all_formats("gate-consistent", &judged::gate(GateVerdict::Consistent));
    all_formats("gate-drift", &judged::gate(GateVerdict::Drift));
    all_formats("gate-cannot-tell", &judged::gate(GateVerdict::CannotTell));
    all_formats("gate-nothing", &judged::gate_of_nothing());
}

/// Promise: a gate that fails for thousands of reasons says so on a few screens; wide says all.
#[test]
fn a_gate_of_thousands_is_read_by_a_person() {
    let findings = vec![examples::go_version(); 5_000];
    let gate = GateOutcome { findings, ..judged::gate(GateVerdict::Drift) };
    let shown = render(&gate, Format::Table, &NARROW).unwrap();
    assert!(
        shown.contains("\nAND 4900 MORE\n  4900  critical  go.*\n  -o wide lists all, --fail-on fewer\n"),
        "{shown}"
    );
    assert_eq!(shown.matches("\nCRITICAL  go.version").count(), 100);
    let shown = render(&gate, Format::Wide, &NARROW).unwrap();
    assert_eq!(shown.matches("\nCRITICAL  go.version").count(), 5_000);
}

/// Promise: whatever is shown lists `x-2` before `x-11`, in every format; the worst stays first.
#[test]
fn names_are_in_the_order_in_which_people_count() {
    let names = || examples::strings(&["web-1", "web-11", "web-2"]);
    let sorted = examples::strings(&["web-1", "web-2", "web-11"]);
    let at = |path: &str| {
        let mut finding = examples::go_version();
        (finding.path, finding.nodes) = (format!("go.program[{path}].go_version"), names().into());
        finding
    };
    let mut report = examples::report(vec![at("service-11"), at("service-2")]);
    report.environments[0].stale_nodes = names();
    let mut info = at("service-1");
    info.severity = Severity::Info;
    report.findings.push(info);
    report.arrange();
    let paths: Vec<&str> = report.findings.iter().map(|finding| &*finding.path).collect();
    let of = |name: &str| format!("go.program[{name}].go_version");
    assert_eq!(paths, [of("service-2"), of("service-11"), of("service-1")]);
    assert!(report.findings.iter().all(|finding| *finding.nodes == sorted), "{:#?}", report.findings);
    assert_eq!(report.environments[0].stale_nodes, sorted);

    let mut values = judged::values();
    values.roles[0].environments[0].values[0].nodes = names();
    values.arrange();
    assert_eq!(values.roles[0].environments[0].values[0].nodes, sorted);

    let mut affected = judged::affected(1);
    affected.affected[0].found[0].places[0].nodes = names();
    affected.arrange();
    assert_eq!(affected.affected[0].found[0].places[0].nodes, sorted);

    let mut nodes = examples::nodes();
    nodes.nodes.truncate(1);
    nodes.nodes = names().into_iter().map(|name| Node { name, ..nodes.nodes[0].clone() }).collect();
    nodes.arrange();
    assert_eq!(nodes.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>(), sorted);

    let mut gate = judged::gate(GateVerdict::CannotTell);
    gate.unknowns[0].nodes = names().into();
    gate.arrange();
    assert_eq!(*gate.unknowns[0].nodes, sorted);
}
