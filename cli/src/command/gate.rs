//! `evenkeel gate`: says by exit code whether one environment may be promoted to another.

use std::path::PathBuf;

use evenkeel_drift::gate::{GateVerdict, gate};
use evenkeel_drift::report::Severity;
use evenkeel_proto::report::GateRequest;
use evenkeel_proto::reports;
use evenkeel_runtime::exit;

use super::Context;
use super::diff::{to_wire, without_policy};
use crate::args::Level;
use crate::error::CliError;
use crate::operand::Operand;
use crate::snapshots::Files;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "evenkeel gate --from ENV --to ENV [OPTIONS]\n       evenkeel gate file:A file:B [OPTIONS]",
    after_help = "Exits with 0 if nothing of that severity differs, 1 if something does, 3 if that cannot be told."
)]
pub struct Gate {
    /// What is to be promoted, and what it is to be promoted to: the same as --from and --to
    #[arg(value_names = ["A", "B"], num_args = 2, required_unless_present_all = ["from", "to"])]
    operands: Vec<Operand>,
    /// What is to be promoted: ENV, node/NAME or file:SNAPSHOT.json
    #[arg(long, value_name = "ENV", requires = "to", conflicts_with = "operands")]
    from: Option<Operand>,
    /// What it is to be promoted to
    #[arg(long, value_name = "ENV", requires = "from", conflicts_with = "operands")]
    to: Option<Operand>,
    /// The least severity that fails
    #[arg(long, value_enum, value_name = "info|warning|critical", hide_possible_values = true, default_value_t = Level::Warning)]
    fail_on: Level,
    /// For snapshot files: the policy to judge by [default: the one that evenkeel ships with]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

pub(super) fn run(context: &Context, arguments: Gate) -> Result<u8, CliError> {
    let Gate { operands, from, to, fail_on, policy } = arguments;
    let mut sides = operands.into_iter().chain(from).chain(to);
    let (Some(from), Some(to)) = (sides.next(), sides.next()) else {
        unreachable!("the arguments require both sides")
    };
    let fail_on = Severity::from(fail_on);
    let mut outcome = if let (Operand::File(from), Operand::File(to)) = (&from, &to) {
        let pair = Files::pair(from, to, policy.as_deref())?;
        let [from, to] = pair.names();
        gate(&pair.fleet, &pair.policy, from, to, fail_on, pair.as_of)
    } else {
        without_policy(policy)?;
        let request = GateRequest {
            from: Some(to_wire(&from)?),
            to: Some(to_wire(&to)?),
            fail_on: reports::severity_to_wire(fail_on).into(),
        };
        let client = context.client()?;
        reports::gate_from_wire(client.wait(client.reports().gate(request))?)?
    };
    context.console.show(&mut outcome)?;
    Ok(match outcome.verdict {
        GateVerdict::Consistent => exit::DONE,
        GateVerdict::Drift => exit::DRIFT,
        GateVerdict::CannotTell => exit::CANNOT_TELL,
    })
}
