//! What is signed off stays so for as long as it says the same.

use evenkeel_drift::acceptance::{Known, Subject};
use evenkeel_drift::report::{Kind, Severity, Status};
use evenkeel_drift::{Acceptance, Fleet, Policy, Query, evaluate, open_findings};
use evenkeel_facts::{FactPath, SectionBuilder, Snapshot};
use jiff::{SignedDuration, Timestamp};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn snapshot(host: &str, packages: &[(&str, &str)]) -> Snapshot {
    let mut section = SectionBuilder::new("packages");
    for (name, version) in packages {
        section.present(FactPath::known(&format!("package[{name}].version")), *version);
    }
    Snapshot {
        taken_at: NOW,
        agent: String::new(),
        host: host.into(),
        environment: None,
        role: String::new(),
        sections: vec![section.finish()],
    }
}

fn fleet(staging: &[(&str, &str)]) -> Fleet {
    let prod = [("bash", "5.2-1")];
    Fleet::from_snapshots([("staging".into(), snapshot("s", staging)), ("prod".into(), snapshot("p", &prod))])
}

fn statuses(fleet: &Fleet) -> Vec<(Kind, Status)> {
    let query = Query { all: true, min_severity: Some(Severity::Info), ..Query::default() };
    let report = evaluate(fleet, &Policy::default_policy(), &query, NOW);
    report.findings.iter().map(|finding| (finding.kind, finding.status)).collect()
}

/// Promise: after everything that is open was signed off nothing is, things that are missing somewhere included; in another
/// version they are news.
#[test]
fn what_is_missing_stays_signed_off_in_its_version() {
    let policy = Policy::default_policy();
    let before = fleet(&[("bash", "5.2-1"), ("gpgv", "2.2.27-2")]);
    let known: Vec<Known> = open_findings(&before, &policy, NOW)
        .iter()
        .map(|finding| Known::of(&finding.id, &finding.path, &finding.values))
        .collect();
    assert_eq!(known.len(), 1);
    let acceptance = Acceptance {
        id: "a-1".into(),
        subject: Subject::Findings(known),
        owner: "ada".into(),
        reason: "known".into(),
        until: NOW + SignedDuration::from_hours(1),
    };
    let signed = |fleet: Fleet| Fleet { acceptances: [acceptance.clone()].into(), ..fleet };
    assert_eq!(statuses(&signed(before)), [(Kind::Missing, Status::Accepted)]);
    let later = fleet(&[("bash", "5.2-1"), ("gpgv", "2.2.40-1")]);
    assert_eq!(statuses(&signed(later)), [(Kind::Missing, Status::Open)]);
}
