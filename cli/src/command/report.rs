//! `evenkeel report`: where the environments differ.

use std::path::PathBuf;

use evenkeel_drift::report::{Finding, Severity, Status};
use evenkeel_drift::{Query, Report as Found, evaluate};
use evenkeel_proto::report::GetReportRequest;
use evenkeel_proto::{reports, times};
use evenkeel_runtime::exit;
use jiff::Timestamp;

use super::Context;
use super::diff::without_policy;
use crate::args::Level;
use crate::error::CliError;
use crate::moment;
use crate::snapshots::{Files, Source};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Snapshots are compared without a collector, each under the environment that it names, or\nunder ENV of \
    ENV=SNAPSHOT. `evenkeel scan` and `evenkeel-agent collect` take them."
)]
pub struct Report {
    /// Report on these snapshot files, or on directories of them, and not on the collector's nodes
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<Source>,
    /// Only this environment (may be given several times)
    #[arg(long = "env", value_name = "ENV")]
    environments: Vec<String>,
    /// Only nodes of this role
    #[arg(long)]
    role: Option<String>,
    /// The environment that the others are held against [default: the last in the order of promotion]
    #[arg(long, value_name = "ENV")]
    reference: Option<String>,
    /// As it was then: 2h, 7d, 2026-11-20, 2026-11-20T03:12:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "snapshots", value_parser = |text: &str| moment::parse(text, Timestamp::now()))]
    at: Option<Timestamp>,
    /// For snapshot files: the policy to judge by [default: the one that evenkeel ships with]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What to list, and what --exit-code looks at.
    #[command(flatten)]
    pub listing: Listing,
}

/// What to list, and what --exit-code looks at; also of `diff`.
#[derive(Debug, clap::Args)]
pub struct Listing {
    /// The least severity to list
    #[arg(long, value_enum, value_name = "info|warning|critical", hide_possible_values = true, default_value_t = Level::Warning)]
    severity: Level,
    /// Also list what is hidden: info, explained, accepted
    #[arg(long)]
    pub all: bool,
    /// Exit with 1 if something of that severity differs, 3 if that cannot be told
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(context: &Context, arguments: Report) -> Result<u8, CliError> {
    let Report { snapshots, environments, role, reference, at, policy, listing } = arguments;
    let asked = environments.iter().chain(&reference).cloned().collect::<Vec<_>>();
    let mut report = if snapshots.is_empty() {
        without_policy(policy)?;
        of_collector(context, environments, role, reference, at, &listing)?
    } else {
        let files = Files::of(&snapshots, None, policy.as_deref())?;
        let query = Query {
            environments: (!environments.is_empty()).then_some(environments),
            role,
            reference,
            min_severity: Some(listing.severity()),
            all: listing.all,
        };
        query.check(&files.fleet)?;
        evaluate(&files.fleet, &files.policy, &query, files.as_of)
    };
    context.console.show_report(&mut report, listing.all, snapshots.is_empty())?;
    // Who asks for an environment by name, and it has nobody to speak for it, was not told that all is well.
    let mute = report.environments.iter().any(|found| found.fresh == 0 && asked.contains(&found.name));
    Ok(match listing.exit_code(&report) {
        exit::DONE if listing.exit_code && mute => exit::CANNOT_TELL,
        code => code,
    })
}

fn of_collector(
    context: &Context,
    environments: Vec<String>,
    role: Option<String>,
    reference: Option<String>,
    at: Option<Timestamp>,
    listing: &Listing,
) -> Result<Found, CliError> {
    let request = GetReportRequest {
        environments,
        role,
        reference,
        severity: reports::severity_to_wire(listing.severity()).into(),
        all: listing.all,
        at: at.map(times::to_wire),
    };
    let client = context.client()?;
    Ok(reports::from_wire(client.wait(client.reports().get_report(request))?)?)
}

impl Listing {
    /// The least severity.
    pub fn severity(&self) -> Severity {
        self.severity.into()
    }

    /// What the exit code says: always [`exit::DONE`] unless it was asked for.
    pub fn exit_code(&self, report: &Found) -> u8 {
        if !self.exit_code {
            return exit::DONE;
        }
        let least = self.severity();
        let drift = |finding: &Finding| finding.status == Status::Open && finding.severity >= least;
        if report.findings.iter().any(drift) {
            return exit::DRIFT;
        }
        // The gravest unknowns come first, so a list cut short still tells.
        let blind = report.unknowns.iter().any(|unknown| unknown.severity >= least);
        let nothing = report.environments.iter().all(|environment| environment.nodes == 0);
        if blind || nothing { exit::CANNOT_TELL } else { exit::DONE }
    }
}
