//! `evenkeel watch`: findings as they open, change and end.

use evenkeel_drift::report::Severity;
use evenkeel_proto::report::{Transition, WatchRequest, transition};
use evenkeel_proto::{Malformed, reports, times};
use evenkeel_render::watch::{SCHEMA, Seen};
use evenkeel_runtime::exit;

use super::Context;
use crate::args::Level;
use crate::error::CliError;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Runs until it is interrupted. -o json prints one JSON object a line.")]
pub struct Watch {
    /// The least severity to tell of
    #[arg(long, value_enum, value_name = "info|warning|critical", hide_possible_values = true, default_value_t = Level::Warning)]
    severity: Level,
}

pub(super) fn run(context: &Context, arguments: &Watch) -> Result<u8, CliError> {
    let request =
        WatchRequest { severity: reports::severity_to_wire(Severity::from(arguments.severity)).into() };
    let client = context.client()?;
    let mut reports = client.reports();
    client.follow(reports.watch(request), |transition| context.console.show_seen(&from_wire(transition)?))?;
    Ok(exit::DONE)
}

fn from_wire(seen: Transition) -> Result<Seen, Malformed> {
    let Transition { at, change, finding } = seen;
    let change = match transition::Change::try_from(change) {
        Ok(transition::Change::Standing) => "standing",
        Ok(transition::Change::Opened) => "opened",
        Ok(transition::Change::Changed) => "changed",
        Ok(transition::Change::Resolved) => "resolved",
        Ok(transition::Change::Reopened) => "reopened",
        Ok(transition::Change::Unspecified) | Err(_) => return Err(Malformed::new("change", "not known")),
    };
    let finding = finding.ok_or_else(|| Malformed::new("finding", "not there"))?;
    Ok(Seen {
        schema: SCHEMA.to_owned(),
        at: times::from_wire("at", at)?,
        change: change.to_owned(),
        finding: reports::finding_from_wire(finding)?,
    })
}
