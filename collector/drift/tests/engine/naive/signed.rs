//! What somebody signed off.

use std::collections::BTreeSet;

use evenkeel_drift::acceptance::Subject;
use evenkeel_drift::report::{Finding, SignOff, State, Status};
use evenkeel_drift::{Acceptance, Fleet};
use jiff::Timestamp;

/// The newest that covers it counts, while it lasts: by its path, or as it was, for as long as it says nothing new.
pub(crate) fn sign(finding: &mut Finding, fleet: &Fleet, now: Timestamp) {
    if finding.status != Status::Open {
        return;
    }
    let says: BTreeSet<(String, Option<String>)> = finding
        .values
        .iter()
        .filter(|value| value.state != State::Unreadable)
        .map(|value| (value.environment.clone(), value.value.clone()))
        .collect();
    let covers = |subject: &Subject| match subject {
        Subject::Paths(glob) => glob.matches(&finding.path),
        Subject::Findings(known) => {
            known.iter().any(|known| known.finding == finding.id && says.is_subset(&known.values))
        }
    };
    let covering = |acceptance: &&Acceptance| acceptance.until > now && covers(&acceptance.subject);
    if let Some(acceptance) = fleet.acceptances.iter().rfind(covering) {
        finding.status = Status::Accepted;
        finding.acceptance = Some(SignOff {
            id: acceptance.id.clone(),
            owner: acceptance.owner.clone(),
            reason: acceptance.reason.clone(),
            until: acceptance.until,
        });
    }
}
