//! `evenkeel diff`: one thing held against another. Two snapshot files need no collector: the engine is linked in.

use std::path::{Path, PathBuf};

use evenkeel_drift::{Query, Report, evaluate, moments};
use evenkeel_proto::report::operand::Operand as Choice;
use evenkeel_proto::report::{self as wire, DiffRequest};
use evenkeel_proto::reports;
use evenkeel_runtime::files;

use super::Context;
use super::report::Listing;
use crate::error::CliError;
use crate::operand::Operand;
use crate::snapshots::{self, Files};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A and B: ENV, node/NAME, both with @TIME (2h, 2026-11-20) for what they were, baseline/NAME,\nor file:SNAPSHOT.json (from `evenkeel-agent collect`; a directory of \
    them, too).\nTwo files are compared without a collector."
)]
pub struct Diff {
    /// What is in question
    #[arg(value_name = "A")]
    a: Operand,
    /// What it is held against
    #[arg(value_name = "B")]
    b: Operand,
    /// For snapshot files: the policy to judge by [default: the one that evenkeel ships with]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What to list, and what --exit-code looks at.
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn run(context: &Context, arguments: Diff) -> Result<u8, CliError> {
    let Diff { a, b, policy, listing } = arguments;
    let mut report = if let (Operand::File(a), Operand::File(b)) = (&a, &b) {
        of_files(a, b, policy.as_deref(), &listing)?
    } else {
        without_policy(policy)?;
        let request = DiffRequest {
            a: Some(to_wire(&a)?),
            b: Some(to_wire(&b)?),
            severity: reports::severity_to_wire(listing.severity()).into(),
            all: listing.all,
        };
        let client = context.client()?;
        reports::from_wire(client.wait(client.reports().diff(request))?)?
    };
    // Between environments a finding is one of the fleet, with the same id; others exist only in this comparison.
    let known = [&a, &b].iter().all(|operand| matches!(operand, Operand::Environment(_, None)));
    context.console.show_report(&mut report, listing.all, known)?;
    Ok(listing.exit_code(&report))
}

fn of_files(a: &Path, b: &Path, policy: Option<&Path>, listing: &Listing) -> Result<Report, CliError> {
    let pair = Files::pair(a, b, policy)?;
    let [_, reference] = pair.names();
    let query = Query {
        reference: Some(reference.to_owned()),
        min_severity: Some(listing.severity()),
        all: listing.all,
        ..Query::default()
    };
    let compare = if pair.are_moments { moments::changes } else { evaluate };
    Ok(compare(&pair.fleet, &pair.policy, &query, pair.as_of))
}

/// A collector judges by its own policy.
pub(super) fn without_policy(policy: Option<PathBuf>) -> Result<(), CliError> {
    policy.map_or(Ok(()), |_| Err(CliError::PolicyOfCollector))
}

/// An operand for the collector; a file travels with its content, which is looked at before it goes.
pub(super) fn to_wire(operand: &Operand) -> Result<wire::Operand, CliError> {
    let choice = match operand {
        Operand::Environment(..) | Operand::Node(..) | Operand::Baseline(_) => {
            Choice::Selector(operand.to_string())
        }
        Operand::File(path) => {
            snapshots::read(path)?;
            let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
            Choice::File(wire::SnapshotFile { name: name.into_owned(), json: files::read(path)? })
        }
    };
    Ok(wire::Operand { operand: Some(choice) })
}
